"""The main table in the terminal: as wide as the window, plain where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from segattn.report.shared.terminal import plain, table_style
from segattn.report.shared.text import MISSING, percent
from segattn.report.study import certainty, contribution, protocol, start
from segattn.report.study.legend import legend
from segattn.report.study.rows import Row
from segattn.report.study.study import Study
from segattn.report.study.tables import added_headings, delta_text, marked, score_cells
from segattn.report.study.words import counted_on, finding, shown_note

_WIDE = 120
"""From this width on, the interval of the mean is shown."""
_LEFT_OUT = ("pixel\nacc. %", "network\nGFLOPs", "head\nGFLOPs", "param.\nM", "train\ns", "mechanism\nGFLOPs")
"""Columns that a window leaves out, in this order, until the others fit."""
_FOLDED = 14
"""Names of networks are folded at this width before a column is left out."""


def headings(study: Study, *, interval: bool) -> list[str]:
    """Headings of the table, a line break where the terminal breaks; `interval` adds that of the mean."""
    scores = ["mIoU\n%", *(["95 % interval\nof the mean"] if interval else []), "\nn", f"Δ\n{study.baseline_name}"]
    short = {"Gate": "\ngate", f"{contribution.NAME} %": "without\nattention %", f"{start.NAME} %": "fully\ntrained %"}
    added = [short[name] for name in added_headings(study)]
    costs = ["mechanism\nGFLOPs", "head\nGFLOPs", "network\nGFLOPs", "param.\nM"]
    bench = ["latency\nms", "memory\nMiB"] if study.bench_columns else []
    return ["\nhead", *scores, *added, "pixel\nacc. %", *costs, *bench, "train\ns"]


def _fitting(columns: dict[str, list[str]], width: int, gap: int) -> dict[str, list[str]]:
    """The columns, by heading, without those that have to be left out at that width."""

    def total(shown: dict[str, list[str]]) -> int:
        first, *others = (max(map(len, [*name.split("\n"), *cells])) for name, cells in shown.items())
        return min(first, _FOLDED) + sum(gap + column for column in others)

    shown = dict(columns)
    for name in _LEFT_OUT:
        if total(shown) > width:
            shown.pop(name, None)
    return shown


class TerminalTable:
    """A rich renderable: title, table, finding and legend."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lay the table out for the width and encoding at hand."""

        def text(value: str, style: str = "") -> Text:
            return plain(value, style, ascii_only=options.ascii_only)

        table = Table(**table_style(options))
        wide = options.max_width >= _WIDE
        with_interval = wide and any(row.interval for row in self.study.rows)
        lines = [self._line(row, interval=with_interval, half=not wide) for row in self.study.shown]
        names = headings(self.study, interval=with_interval)
        columns = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
        shown = _fitting(columns, options.max_width, table.padding[1] + 1)
        yield text(self._title(counted=any("GFLOPs" in name for name in shown)), "bold")
        for index, heading in enumerate(shown):
            first = index == 0
            table.add_column(
                text(heading),
                justify="left" if first else "right",
                no_wrap=not first,
                overflow="fold",
                vertical="bottom",
                min_width=4 if first else None,
            )
        for row, line in zip(self.study.shown, zip(*shown.values(), strict=True), strict=True):
            style = "bold" if row is self.study.rows[0] else "dim" if row.is_baseline else ""
            table.add_row(*(text(cell, style) for cell in line))
        yield table
        if note := shown_note(self.study):
            yield text(note, "dim")
        if hidden := [" ".join(name.split()) for name in columns if name not in shown]:
            yield text(f"not shown at this width: {', '.join(hidden)}", "dim")
        yield text("")
        yield text(" ".join(finding(self.study, brief=True)))
        if caveats := [*certainty.unpaired_note(self.study), *protocol.other_training(self.study)]:
            yield text("")
            yield text(" ".join(caveats))
        if notes := legend(self.study, half=not wide):
            yield text("")
            yield text(notes, "dim")

    def _title(self, *, counted: bool) -> str:
        """What was scored, and on what the GFLOPs were counted where they are shown."""
        record = self.study.first
        costs = [cost for row in self.study.rows if (cost := self.study.cost(row)) is not None]
        of = " of the reference network" if self.study.cost_is_reference else ""
        where = f", {where}" if (where := counted_on(costs)) else ""
        gflops = f"; GFLOPs{of}: 2 per multiply-add{where}" if costs else ""
        return f"{record.dataset} {record.split}, {record.scores.images}{gflops if counted else ''}"

    def _line(self, row: Row, *, interval: bool, half: bool) -> list[str]:
        """The cells of a row, under `headings`."""
        line = [marked(self.study, row, row.label), *score_cells(self.study, row)]
        line[1] = line[1].replace(" ± ", " ±")
        line[3] = delta_text(self.study, row, half=half)
        if interval:
            line.insert(2, MISSING if row.interval is None else " to ".join(map(percent, row.interval)))
        return line


def terminal_table(study: Study) -> TerminalTable:
    """The final table of a study, for `rich.print`."""
    return TerminalTable(study)
