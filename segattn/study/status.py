"""The state of every run of a study, from the files in its folder alone: from any machine that sees them, while others write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from segattn import records
from segattn.records.lease import SECONDS, holder
from segattn.study import failures
from segattn.study.folder import CANCEL, read

State = Literal["finished", "running", "failed", "interrupted", "waiting"]
STATES: tuple[State, ...] = ("running", "failed", "interrupted", "waiting", "finished")
"""In the order of tables: what needs a look comes first."""
_TAIL_BYTES = 8192
"""Of the log: more than its last two lines."""


class _Line(msgspec.Struct):
    """What is read of a line of the log."""

    iteration: int
    loss: float
    seconds: float
    mean_iou: float | None = None


class _Scores(msgspec.Struct):
    mean_iou: float


class _Record(msgspec.Struct):
    """What is read of a run's record."""

    iterations: int
    scores: _Scores
    train_seconds: float
    evaluate_seconds: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """One run."""

    name: str
    """Its folder in the study's."""
    head: str
    mode: str
    seed: int
    state: State
    iteration: int
    iterations: int
    loss: float | None = None
    """The last one that was logged."""
    mean_iou: float | None = None
    """In [0, 1]; of a run that is not finished, the last one that was logged."""
    hours_left: float | None = None
    """At the speed so far; None where that is not known."""
    hours: float | None = None
    """That training and the last evaluation took so far."""
    host: str = ""
    """Where it runs, or failed."""
    message: str = ""
    """Why it failed."""


def status(out: Path) -> list[RunStatus]:
    """Every run of the study in this folder, in the order of its plan.

    Raises:
        ValueError: no study was started there, or its plan is damaged.
    """
    return status_of(out, read(out).experiments())


def status_of(out: Path, experiments: Mapping[str, dict[str, Any]]) -> list[RunStatus]:
    """The state of runs in a folder, by name, whose experiments are in `config.to_dict`'s form."""
    now = time.time()
    return [_status(out, name, raw, now) for name, raw in experiments.items()]


def counts(runs: Iterable[RunStatus]) -> dict[State, int]:
    """How many runs are in each state, without those that none is in."""
    states = [run.state for run in runs]
    return {state: states.count(state) for state in STATES if state in states}


def _status(out: Path, name: str, raw: dict[str, Any], now: float) -> RunStatus:
    folder, iterations = out / name, raw["optimization"]["iterations"]
    facts: dict[str, Any] = {
        "name": name,
        "head": raw["model"]["head"],
        "mode": raw["model"]["mode"],
        "seed": raw["seed"],
        "iterations": iterations,
    }
    record, line = _recorded(folder), _last_line(folder / "log.jsonl")
    if record is not None:
        hours = (record.train_seconds + record.evaluate_seconds) / 3600
        loss = None if line is None else line.loss
        facts |= {"iteration": record.iterations, "loss": loss, "mean_iou": record.scores.mean_iou, "hours": hours}
        return RunStatus(**facts, state="finished")
    if line is not None:
        speed = line.seconds / line.iteration
        facts |= {"loss": line.loss, "mean_iou": line.mean_iou, "hours": line.seconds / 3600}
        facts["hours_left"] = speed * (iterations - line.iteration) / 3600
    facts["iteration"] = 0 if line is None else line.iteration
    if (host := holder(folder, now)) is not None:
        return RunStatus(**facts, state="running", host=host)
    if (failure := failures.read(folder)) is not None:
        return RunStatus(**facts, state="failed", host=failure.host, message=failure.message)
    begun = (folder / "experiment.json").exists() or line is not None
    return RunStatus(**facts, state="interrupted" if begun else "waiting")


def _recorded(folder: Path) -> _Record | None:
    """The record of a finished run; None where there is none, or one that cannot be read."""
    try:
        record = msgspec.json.decode(records.read_bytes(folder / "record.json"), type=_Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if record.kind == "run" else None


def _last_line(path: Path) -> _Line | None:
    """The last whole line of a log; None where there is none. The last one may be written just now."""
    try:
        records.regular_size(path)
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        try:
            parsed = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if parsed.iteration > 0:
            return parsed
    return None


def cancel(out: Path, *, wait: float = 2 * SECONDS, poll: float = 0.5) -> list[RunStatus]:
    """Stop every run of a study at its next checkpoint, on all machines that see the folder; returns the state afterwards.

    The same command that started the study continues it.

    Args:
        wait: seconds to wait for the runs to stop.

    Raises:
        ValueError: no study was started there, or the folder cannot be written.
    """
    read(out)
    try:
        (out / CANCEL).touch()
    except OSError as error:
        raise ValueError(f"cannot cancel the study in {out}: {error.strerror or error}") from error
    if (out / "slurm/jobs.json").exists():
        from segattn.study.engines.slurm_queue import cancel_pending, submitted

        cancel_pending(list(submitted(out).values()))
    give_up = time.monotonic() + wait
    runs = status(out)
    while any(run.state == "running" for run in runs) and time.monotonic() < give_up:
        time.sleep(poll)
        runs = status(out)
    return runs
