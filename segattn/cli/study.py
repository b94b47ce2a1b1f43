"""`segattn study`: every head, every seed, one protocol, one page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from segattn import records, zoo
from segattn.cli import terminal
from segattn.cli.arguments import (
    check_modules,
    default_seeds,
    experiment_and_rest,
    head_names,
    listing,
    parse,
    with_experiment,
)
from segattn.cli.experiment_options import WITHOUT_HEAD
from segattn.cli.values import Device, Modules
from segattn.config import Data, Experiment, with_head


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Train and evaluate every head under one protocol, and write tables, figures and report.html."""

    heads: tuple[str, ...] = ("study",)
    """Heads to compare: names of `segattn heads`, dotted module paths, study (fcn and the nine heads of the study), baselines
    (the heads without attention), or all."""
    seeds: int | None = None
    """Number of runs of each head; their seeds are --seed, --seed + 1, ... By default 3 for quick and 1 for the others."""
    out: Path | None = None
    """Folder of the study; by default runs/EXPERIMENT."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    workers: int = 0
    """Processes that prepare images; 0: the training process prepares them itself, between steps."""
    features: Path | None = None
    """Folder for the frozen backbone's maps in head-only studies; by default `features` in the study's folder."""
    features_limit: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "16GiB"
    """Size that they may have. Where they would be larger, the heads are trained side by side, one forward pass for all."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where EXPERIMENT is a file that names one of yours."""


def run(arguments: Sequence[str]) -> int:
    name, rest = experiment_and_rest(arguments, command="study", default="quick")
    options = with_experiment(StudyArguments, name)
    choices = f"segattn study EXPERIMENT ... takes one of these experiments, or quick if none is named:\n\n{listing()}"
    description = f"{StudyArguments.__doc__}\n\n{choices}"
    chosen: Any = parse(options, rest, command=f"study {name}", description=description, details=WITHOUT_HEAD)
    if chosen.seeds is not None and chosen.seeds < 1:
        raise ValueError(f"--seeds {chosen.seeds}: at least 1")
    seeds = default_seeds(name) if chosen.seeds is None else chosen.seeds
    check_modules(
        with_head(chosen.config, "fcn", seed=0), name, chosen.allow_module, rest
    )  # heads are those of --heads
    return _run(chosen, seeds, shlex.join(["segattn", "study", *arguments]))


def _run(chosen: Any, seeds: int, command: str) -> int:
    from segattn import report
    from segattn.cli.plan.quantities import memory_bytes
    from segattn.cli.progress import study_progress
    from segattn.cli.report import show
    from segattn.study.run import run_study
    from segattn.training.train import Interrupted

    try:
        limit = memory_bytes(chosen.features_limit)
    except ValueError:
        raise ValueError(
            f"--features-limit {chosen.features_limit!r}: a size above 0 with its unit, such as 500MB or 16GiB"
        ) from None
    config, names = chosen.config, head_names(chosen.heads)
    out = chosen.out or Path("runs") / config.name
    first = os.environ.get("RANK", "0") == "0"  # only rank 0 prints and writes
    console = terminal.console(quiet=not first)
    try:
        with study_progress(console) as reporter:
            path = run_study(
                config,
                out,
                head_names=names,
                seeds=range(config.seed, config.seed + seeds),
                command=command,
                device=chosen.device,
                num_workers=chosen.workers,
                features=chosen.features,
                features_limit=limit,
                fully_trained=_fully_trained(config, names),
                on_position=reporter,
                on_notice=partial(console.print, highlight=False, markup=False),
            )
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    if not first:
        return 0
    study = report.load(path)
    written = report.build(study, out)
    console.print()
    show(study, console)
    console.print(f"\nReport: {written['report.html']}", highlight=False, soft_wrap=True)
    return 0


def _fully_trained(config: Experiment, names: Sequence[str]) -> list[records.FullyTrained]:
    """What the zoo's networks of these heads reached on the trunk that the study starts from; [] for other weights or data."""
    where, of_zoo = config.model.pretrained, []
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
