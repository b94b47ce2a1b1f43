"""`segattn study collect`: the record and report of runs that were done elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from segattn.cli import terminal
from segattn.cli.arguments import parse


@dataclass(frozen=True)
class CollectArguments:
    """Write the record and the report of a study from finished runs, wherever and however they were done.

    segattn study collect runs/quick
    segattn study collect runs/here runs/there -o runs/all
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER ...")]
    """Folders of runs, or folders that hold them."""
    out: Path | None = None
    """Folder of the study, which holds all the runs; by default FOLDER, if there is only one."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(CollectArguments, arguments, command="study collect", details={})
    if not chosen.folders:
        raise ValueError("segattn study collect needs a folder of runs; see segattn study collect --help")
    from segattn.cli.study import show_report
    from segattn.study.collect import collect

    console = terminal.console()
    command = shlex.join(["segattn", "study", "collect", *arguments])
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    path = collect(chosen.folders, chosen.out, command=command, on_notice=say)
    show_report(path, path.parent, console)
    return 0
