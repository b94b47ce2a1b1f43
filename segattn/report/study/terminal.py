"""The main table in the terminal: as wide as the window, plain where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from segattn.report.shared.terminal import plain, table_style
from segattn.report.shared.text import MISSING, percent
from segattn.report.study.study import Study
from segattn.report.study.tables import cells, delta_text
from segattn.report.study.words import finding, footnotes, size_text

_WIDE = 120
"""From this width on, the interval of the mean is shown."""


PIXEL_ACCURACY = "pixel\nacc. %"
"""Left out where the window is narrow and differences have an interval, which takes its place."""


def headings(study: Study, *, interval: bool) -> list[str]:
    """Headings of the table, a line break where the terminal breaks; `interval` adds that of the mean."""
    scores = ["mIoU\n%", *(["95 % interval\nof the mean"] if interval else []), "\nn", f"Δ\n{study.baseline_name}"]
    costs = ["mechanism\nGFLOPs", "head\nGFLOPs", "network\nGFLOPs", "param.\nM"]
    bench = ["latency\nms", "memory\nMiB"] if study.bench_columns else []
    return ["\nhead", *scores, PIXEL_ACCURACY, *costs, *bench, "train\ns"]


class TerminalTable:
    """A rich renderable: title, table, finding and definitions."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lay the table out for the width and encoding at hand."""

        def text(value: str, style: str = "") -> Text:
            return plain(value, style, ascii_only=options.ascii_only)

        record = self.study.first
        costs = [cost for row in self.study.rows if (cost := self.study.cost(row)) is not None]
        counted = f"; GFLOPs: 2 per multiply-add, one image of {size_text(costs[0].input_size)}" if costs else ""
        yield text(f"{record.dataset} {record.split}, {record.scores.num_images} images{counted}", "bold")
        table = Table(**table_style(options))
        wide = options.max_width >= _WIDE
        with_interval = wide and any(row.interval for row in self.study.rows)
        names = headings(self.study, interval=with_interval)
        deltas = [delta for row in self.study.rows if (delta := self.study.delta(row)) is not None]
        dropped = None if wide or all(delta.low is None for delta in deltas) else names.index(PIXEL_ACCURACY)
        for index, heading in enumerate(names):
            if index == dropped:
                continue
            first = index == 0
            table.add_column(
                text(heading),
                justify="left" if first else "right",
                no_wrap=not first,
                overflow="fold",
                vertical="bottom",
                min_width=4 if first else None,
            )
        for row in self.study.rows:
            style = "bold" if row is self.study.rows[0] else "dim" if row.is_baseline else ""
            line = cells(self.study, row)
            line[1] = line[1].replace(" ± ", " ±")
            line[3] = delta_text(self.study, row, half=not wide)
            if dropped is not None:
                del line[dropped]
            if with_interval:
                line.insert(2, MISSING if row.interval is None else " to ".join(map(percent, row.interval)))
            table.add_row(*(text(cell, style) for cell in line))
        yield table
        yield text("")
        yield text(" ".join(finding(self.study)))
        yield text("")
        for note in footnotes(self.study):
            yield text(note, "dim")


def terminal_table(study: Study) -> TerminalTable:
    """The final table of a study, for `rich.print`."""
    return TerminalTable(study)
