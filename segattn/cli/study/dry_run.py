"""`segattn study EXPERIMENT --dry-run`: the runs of a study, with the hours and the memory that they are expected to take."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from segattn import config as configuration
from segattn import data, records
from segattn.benchmark import peak
from segattn.cli import terminal
from segattn.cli.plan.time import device_at_hand, seconds_in
from segattn.cli.study.sweep import sweep_of
from segattn.cli.study.table import STYLES, hours, summary
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.device import resolve_device, resolve_precision
from segattn.model import build_model
from segattn.profile.liveness import Device
from segattn.study.plan import plan, run_name
from segattn.study.status import RunStatus, status_of
from segattn.study.sweep import paths
from segattn.training import start

_OF_MEMORY = (
    *("train", "batch_size", "accumulation", "ohem", "freeze_norm", "ema_decay", "activation_checkpointing"),
    *("channels_last", "momentum"),
)
"""Settings of the optimisation that can change the memory of a step."""


def show(chosen: Any, head_names: Sequence[str], seeds: Sequence[int]) -> None:
    """Print the table, and start the runs' networks from weights that are on this machine; nothing is written.

    Raises:
        ValueError: as `plan`; after the table, as `build_model` and `training.start.build`.
    """
    out = chosen.out or Path("runs") / chosen.config.name
    sweep = sweep_of(chosen.sweep)
    runs = {run_name(run, paths(sweep)): run for run in plan(chosen.config, head_names, seeds, sweep)}
    states = status_of(out, {name: configuration.to_dict(run) for name, run in runs.items()})
    device: Device = "cpu" if chosen.device == "cpu" else "cuda" if chosen.device == "cuda" else device_at_hand()
    expected = _Expected(out, states, device, chosen.config)
    rows = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 0, 0, 2))
    rows.add_column("run", overflow="fold", min_width=12)
    for heading in ("head", "seed", "state"):
        rows.add_column(heading, justify="right" if heading == "seed" else "left", no_wrap=True)
    for heading in ("time", "memory"):
        rows.add_column(heading, justify="right", no_wrap=True)
    total, unknown = 0.0, 0
    for state in states:
        run = runs[state.name]
        left = expected.hours_left(run, state)
        waits = state.state != "finished"
        total, unknown = total + (left or 0.0), unknown + (waits and left is None)
        rows.add_row(
            terminal.printable(state.name),
            terminal.printable(state.head),
            str(state.seed),
            Text(state.state, style=STYLES[state.state]),
            hours(left) if left is not None else "?" if waits else "",
            expected.memory(run) if waits else "",
        )
    console = terminal.console()
    console.print(rows)
    console.print(f"\n{summary(states)}", highlight=False, soft_wrap=True)
    for line in (_total(total, unknown), *expected.notes()):
        console.print(line, highlight=False)
    if expected.dataset is not None:
        _check_start((runs[state.name] for state in states if state.state != "finished"), expected.dataset)


def _total(total: float, unknown: int) -> str:
    if unknown and not total:
        return "Time: not known. It is taken from finished runs, and from bench*.json (segattn bench) in the study's folder."
    rest = f", and {unknown} runs of unknown length" if unknown else ""
    return f"Time: {hours(total)} of one run after the other{rest}."


def _check_start(runs: Iterable[Experiment], opened: Dataset) -> None:
    """Start the first network of every backbone as its run would, of every run where each has its own weights in a study.

    Weights whose name has a colon, such as URLs, are left out: they may have to be downloaded.

    Raises:
        ValueError: as `build_model` and `training.start.build`.
    """
    first: dict[str, Experiment] = {}
    for run in runs:
        where = run.init_from or run.model.pretrained
        if where is None or (":" in where and not os.path.exists(where)):
            continue
        own = (run.model.head, run.model.mode, run.seed) if start.is_study(where) else None
        backbone = replace(run.model, head="", mode="faithful", head_options={})
        first.setdefault(repr((backbone, run.init_from, own)), run)
    for run in first.values():
        if run.init_from is None:
            build_model(run.network, opened.num_classes, class_names=opened.class_names, seed=run.seed)
        else:
            start.build(run, (opened, opened))


class _Expected:
    """Times and memory of runs; each network is predicted once."""

    def __init__(self, out: Path, states: Sequence[RunStatus], device: Device, config: Experiment) -> None:
        self.device, self.config = device, config
        self.precision: Any = config.optimization.precision
        if self.precision == "auto":
            here = device == device_at_hand()
            self.precision = resolve_precision("auto", resolve_device(device)) if here else "bf16"
        self.benches = [
            records.read(path) for path in sorted(out.glob("bench*.json")) if records.kind_of(path) == "bench"
        ]
        self.took: dict[str, list[float]] = {}
        for state in states:
            if state.state == "finished" and state.hours:
                self.took.setdefault(state.head, []).append(state.hours)
        self.dataset = _opened(config)
        self.memories: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    def hours_left(self, run: Experiment, state: RunStatus) -> float | None:
        """Of a run that is not finished: at its own speed, that of a finished run of its head, or of a bench record's step."""
        if state.state == "finished":
            return None
        if state.hours_left is not None:
            return state.hours_left
        if state.head in self.took:
            return statistics.mean(self.took[state.head])
        for bench in self.benches:
            try:
                return seconds_in(bench, self._case(run)) * run.optimization.iterations / 3600
            except ValueError:
                continue
        return None

    def memory(self, run: Experiment) -> str:
        """The peak of a training step, in GB."""
        key = repr((run.network, [getattr(run.optimization, name) for name in _OF_MEMORY], run.augmentation.crop_size))
        if self.dataset is None:
            return "?"
        if key not in self.memories:
            try:
                self.memories[key] = f"{peak.predict(self._case(run)).total / 1e9:.2f} GB"
            except ValueError as error:
                self.memories[key] = "?"
                self.problems[run.model.head] = str(error)
        return self.memories[key]

    def _case(self, run: Experiment) -> peak.Case:
        return peak.Case(
            model=run.network,
            optimization=replace(run.optimization, precision=self.precision),
            crop_size=run.augmentation.crop_size,
            num_classes=self.dataset.num_classes if self.dataset else 0,
            device=self.device,
        )

    def notes(self) -> list[str]:
        """What the memory column means, or why it is empty."""
        if self.dataset is None:
            return ["Memory: not known, because the data set cannot be opened here."]
        if not self.memories:
            return []
        what = f"Memory: predicted peak of a training step on {self.device} in {self.precision} (docs/planner.md)."
        return [what, *(f"{head}: {problem}" for head, problem in self.problems.items())]


def _opened(config: Experiment) -> Dataset | None:
    """The training split; None where it cannot be opened here. No sample is read."""
    section = config.data
    try:
        return data.load(section.name, section.train_split, root=section.root, **section.options)
    except (ValueError, OSError):
        return None
