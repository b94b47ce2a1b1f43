"""`segattn report`: tables, figures and the page, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from segattn.cli.arguments import parse


@dataclass(frozen=True)
class ReportArguments:
    """Write report.html, report.md, table.csv, table.tex and figures from finished runs.

    Records of `segattn bench` among them, or a bench*.json in a study's folder, add latency and memory; bench records alone get
    a page of their own each, bench.html.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of studies or runs, or their records; records of segattn bench."""
    out: Path | None = None
    """Where to write; the first folder unless given, and for a bench record runs/ with its name."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(ReportArguments, arguments, command="report", description=ReportArguments.__doc__ or "")
    if not chosen.runs:
        raise ValueError("segattn report needs the folder of a study or of runs, such as runs/quick")
    from segattn import report
    from segattn.report.bench import groups

    if groups.is_bench(chosen.runs):
        _benches(chosen)
        return
    first = chosen.runs[0]
    out = chosen.out or (first if first.is_dir() else first.parent)
    study = report.load(chosen.runs)
    written = report.build(study, out)
    console = Console()
    console.print(report.terminal_table(study))
    console.print()
    _list(written, console)


def _benches(chosen: ReportArguments) -> None:
    """A page for each bench record."""
    from segattn.report.bench import groups, page, tables

    console = Console()
    for path in chosen.runs:
        record = groups.read(path)
        out = chosen.out or Path("runs") / path.stem
        out = out / path.stem if chosen.out and len(chosen.runs) > 1 else out
        written = page.build(record, out)
        tables.show(record, console)
        console.print()
        _list(written, console)


def _list(written: dict[str, Path], console: Console) -> None:
    for path in written.values():
        if path.is_file():
            console.print(str(path), highlight=False, soft_wrap=True)
