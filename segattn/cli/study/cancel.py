"""`segattn study cancel`: stop every run of a study at its next checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from segattn.cli import terminal
from segattn.cli.arguments import parse
from segattn.cli.study.table import summary


@dataclass(frozen=True)
class CancelArguments:
    """Stop every run of a study: each writes a checkpoint and ends, on whatever machine it is. The command that started the study
    continues it.

        segattn study cancel runs/quick
        segattn study cancel runs/quick --wait 300
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of the study."""
    wait: float = 60.0
    """Seconds to wait for the runs to stop."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(CancelArguments, arguments, command="study cancel", details={})
    from segattn.study.status import cancel

    if chosen.wait < 0:
        raise ValueError(f"--wait {chosen.wait:g} should be 0 or more")
    runs = cancel(chosen.folder, wait=chosen.wait)
    console = terminal.console()
    console.print(summary(runs), highlight=False, soft_wrap=True)
    if any(each.state == "running" for each in runs):
        console.print(
            f"Runs stop after their current step; see segattn study status {chosen.folder}",
            highlight=False,
            soft_wrap=True,
        )
    return 0
