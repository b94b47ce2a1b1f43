"""`segattn study`: every head, every seed, one protocol, one page."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from segattn import experiments, records, zoo
from segattn.cli import terminal
from segattn.cli.arguments import (
    RunArguments,
    check_modules,
    default_seeds,
    experiment_and_rest,
    head_names,
    listing,
    parse,
    with_examples,
    with_experiment,
)
from segattn.cli.experiment_options import WITHOUT_HEAD
from segattn.config import Data, Experiment, with_head


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """Of --engine slurm."""

    timeout: Annotated[str, tyro.conf.arg(metavar="TIME", aliases=("--timeout",))] = "24h"
    """Time limit of a run's task, such as 90min, 24h or 2d. A run that needs longer is requeued and goes on."""
    partition: Annotated[str | None, tyro.conf.arg(aliases=("--partition",))] = None
    """Partition of the cluster."""
    account: Annotated[str | None, tyro.conf.arg(aliases=("--account",))] = None
    """Account that is charged."""
    nodes: Annotated[int, tyro.conf.arg(aliases=("--nodes",))] = 1
    """Machines of each run, on each of which it has --gpus-per-run GPUs."""
    options: dict[str, Any] = field(default_factory=dict)
    """More options of sbatch, such as qos=low,mem=32GB."""
    on_interrupt: Annotated[Literal["stop", "leave"], tyro.conf.arg(aliases=("--on-interrupt",))] = "stop"
    """What Ctrl-C does with the tasks: stop them at a checkpoint, or leave them in the queue; the same command watches them
    again."""


@dataclass(frozen=True, kw_only=True)
class StudyArguments(RunArguments):
    """Train and evaluate every head under one protocol, and write tables, figures and report.html.

    segattn study quick
    segattn study camvid --data-root data/camvid --seeds 3 --jobs 2
    segattn study scratch --heads fcn ccnet --sweep optimization.lr=0.01,0.02
    """

    heads: tuple[str, ...] = ("study",)
    """Heads to compare: names of `segattn heads`, dotted module paths, study (fcn and the nine heads of the study), baselines
    (the heads without attention), or all."""
    seeds: int | None = None
    """Number of runs of each head; their seeds are --seed, --seed + 1, ... By default 3 for quick and 1 for the others."""
    out: Path | None = None
    """Folder of the study; by default runs/EXPERIMENT."""
    features: Path | None = None
    """Folder for the frozen backbone's maps in head-only studies; by default `features` in the study's folder."""
    features_limit: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "16GiB"
    """Size that they may have. Where they would be larger, the heads are trained side by side, one forward pass for all."""
    jobs: int | None = None
    """How many runs at a time, each in a worker process; without it they run one after the other in the command's own process."""
    cores_per_run: int | None = None
    """Threads of each run at a time; by default an equal share of the cores. Results of a CPU can depend on it."""
    gpus_per_run: float | None = None
    """GPUs of each run at a time: 1, or a fraction such as 0.5 where several share one; by default 1 where there are GPUs."""
    engine: Literal["local", "ray", "slurm"] | None = None
    """What executes the runs. local: worker processes on this machine, --jobs at a time; ray: Ray on this machine, or on the
    cluster that RAY_ADDRESS names; slurm: a job array."""
    slurm: SlurmOptions = SlurmOptions()
    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=V,V,...")] = ()
    """Study every head and seed with each of these values of a setting, such as optimization.lr=0.01,0.02; of several, with every
    combination. Or a file: a list of settings in JSON or YAML."""
    dry_run: bool = False
    """Print the table of runs, with the hours and memory that they are expected to take, and end."""


_OTHERS = """\
Beside EXPERIMENT, segattn study takes: status FOLDER (a table of all runs, from any machine), cancel FOLDER (stop them at their
next checkpoint), collect FOLDER ... (write the record of runs that were done elsewhere), probes (generated tasks that isolate one
claim each)."""
_COMMANDS = ("collect", "status", "cancel", "probes")
"""Words in place of an experiment, each with a module of its own."""


