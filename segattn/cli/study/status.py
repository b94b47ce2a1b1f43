"""`segattn study status`: a table of all runs of a study, from its files alone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Group
from rich.live import Live
from rich.text import Text

from segattn.cli import terminal
from segattn.cli.arguments import parse
from segattn.cli.study.table import summary, table

_FEWER = 8
"""Lines of a terminal that are not for rows."""


@dataclass(frozen=True)
class StatusArguments:
    """Print all runs of a study: state, iteration, loss, mIoU, time left, host. Only files are read, so it works on any machine
    that sees the folder.

        segattn study status runs/quick
        segattn study status runs/quick --watch

    running: a process holds the lease of the run's folder; interrupted: it was begun, and nobody trains it now.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of the study."""
    watch: bool = False
    """Show the table until all runs have ended, or until Ctrl-C, which stops no run."""
    every: float = 2.0
    """With --watch: seconds between two looks at the files."""
    format: Literal["table", "json"] = "table"
    """Format of the output."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(StatusArguments, arguments, command="study status", details={})
    from segattn.study.status import status

    if chosen.every <= 0:
        raise ValueError(f"--every {chosen.every:g} should be above 0")
    if chosen.watch and chosen.format == "json":
        raise ValueError("--watch shows a table; leave out --format json")
    console = terminal.console()
    runs = status(chosen.folder)
    if chosen.format == "json":
        print(json.dumps([asdict(each) for each in runs], indent=1))
        return 0
    if not chosen.watch:
        console.print(table(runs))
        for each in runs:
            if each.state == "failed":
                console.print(f"{each.name}: {each.message}", highlight=False, soft_wrap=True)
        console.print(summary(runs), highlight=False, soft_wrap=True)
        return 0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            most = max(1, console.height - _FEWER) if console.is_terminal else None
            live.update(Group(table(runs, most=most), Text(summary(runs))), refresh=True)
            if not any(each.state in ("running", "waiting") for each in runs):
                return 0
            time.sleep(chosen.every)
            runs = status(chosen.folder)
