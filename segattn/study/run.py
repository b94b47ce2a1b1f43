"""A study: every head with every seed, under one protocol, one record per run, and the cost of each head at the paper's sizes.

Finished runs are not repeated; an interrupted run resumes from its checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn import records
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools.labels import refuse_unscorable
from segattn.study import folder as written
from segattn.study.collect import Facts, head_facts, reference_costs, refuse_other_classes
from segattn.study.engines import Engine, Event, OnEvent
from segattn.study.failures import RunsFailed
from segattn.study.features import FEATURES_LIMIT, shared_features, what_fits
from segattn.study.job import Job, jobs_of, train_job, unless_cancelled
from segattn.study.plan import is_finished, plan, run_name
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
    runs = plan(config, head_names, seeds)
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes, only rank 0 writes and prints
    said: set[str] = set()

    def say_once(notice: str) -> None:
        if first and notice not in said:
            said.add(notice)
            on_notice(notice)

    opened = None
    finished_before = [out / run_name(run) for run in runs if is_finished(out / run_name(run), run)]
    if len(finished_before) < len(runs):
        if engine is not None:
            engine.check()
        opened = open_data(config.data)  # a damaged file fails before the first network is trained
        refuse_unscorable(opened[1])
        refuse_other_classes(finished_before, opened[1].class_names)
        fingerprint.check_trained_on(finished_before, opened)
        for notice in notices(*opened):
            say_once(notice)
    facts = Facts(
        experiment=config.name,
        command=command,
        costs=reference_costs(head_names, config.model.mode),
        head_facts=head_facts(head_names, config.model.mode),
        fully_trained=list(fully_trained),
    )
    root, path = out / "features" if features is None else Path(features), out / "study.json"
    study = _Study(runs, out, opened, device, num_workers, root, features_limit, say_once)
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
    if first and finished:
        drawn = looks.update(
            pictures,
            config,
            [out / run_name(run) for run in runs if run.seed == min(seeds) and run_name(run) in finished],
            out,
            lambda: opened[1] if opened else open_split(config.data, config.data.val_split, config.data.val_images),
            device=device,
            allow_modules=[*head_names, config.data.name],
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

    runs: Sequence[Experiment]
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
            written.write(self.out, {run_name(run): run for run in self.runs})

    def here(self, on_position: OnPosition, save: Callable[[Sequence[str], str], None]) -> list[str]:
        """Execute the runs in this process, one after the other; returns the names of all."""
        num_runs, finished = len(self.runs), []
        settings: dict[str, Any] = {"device": self.device, "num_workers": self.num_workers, "opened": self.opened}
        stored = None
        if self.opened is not None and self.runs[0].optimization.train == "head":
            stored = shared_features(
                self.runs,
                self.opened,
                self.root,
                limit=self.features_limit,
                device=self.device,
                on_progress=lambda progress: on_position(Position(0, num_runs, "features", progress)),
                on_notice=self.say_once,
            )
        for number, run in enumerate(self.runs):
            name = run_name(run)
            if is_finished(self.out / name, run):
                ended(self.out / name)  # a kill may have left its checkpoints
            else:
                together = [run]
                if stored is not None and stored.train is None:
                    together = [other for other in self.runs if other.seed == run.seed]
                train_job(
                    [(each, self.out / run_name(each)) for each in together],
                    **settings,
                    stored=stored,
                    on_progress=unless_cancelled(self.out, self._reporter(number, together, on_position)),
                    on_notice=self.say_once,
                )
            finished.append(name)
            save(finished, name)
            on_position(Position(number, num_runs, name, None))
        return finished

    def _reporter(
        self, number: int, together: Sequence[Experiment], on_position: OnPosition
    ) -> Callable[[Progress], None]:
        count, planned = len(together), False
        seed, first = together[0].seed, run_name(self.runs[number])
        name = f"{count} heads side by side, seed {seed}" if count > 1 else first

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
        for number, run in enumerate(self.runs):
            if run_name(run) in finished:
                ended(self.out / run_name(run))
                on_position(Position(number, len(self.runs), run_name(run), None))
        save(finished)
        return finished, failed

    def _jobs(self) -> list[Job]:
        if self.opened is None:
            return []
        splits = None
        if self.runs[0].optimization.train == "head":
            _, splits = what_fits(
                self.runs,
                self.opened,
                self.root,
                limit=self.features_limit,
                device=self.device,
                on_notice=self.say_once,
            )
        waiting = {run_name(run): run for run in self.runs if not is_finished(self.out / run_name(run), run)}
        return jobs_of(
            waiting,
            {run_name(run): run for run in self.runs},
            self.out,
            device=self.device,
            num_workers=self.num_workers,
            features=self.root,
            splits=splits,
        )

    def _finished(self) -> list[str]:
        return [run_name(run) for run in self.runs if is_finished(self.out / run_name(run), run)]
