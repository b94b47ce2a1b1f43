"""`segattn report`: tables, figures and the page, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from segattn.cli._arguments import parse


@dataclass(frozen=True)
class ReportArguments:
    """Write report.html, report.md, table.csv, table.tex and figures from finished runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of studies or runs, or their records."""
    out: Path | None = None
    """Where to write; the first folder unless given."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(ReportArguments, arguments, command="report", description=ReportArguments.__doc__ or "")
    if not chosen.runs:
        raise ValueError("segattn report needs the folder of a study or of runs, such as runs/quick")
    from segattn import report

    first = chosen.runs[0]
    out = chosen.out or (first if first.is_dir() else first.parent)
    study = report.load(chosen.runs)
    written = report.build(study, out)
    console = Console()
    console.print(report.terminal_table(study))
    console.print()
    for path in written.values():
        if path.is_file():
            console.print(str(path), highlight=False, soft_wrap=True)
