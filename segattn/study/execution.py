"""How the runs of a study are executed: in this process, one after the other, or by an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import StoredFeatures
from segattn.data.splits import open_data
from segattn.study import folder as written
from segattn.study.engines import Engine, Event, OnEvent
from segattn.study.features import shared_features, what_fits
from segattn.study.job import Job, train_job, unless_cancelled
from segattn.study.jobs import features_key, groups, jobs_of, shares_a_batch
from segattn.study.plan import is_finished
from segattn.training.folder import ended
from segattn.training.run import Progress
from segattn.training.train import OnNotice


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


@dataclass
class Runs:
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
    track: Sequence[str] | None = None
    planned: bool = False
    """Whether the plan is written."""

    def write_plan(self) -> None:
        """List the runs in the study's folder, for other processes, once."""
        if not self.planned and int(os.environ.get("RANK", "0")) == 0:
            written.write(self.out, self.runs, self.swept)
        self.planned = True

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
                    track=self.track,
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
        count = len(together)
        if count > 1:
            name = f"{count} heads side by side, seed {next(iter(together.values())).seed}"

        def report(progress: Progress) -> None:
            if progress.done > 0:  # the network could be built, and its folder is free
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
        finished, failed = set(self._finished()), list[str]()

        def note(event: Event) -> None:
            if event.state == "finished":
                finished.update(folder for folder, _ in event.job.runs)
                save([name for name in self.runs if name in finished])
            elif event.state == "failed":
                failed.append(f"{event.job.name}: {event.message}")
            on_event(event)

        if jobs := self._jobs():
            self.write_plan()
            engine.run(jobs, on_event=note, on_notice=self.say_once)
        names = self._finished()
        for number, name in enumerate(self.runs):
            if name in names:
                ended(self.out / name)
                on_position(Position(number, len(self.runs), name, None))
        save(names)
        return names, failed

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
                track=self.track,
            )
        return sorted(jobs, key=lambda job: list(self.runs).index(job.runs[0][0]))

    def _finished(self) -> list[str]:
        return [name for name, run in self.runs.items() if is_finished(self.out / name, run)]
