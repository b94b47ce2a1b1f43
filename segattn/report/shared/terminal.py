"""How tables look in the terminal: for its width and its encoding."""

from __future__ import annotations

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
