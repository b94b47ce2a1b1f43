"""How tables look in the terminal: for its width and its encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import ConsoleOptions
from rich.text import Text

from segattn.report.shared.text import printable

_ASCII = {
    "±": "+-",
    "Δ": "diff",
    "×": "x",
    "²": "^2",
    "–": "-",
    "≈": "~",
    "≥": ">=",
    "†": "*",
    "\N{MINUS SIGN}": "-",
    "“": '"',
    "”": '"',
}
_ROOMY = 100
"""From this width on, cells stand two columns apart."""


def plain(value: str, style: str = "", *, ascii_only: bool = False) -> Text:
    """A text in symbols that the terminal can show; markup in it stays text."""
    value = printable(value)
    if ascii_only:
        value = "".join(_ASCII.get(symbol, symbol) for symbol in value)
        value = value.encode("ascii", "replace").decode()
    return Text(value, style=style)


def sheets(columns: Sequence[Sequence[str]], width: int, *, named: int = 1, gap: int = 1) -> list[list[int]]:
    """Which columns stand in each sheet of a table that is too wide, so that no cell is cut: the first `named` in every sheet.

    `columns` are the texts of each column with its heading, whose lines may be separated by line breaks; `gap` is the space
    between two columns. One sheet where all fit, otherwise as few as possible, of similar widths.

    >>> sheets([["head", "ccnet"], ["median ms", "39.1"], ["MiB", "3.98"]], width=16)
    [[0, 1], [0, 2]]
    """
    widths = [max(len(line) for text in column for line in text.split("\n")) for column in columns]
    fewest = _filled(widths, width, named, gap)
    narrower = (_filled(widths, each, named, gap) for each in range(1, width))
    return next((shown for shown in narrower if len(shown) == len(fewest)), fewest)


def _filled(widths: Sequence[int], width: int, named: int, gap: int) -> list[list[int]]:
    """The columns in order, a new sheet where the next column does not fit."""
    names = list(range(named))
    shown = [[*names]]
    for index in range(named, len(widths)):
        if sum(widths[n] + gap for n in (*shown[-1], index)) - gap > width and len(shown[-1]) > named:
            shown.append([*names])
        shown[-1].append(index)
    return shown


def table_style(options: ConsoleOptions) -> Any:
    """How tables look, for the width and encoding at hand."""
    return {
        "box": box.ASCII2 if options.ascii_only else box.SIMPLE_HEAD,
        "padding": (0, 1 if options.max_width >= _ROOMY else 0, 0, 0),
        "pad_edge": False,
        "collapse_padding": False,
        "show_edge": False,
        "header_style": "bold",
    }
