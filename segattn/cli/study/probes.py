"""`segattn study probes`: generated tasks that isolate one claim each."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import tyro

from segattn import backbones, experiments
from segattn.catalogue import unknown
from segattn.cli import next_step, terminal
from segattn.cli.arguments import head_names, parse
from segattn.cli.values import Device
from segattn.config import Experiment
from segattn.records import write_bytes

Task = Literal["reach", "conjunction", "noise", "thin", "compare"]


@dataclass(frozen=True)
class ProbesArguments:
    """Train small networks on generated scenes whose query is decided by something far away, and draw what each one reaches.

    The backbone sees squares of 8 x 8 pixels. Before the first run, a gradient proves that a network without a mechanism does not
    see what decides; a probe whose proof fails refuses to run. An interrupted command goes on where it stopped.

    segattn study probes
    segattn study probes reach --jobs 2
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASK ...")] = ()
    """reach: a marker at a distance; conjunction: colour and place together; noise: clutter; thin: lines; compare: the larger of
    two regions. All of them by default."""
    grid: Literal["reduced", "full"] = "reduced"
    """reduced: the heads that a claim is about, 5 seeds; full: every head, and more ablations of Denoised NL, 10 seeds."""
    heads: tuple[str, ...] = ()
    """Heads that the full grid adds to the reduced one, by name; all of them by default. One that the reduced grid has adds
    nothing, so `--heads fcn` adds only the ablations."""
    seeds: int | None = None
    """Number of runs of each network, in place of the grid's."""
    out: Path = Path("runs/probes")
    """Folder of the runs, the records and the figures."""
    backbone: str = "patches"
    """Backbone of all networks; with one that sees what decides, the probe refuses to run."""
    jobs: int | None = None
    """How many runs at a time, each in a worker process with an equal share of the cores."""
    device: Device = "cpu"
    """cpu, auto (the GPU if there is one) or cuda."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(ProbesArguments, arguments, command="study probes", details={})
    for task in chosen.tasks:
        if task not in get_args(Task):
            raise unknown("task", task, get_args(Task))
    for name, value in (("--seeds", chosen.seeds), ("--jobs", chosen.jobs)):
        if value is not None and value < 1:
            raise ValueError(f"{name} {value}: at least 1")
    if chosen.heads and chosen.grid == "reduced":
        raise ValueError("--heads says which heads the full grid adds; give --grid full as well")
    return _run(chosen, arguments)


def _run(chosen: ProbesArguments, words: Sequence[str]) -> int:
    from segattn.cli.progress import study_progress
    from segattn.cli.study.board import board
    from segattn.records.probes import read_probe
    from segattn.report.probes import figure, table
    from segattn.study.engines.local import Local
    from segattn.study.failures import RunsFailed
    from segattn.study.probes.plan import Plan
    from segattn.study.probes.run import run_probes
    from segattn.training.train import Interrupted

    console = terminal.console()
    engine = None if chosen.jobs is None else Local(jobs=chosen.jobs, device=chosen.device)
    plan = Plan(
        base=_with_backbone(chosen.backbone),
        tasks=cast(tuple[Task, ...], tuple(dict.fromkeys(chosen.tasks)) or get_args(Task)),
        grid=chosen.grid,
        heads=head_names(chosen.heads or ("all",)) if chosen.grid == "full" else (),
        seeds=chosen.seeds,
    )
    try:
        with study_progress(console) as reporter, board(console, quiet=engine is None) as on_event:
            paths = run_probes(
                plan,
                chosen.out,
                command=shlex.join(["segattn", "study", "probes", *words]),
                device=chosen.device,
                engine=engine,
                on_position=reporter if engine is None else lambda position: None,
                on_event=on_event,
                on_notice=partial(console.print, highlight=False, markup=False),
            )
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    except RunsFailed as failed:
        print(f"segattn: error: {failed}", file=sys.stderr)
        return 1
    written = []
    for path in paths:
        record = read_probe(path)
        console.print(table.text(record), highlight=False, markup=False)
        written.append(write_bytes(figure.draw(record).png, path.with_suffix(".png")))
    console.print("Figures: " + ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    if chosen.grid == "reduced":
        more = ["--grid", "full"]
        next_step.with_words(console, ["study", "probes"], words, without={"--grid": 1}, more=more)
    return 0


def _with_backbone(name: str) -> Experiment:
    """The experiment of the probes with that backbone; built-in ones are as narrow as `patches`."""
    base = experiments.load("probe")
    options = base.model.backbone_options if name in backbones.names() else {}
    return replace(base, model=replace(base.model, backbone=name, backbone_options=options))
