"""`segattn study`: every head, every seed, one protocol, one page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from segattn import heads
from segattn.cli.arguments import experiment_and_rest, listing, load_experiment, parse
from segattn.cli.experiment_options import ExperimentOptions


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Train and evaluate every head under one protocol, and write tables, figures and report.html."""

    heads: tuple[str, ...] = ()
    """Heads to compare; all of `segattn heads` unless given."""
    seeds: int = 1
    """Runs of each head, with seeds 0, 1, ... from the experiment's seed on."""
    out: Path | None = None
    """Folder of the study; runs/EXPERIMENT unless given."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    """Processes that prepare images; 0 prepares them between the steps."""


def run(arguments: Sequence[str]) -> int:
    name, rest = experiment_and_rest(arguments, command="study", default="quick")
    experiment = load_experiment(name)
    options: Any = make_dataclass(
        "StudyOptions",
        [("config", ExperimentOptions, field(default=experiment))],
        bases=(StudyArguments,),
        frozen=True,
        kw_only=True,
    )
    description = (
        f"{StudyArguments.__doc__}\n\nusage: segattn study [EXPERIMENT] [options], by default quick\n{listing()}"
    )
    chosen: Any = parse(options, rest, command=f"study {name}", description=description)
    if chosen.config.model.head != experiment.model.head:
        raise ValueError(
            f"a study compares heads: give --heads {chosen.config.model.head}; --head is for segattn train"
        )
    if chosen.seeds < 1:
        raise ValueError(f"--seeds {chosen.seeds}: at least 1")
    return _run(chosen, shlex.join(["segattn", "study", *arguments]))


def _run(chosen: Any, command: str) -> int:
    from segattn import report
    from segattn.cli.progress import study_progress
    from segattn.study.run import run_study
    from segattn.training.train import Interrupted

    config = chosen.config
    out = chosen.out or Path("runs") / config.name
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks and writes
    console = Console(quiet=not speaks)
    names = chosen.heads or tuple(sorted(heads.names(), key=lambda name: (name != "fcn", name)))  # the baseline first
    try:
        with study_progress(console) as reporter:
            path = run_study(
                config,
                out,
                head_names=names,
                seeds=range(config.seed, config.seed + chosen.seeds),
                command=command,
                device=chosen.device,
                num_workers=chosen.workers,
                on_position=reporter,
                on_notice=partial(console.print, highlight=False, markup=False),
            )
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    if not speaks:
        return 0
    written = report.build(path, out)
    console.print()
    console.print(report.terminal_table(report.load(path)))
    console.print(f"\nReport: {written['report.html']}", highlight=False)
    return 0
