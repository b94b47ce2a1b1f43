"""A comparison of two networks in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from segattn.report.comparison.compare import Comparison, Line
from segattn.report.comparison.tables import HEADINGS, cells, without_cells, without_headings
from segattn.report.comparison.without import Without
from segattn.report.comparison.words import finding, headline, notes, title, without_text
from segattn.report.shared.terminal import plain, table_style
from segattn.report.shared.text import percent, points
from segattn.report.study.contribution import NAME

SHOWN = 5
"""Images listed."""


class TerminalComparison:
    """A rich renderable: the difference, classes, images, and caveats."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lay the tables out for the width and encoding at hand."""
        comparison = self.comparison

        def text(value: str, style: str = "") -> Text:
            return plain(value, style, ascii_only=options.ascii_only)

        yield text(title(comparison))
        yield text(headline(comparison), "bold")
        yield text("")
        names = (comparison.a.label, comparison.b.label)
        yield text(f"A is {names[0]}, B is {names[1]}.", "dim")
        table = Table(**table_style(options))
        for index, heading in enumerate(("", *HEADINGS)):
            name = index == 0
            table.add_column(
                text(heading),
                justify="left" if name or not heading else "right",
                no_wrap=not name,
                overflow="fold",
                min_width=4 if name else None,
            )

        def add(lines: list[Line]) -> None:
            for line in lines:
                style = "bold" if line is comparison.total or line.clear else "dim" if line.p is None else ""
                table.add_row(*(text(cell, style) for cell in [line.name, *cells(line)]))
            table.add_section()

        for group in ([comparison.total], comparison.details, comparison.classes):
            add(group)
        yield table
        if comparison.without is not None:
            yield text("")
            yield text(f"{NAME}:", "bold")
            yield self._without(comparison.without, text, options)
            yield text("")
            yield text(" ".join(without_text(comparison)))
        yield text("")
        yield text("Images on which they differ most (mean IoU % over the classes labelled there):", "bold")
        images = Table(**table_style(options))
        for index, heading in enumerate(("image", "A %", "B %", "A − B")):
            images.add_column(text(heading), justify="right" if index else "left", no_wrap=index > 0, overflow="fold")
        for image in comparison.images[:SHOWN]:
            values = (image.name, percent(image.a), percent(image.b), points(image.a - image.b))
            images.add_row(*map(text, values))
        yield images
        yield text("")
        yield text(" ".join(finding(comparison)))
        yield text("")
        for note in notes(comparison):
            yield text(note, "dim")

    @staticmethod
    def _without(without: Without, text: Callable[..., Text], options: ConsoleOptions) -> Table:
        """Both networks with their mechanisms cut out."""
        table = Table(**table_style(options))
        for index, heading in enumerate(("", *without_headings(without))):
            table.add_column(text(heading), justify="right" if index else "left", no_wrap=index > 0, overflow="fold")
        for group in (without.scores, without.classes):
            for line in group:
                style = "bold" if line is without.scores[0] else ""
                table.add_row(*(text(cell, style) for cell in [line.name, *without_cells(without, line)]))
            table.add_section()
        return table
