"""`segattn report`: tables, figures and the page, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse

if TYPE_CHECKING:
    from segattn.report import Study


@dataclass(frozen=True)
class ReportArguments:
    """Write report.html, report.md, table.csv, table.tex and figures from finished runs.

        segattn report runs/quick
        segattn report runs/quick bench.json

    Latency and memory come from records of `segattn bench`: those given, or a bench*.json in the study's folder. Bench records
    without runs get one page each, bench.html.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ...")]
    """Folders of studies or runs, their records, or records of segattn bench."""
    out: Path | None = None
    """Folder to write to; by default the first RUN, and for a bench record runs/NAME-OF-THE-RECORD."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(ReportArguments, arguments, command="report")
    if not chosen.runs:
        raise ValueError("segattn report needs the folder of a study or of runs: segattn report runs/quick")
    from segattn import report
    from segattn.report.bench import groups

    if groups.is_bench(chosen.runs):
        _benches(chosen)
        return
    first = chosen.runs[0]
    out = chosen.out or (first if first.is_dir() else first.parent)
    study = report.load(chosen.runs)
    written = report.build(study, out)
    console = terminal.console()
    show(study, console)
    console.print()
    _list(written, console)


def show(study: Study, console: Console) -> None:
    """The table of a study, and what to type next."""
    from segattn import report

    console.print(report.terminal_table(study))
    next_step.show_lines(console, report.next_steps(study, width=console.width - 2))


def _benches(chosen: ReportArguments) -> None:
    """A page for each bench record."""
    from segattn.report.bench import groups, page, tables

    console = terminal.console()
    for path in chosen.runs:
        record = groups.read(path)
        out = chosen.out or Path("runs") / path.stem
        out = out / path.stem if chosen.out and len(chosen.runs) > 1 else out
        written = page.build(record, out)
        tables.show(record, console)
        console.print()
        _list(written, console)
        if any(result.case.network and result.latency is not None for result in record.results):
            next_step.show(console, "choose", "--bench", path)


def _list(written: dict[str, Path], console: Console) -> None:
    for path in written.values():
        if path.is_file():
            console.print(str(path), highlight=False, soft_wrap=True)
