"""`segattn train`: one network."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn.cli import terminal
from segattn.cli.arguments import RunArguments, check_modules, experiment_and_rest, parse, with_experiment


@dataclass(frozen=True, kw_only=True)
class TrainArguments(RunArguments):
    """Train one network, evaluate it, and write its record. The same command continues an interrupted run.

    segattn train scratch --head ccnet
    segattn train camvid --data-root data/camvid --init-from streets/ccnet
    """

    out: Path | None = None
    """Folder of the run; by default runs/EXPERIMENT/HEAD-MODE-sSEED."""
    features: Path | None = None
    """Folder of a frozen backbone's maps, for head-only training; what is missing there is computed and stored."""
    resume_from_good: bool = False
    """Let a run that diverged go on from its last good checkpoint with another learning rate, warm-up, decay or precision."""
    extend_to: int | None = None
    """Let a finished or interrupted run go on to this many iterations; its learning rates become those of the longer schedule."""


def run(arguments: Sequence[str]) -> int:
    name, rest = experiment_and_rest(arguments, command="train", about=TrainArguments.__doc__)
    options = with_experiment(TrainArguments, name)
    chosen: Any = parse(options, rest, command=f"train {name}", description=TrainArguments.__doc__)
    from segattn import heads
    from segattn.cli.progress import show_finished, study_progress
    from segattn.data.splits import open_data
    from segattn.study.run import Position, run_name, study_name
    from segattn.training.features import compute, plan_features
    from segattn.training.run import Progress
    from segattn.training.train import Interrupted, train

    config = check_modules(chosen.config, name, chosen.allow_module, rest)
    heads.module(config.model.head)
    out = chosen.out or Path("runs") / study_name(config) / run_name(config)
    settings: dict[str, Any] = {"device": chosen.device, "num_workers": chosen.workers, "track": chosen.track}
    settings |= {"resume_from_good": chosen.resume_from_good, "extend_to": chosen.extend_to}
    console = terminal.console(highlight=False, quiet=os.environ.get("RANK", "0") != "0")  # only rank 0 prints
    try:
        with study_progress(console) as reporter:

            def report(progress: Progress) -> None:
                reporter(Position(0, 1, run_name(config), progress))

            if chosen.features is not None:
                settings["opened"] = opened = open_data(config.data)
                plan = plan_features([config], opened, chosen.features, device=chosen.device)
                settings["stored"] = compute(plan, on_sample=lambda *done: report(Progress("features", *done)))
            record = train(config, out, **settings, on_notice=console.print, on_progress=report)
    except Interrupted as stopped:
        print(f"segattn: {stopped}", file=sys.stderr)
        return 130
    show_finished(console, record, out, config)
    return 0
