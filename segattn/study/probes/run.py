"""Proof, runs and records of the probes; what is finished is not trained again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segattn import config as configuration
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.splits import open_data
from segattn.study import failures
from segattn.study.engines import Engine, OnEvent
from segattn.study.execution import OnPosition, Runs
from segattn.study.features import FEATURES_LIMIT
from segattn.study.plan import is_finished
from segattn.study.probes.plan import Plan
from segattn.study.probes.proof import prove
from segattn.study.probes.record import write_record
from segattn.training.train import OnNotice


def run_probes(
    plan: Plan,
    out: Path,
    *,
    command: str = "",
    device: str = "auto",
    engine: Engine | None = None,
    on_position: OnPosition = lambda position: None,
    on_event: OnEvent = lambda event: None,
    on_notice: OnNotice = print,
) -> list[Path]:
    """Prove every task, train what is not finished yet, and write one record a task; returns their paths.

    Raises:
        ValueError: as `prove`, and as `segattn.training.train.train`.
        segattn.training.train.Interrupted: a signal was received; the same call resumes.
        RunsFailed: jobs of the engine failed; the others are recorded.
    """
    runs = plan.runs()
    proved = {task: prove(next(iter(plan.of_task(task).values()))[1]) for task in plan.tasks}
    if engine is not None:
        engine.check()
    said: set[str] = set()

    def say_once(notice: str) -> None:
        if notice not in said:
            said.add(notice)
            on_notice(notice)

    def save(finished: Sequence[str], last: str = "") -> None:
        for task in plan.tasks:
            if last.startswith(f"{task}-") or not last:
                write_record(plan, task, out, proved[task], command)

    waiting = any(not is_finished(out / name, run) for name, run in runs.items())
    opened = open_data(next(iter(runs.values())).data) if waiting else None
    study = _ProbeRuns(runs, (), out, opened, device, 0, out / "features", FEATURES_LIMIT, say_once)
    failed: list[str] = []
    if engine is None:
        study.here(on_position, save)
    else:
        _, failed = study.on_engine(engine, on_event, on_position, save)
    save(list(runs))
    failures.refuse(failed, len(runs))
    return [path for task in plan.tasks if (path := out / f"{task}.json").exists()]


@dataclass
class _ProbeRuns(Runs):
    """Runs on several data sets, each of which is opened once."""

    splits: dict[str, tuple[Dataset, Dataset]] = field(default_factory=dict)

    def opened_for(self, run: Experiment) -> tuple[Dataset, Dataset] | None:
        """The splits of the run's task."""
        key = json.dumps(configuration.to_dict(run.data))
        if key not in self.splits:
            self.splits[key] = open_data(run.data)
        return self.splits[key]