def run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in _COMMANDS:
        if arguments[0] in experiments.names():
            raise ValueError(
                f"the experiment {arguments[0]} has the name of a command of segattn study; rename its file"
            )
        command = importlib.import_module(f"segattn.cli.study.{arguments[0]}")
        return int(command.run(arguments[1:]))
    name, rest = experiment_and_rest(arguments, command="study", default="quick")
    options = with_experiment(StudyArguments, name)
    choices = f"EXPERIMENT is one of these, and quick if none is named:\n\n{listing()}"
    about = with_examples(StudyArguments.__doc__ or "")
    brief = f"{about}\n\nEXPERIMENT: {', '.join(experiments.names())}; quick if none is named.\n\n{_OTHERS}"
    chosen: Any = parse(
        *(options, rest),
        command=f"study {name}",
        description=f"{about}\n\n{choices}\n\n{_OTHERS}",
        brief=brief,
        details=WITHOUT_HEAD,
    )
    if chosen.seeds is not None and chosen.seeds < 1:
        raise ValueError(f"--seeds {chosen.seeds}: at least 1")
    seeds = default_seeds(name) if chosen.seeds is None else chosen.seeds
    check_modules(
        with_head(chosen.config, "fcn", seed=0), name, chosen.allow_module, rest
    )  # heads are those of --heads
    if chosen.dry_run:
        from segattn.cli.study.dry_run import show

        show(chosen, head_names(chosen.heads), range(chosen.config.seed, chosen.config.seed + seeds))
        return 0
    return _run(chosen, seeds, shlex.join(["segattn", "study", *arguments]))


def _run(chosen: Any, seeds: int, command: str) -> int:
    from segattn.cli.plan.quantities import memory_bytes
    from segattn.cli.progress import study_progress
    from segattn.cli.study.board import board
    from segattn.cli.study.engine import engine_of
    from segattn.cli.study.sweep import sweep_of
    from segattn.study.failures import RunsFailed
    from segattn.study.run import run_study, study_name
    from segattn.training.train import Interrupted

    try:
        limit = memory_bytes(chosen.features_limit)
    except ValueError:
        raise ValueError(
            f"--features-limit {chosen.features_limit!r}: a size above 0 with its unit, such as 500MB or 16GiB"
        ) from None
    config, names = chosen.config, head_names(chosen.heads)
    out = chosen.out or Path("runs") / study_name(config)
    first = os.environ.get("RANK", "0") == "0"  # only rank 0 prints and writes
    console = terminal.console(quiet=not first)
    engine, failure = engine_of(chosen), ""
    path = out / "study.json"
    try:
        with study_progress(console) as reporter, board(console, quiet=engine is None) as on_event:
            run_study(
                config,
                out,
                head_names=names,
                seeds=range(config.seed, config.seed + seeds),
                command=command,
                device=chosen.device,
                num_workers=chosen.workers,
                track=chosen.track,
                features=chosen.features,
                features_limit=limit,
                fully_trained=_fully_trained(config, names),
                sweep=sweep_of(chosen.sweep),
                engine=engine,
                on_position=reporter if engine is None else lambda position: None,
                on_event=on_event,
                on_notice=partial(console.print, highlight=False, markup=False),
            )
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    except RunsFailed as failed:
        failure = str(failed)
    if not first:
        return 0
    if not failure or path.exists():
        show_report(path, out, console)
    if failure:
        print(f"segattn: error: {failure}", file=sys.stderr)
    return 1 if failure else 0


def show_report(path: Path, out: Path, console: Console) -> None:
    """Write the report and print its table."""
    from segattn import report
    from segattn.cli.report import show

    study = report.load(path)
    written = report.build(study, out)
    console.print()
    show(study, console)
    console.print(f"\nReport: {written['report.html']}", highlight=False, soft_wrap=True)


def _fully_trained(config: Experiment, names: Sequence[str]) -> list[records.FullyTrained]:
    """What the zoo's networks of these heads reached on the trunk that the study starts from; [] for other weights or data."""
    where, of_zoo = config.network.pretrained, []
    if where is not None and zoo.is_named(where):
        of_zoo = zoo.networks(zoo.networks(where)[0].trunk)
    return [
        records.FullyTrained(
            name=entry.name, head=entry.head, mode=entry.mode, mean_iou=entry.mean_iou, num_images=entry.num_images
        )
        for entry in of_zoo
        if entry.head in names
        and entry.mode == config.model.mode
        and (config.data.name == entry.scenes["name"] or _are_packed(config.data, entry.class_names))
    ]


def _are_packed(section: Data, class_names: Sequence[str]) -> bool:
    """Whether the data set is a packed one with these classes: a packed file does not say which data set it was."""
    from segattn import data

    if section.name != "packed":
        return False
    return data.load("packed", section.val_split, root=section.root).class_names == tuple(class_names)
