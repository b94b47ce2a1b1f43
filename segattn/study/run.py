"""A study: every head with every seed, under one protocol, one record per run, and the cost of each head at the paper's sizes.

Finished runs are not repeated; an interrupted run resumes from its checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segattn import records
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import StoredFeatures
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools.labels import refuse_unscorable
from segattn.study import folder as written
from segattn.study.collect import Facts, head_facts, reference_costs, refuse_other_classes
from segattn.study.engines import Engine, Event, OnEvent
from segattn.study.failures import RunsFailed
from segattn.study.features import FEATURES_LIMIT, shared_features, what_fits
from segattn.study.job import Job, train_job, unless_cancelled
from segattn.study.jobs import features_key, groups, jobs_of, looked_at, shares_a_batch
from segattn.study.plan import is_finished, plan, run_name
from segattn.study.sweep import Settings, paths
from segattn.training import fingerprint, looks
from segattn.training.folder import ended
from segattn.training.run import Progress
from segattn.training.train import OnNotice

__all__ = ["OnPosition", "Position", "plan", "reference_costs", "run_name", "run_study"]


@dataclass(frozen=True)
class Position:
    """Progress of a study, for progress bars."""

    run: int
    """Index of the run, from 0."""
    num_runs: int
    name: str
    progress: Progress | None
    """None when the run is finished, in this call or an earlier one."""
    count: int = 1
    """Runs that the progress is of: those trained side by side, beginning with `run`."""


OnPosition = Callable[[Position], object]


def run_study(
    config: Experiment,
    out: str | Path,
    *,
    head_names: Sequence[str],
    seeds: Sequence[int] = (0,),
    command: str = "",
    device: str = "auto",
    num_workers: int = 0,
    features: str | Path | None = None,
    features_limit: int = FEATURES_LIMIT,
    fully_trained: Sequence[records.FullyTrained] = (),
    sweep: Sequence[Settings] = (),
    engine: Engine | None = None,
    on_position: OnPosition = lambda position: None,
    on_event: OnEvent = lambda event: None,
    on_notice: OnNotice = print,
) -> Path:
    """Run everything that is not finished yet; returns the path of the study's record.

    At the end, pictures of where the networks look are written into `looks` in `out`, and named in the record.

    In a head-only study the frozen backbone's maps are computed once and stored. Where they would not fit, the heads of a seed
    are trained side by side, which gives the same networks.

    Args:
        features: folder for the maps; by default `features` in `out`.
        features_limit: bytes that the maps may take; what is free on the disk is a limit too.
        fully_trained: networks of the zoo to show beside the study's; goes into its record.
        sweep: settings of which each is studied with all heads and seeds, in place of the experiment's; see `sweep.grid`.
        engine: what executes the runs; None for this process, one run after the other.
        on_position: called with the progress of this process, and with each run that is finished.
        on_event: called with what an engine tells of its jobs.

    Raises:
        ValueError: as `plan` and `segattn.training.train.train`; no network could be scored on the validation split; a finished
            run has other classes than the data; the engine cannot work here.
        segattn.training.train.Interrupted: a signal was received; the same call resumes the study.
        RunsFailed: jobs of the engine failed; everything else is done.
    """
    out = Path(out)
    swept = paths(sweep)
    runs = {run_name(run, swept): run for run in plan(config, head_names, seeds, sweep)}
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes, only rank 0 writes and prints
    said: set[str] = set()

    def say_once(notice: str) -> None:
        if first and notice not in said:
            said.add(notice)
            on_notice(notice)

    opened, data = None, next(iter(runs.values())).data
    finished_before = {name: run for name, run in runs.items() if is_finished(out / name, run)}
    if len(finished_before) < len(runs):
        if engine is not None:
            engine.check()
        opened = open_data(data)  # a damaged file fails before the first network is trained
        refuse_unscorable(opened[1])
        on_same = [out / name for name, run in finished_before.items() if run.data == data]
        refuse_other_classes(on_same, opened[1].class_names)
        fingerprint.check_trained_on(on_same, opened)
        for notice in notices(*opened):
            say_once(notice)
    facts = Facts(
        experiment=config.name,
        command=command,
        costs=reference_costs(head_names, config.model.mode),
        head_facts=head_facts(head_names, config.model.mode),
        fully_trained=list(fully_trained),
        swept=swept,
    )
    root, path = out / "features" if features is None else Path(features), out / "study.json"
    study = _Study(runs, swept, out, opened, device, num_workers, root, features_limit, say_once)
    pictures = looks.recorded(path) if first else None

    def save(finished: Sequence[str], last: str = "") -> None:
        if first and finished:
            study.write_plan()
            facts.write(out, finished, pictures, on_notice, last=last)

    if first:
        (out / written.CANCEL).unlink(missing_ok=True)
    failed: list[str] = []
    if engine is None:
        finished = study.here(on_position, save)
    else:
        finished, failed = study.on_engine(engine, on_event, on_position, save)
    if first and finished and looked_at(runs, out, finished):
        drawn = looks.update(
            pictures,
            config,
            looked_at(runs, out, finished),
            out,
            lambda: opened[1] if opened else open_split(data, data.val_split, data.val_images),
            device=device,
            allow_modules=[*head_names, data.name],
            on_notice=on_notice,
        )
        if drawn != pictures:
            pictures = drawn
            save(finished)
    if failed:
        raise RunsFailed(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(failed)}")
    return path


@dataclass(frozen=True)
class _Study:
    """The runs of a study and what all of them share."""

    runs: Mapping[str, Experiment]
    """By folder."""
    swept: Sequence[str]
    out: Path
    opened: tuple[Dataset, Dataset] | None
    """None where all runs are finished."""
    device: str
    num_workers: int
    root: Path
    """Of the frozen backbone's maps."""
    features_limit: int
    say_once: OnNotice

    def write_plan(self) -> None:
        """List the runs in the study's folder, for other processes."""
        if int(os.environ.get("RANK", "0")) == 0:
            written.write(self.out, self.runs, self.swept)

    def here(self, on_position: OnPosition, save: Callable[[Sequence[str], str], None]) -> list[str]:
        """Execute the runs in this process, one after the other; returns the names of all."""
        num_runs, finished = len(self.runs), []
        stored = self._stored(lambda progress: on_position(Position(0, num_runs, "features", progress)))
        for number, (name, run) in enumerate(self.runs.items()):
            if is_finished(self.out / name, run):
                ended(self.out / name)  # a kill may have left its checkpoints
            else:
                maps, together = stored.get(features_key(run)), {name: run}
                if maps is not None and maps.train is None:
                    together = {other: each for other, each in self.runs.items() if shares_a_batch(each, run)}
                train_job(
                    [(each, self.out / other) for other, each in together.items()],
                    device=self.device,
                    num_workers=self.num_workers,
                    opened=self.opened_for(run),
                    stored=maps,
                    on_progress=unless_cancelled(self.out, self._reporter(number, name, together, on_position)),
                    on_notice=self.say_once,
                )
            finished.append(name)
            save(finished, name)
            on_position(Position(number, num_runs, name, None))
        return finished

    def opened_for(self, run: Experiment) -> tuple[Dataset, Dataset] | None:
        """The open data, unless the sweep gives this run other ones, which are opened for it."""
        return self.opened if run.data == next(iter(self.runs.values())).data else None

    def _stored(self, on_progress: Callable[[Progress], object]) -> dict[str, StoredFeatures]:
        """The maps of frozen backbones, by `features_key`; {} where none is frozen or nothing is to be trained."""
        stored: dict[str, StoredFeatures] = {}
        for key, group in groups(self.runs, features_key).items():
            first = next(iter(group.values()))
            if self.opened is not None and first.optimization.train == "head":
                stored[key] = shared_features(
                    list(group.values()),
                    self.opened_for(first) or open_data(first.data),
                    self.root,
                    limit=self.features_limit,
                    device=self.device,
                    on_progress=on_progress,
                    on_notice=self.say_once,
                )
        return stored

    def _reporter(
        self, number: int, name: str, together: Mapping[str, Experiment], on_position: OnPosition
    ) -> Callable[[Progress], None]:
        count, planned = len(together), False
        if count > 1:
            name = f"{count} heads side by side, seed {next(iter(together.values())).seed}"

        def report(progress: Progress) -> None:
            nonlocal planned
            if progress.done > 0 and not planned:  # the network could be built, and its folder is free
                planned = True
                self.write_plan()
            on_position(Position(number, len(self.runs), name, progress, count))

        return report

    def on_engine(
        self,
        engine: Engine,
        on_event: OnEvent,
        on_position: OnPosition,
        save: Callable[[Sequence[str]], None],
    ) -> tuple[list[str], list[str]]:
        """Let an engine execute the runs; the names of those that are finished, and of each failed one name and reason."""
        failed: list[str] = []

        def note(event: Event) -> None:
            if event.state == "finished":
                save(self._finished())
            elif event.state == "failed":
                failed.append(f"{event.job.name}: {event.message}")
            on_event(event)

        if jobs := self._jobs():
            self.write_plan()
            engine.run(jobs, on_event=note, on_notice=self.say_once)
        finished = self._finished()
        for number, name in enumerate(self.runs):
            if name in finished:
                ended(self.out / name)
                on_position(Position(number, len(self.runs), name, None))
        save(finished)
        return finished, failed

    def _jobs(self) -> list[Job]:
        jobs: list[Job] = []
        if self.opened is None:
            return jobs
        finished = self._finished()
        for group in groups(self.runs, features_key).values():
            splits, first = None, next(iter(group.values()))
            waiting = {name: run for name, run in group.items() if name not in finished}
            if waiting and first.optimization.train == "head":
                _, splits = what_fits(
                    list(group.values()),
                    self.opened_for(first) or open_data(first.data),
                    self.root,
                    limit=self.features_limit,
                    device=self.device,
                    on_notice=self.say_once,
                )
            jobs += jobs_of(
                waiting,
                group,
                self.out,
                device=self.device,
                num_workers=self.num_workers,
                features=self.root,
                splits=splits,
            )
        return sorted(jobs, key=lambda job: list(self.runs).index(job.runs[0][0]))

    def _finished(self) -> list[str]:
        return [name for name, run in self.runs.items() if is_finished(self.out / name, run)]
