"""`segattn train`: one network."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segattn.cli import terminal
from segattn.cli.arguments import check_modules, experiment_and_rest, parse, with_experiment
from segattn.cli.values import Device, Modules


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train one network, evaluate it, and write its record. The same command continues an interrupted run."""

    out: Path | None = None
    """Folder of the run; by default runs/EXPERIMENT/HEAD-MODE-sSEED."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    workers: int = 0
    """Processes that prepare images; 0: the training process prepares them itself, between steps."""
    features: Path | None = None
    """Folder of a frozen backbone's maps, for head-only training; what is missing there is computed and stored."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where EXPERIMENT is a file that names one of yours."""
    resume_from_good: bool = False
    """Let a run that diverged go on from its last good checkpoint with another learning rate, warm-up, decay or precision."""
    extend_to: int | None = None
    """Let a finished or interrupted run go on to this many iterations; its learning rates become those of the longer schedule."""


def run(arguments: Sequence[str]) -> int:
    name, rest = experiment_and_rest(arguments, command="train")
    options = with_experiment(TrainArguments, name)
    chosen: Any = parse(options, rest, command=f"train {name}", description=TrainArguments.__doc__)
    from segattn import heads
    from segattn.cli.progress import study_progress
    from segattn.data.splits import open_data
    from segattn.study.run import Position, run_name, study_name
    from segattn.training.features import compute, plan_features
    from segattn.training.run import Progress
    from segattn.training.train import Interrupted, train

    config = check_modules(chosen.config, name, chosen.allow_module, rest)
    heads.module(config.model.head)
    out = chosen.out or Path("runs") / study_name(config) / run_name(config)
    settings: dict[str, Any] = {"device": chosen.device, "num_workers": chosen.workers, "extend_to": chosen.extend_to}
    console = terminal.console(quiet=os.environ.get("RANK", "0") != "0")  # only rank 0 prints
    try:
        with study_progress(console) as reporter:

            def report(progress: Progress) -> None:
                reporter(Position(0, 1, run_name(config), progress))

            if chosen.features is not None:
                settings["opened"] = opened = open_data(config.data)
                plan = plan_features([config], opened, chosen.features, device=chosen.device)
                settings["stored"] = compute(plan, on_sample=lambda *done: report(Progress("features", *done)))
            settings["on_notice"] = partial(console.print, highlight=False, markup=False)
            record = train(config, out, **settings, resume_from_good=chosen.resume_from_good, on_progress=report)
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    scores = record.scores
    console.out(
        f"{config.model.head} on {record.dataset} {record.split}: mIoU {100 * scores.mean_iou:.2f} %, "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f} %, {scores.num_images} images\n{out}",
        highlight=False,
    )
    return 0
