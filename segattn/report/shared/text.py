"""Cells and texts of tables: escaped for Markdown, CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from segattn.profile.markdown import markdown_table

MISSING = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": r"$-$",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "²": r"\textsuperscript{2}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "“": "``",
    "”": "''",
} | {symbol: f"\\{symbol}" for symbol in "&%$#_"}


def latex_text(text: str) -> str:
    """Escape what LaTeX would interpret, and line breaks, which would end a caption."""
    return "".join(_LATEX.get(symbol, symbol) for symbol in one_line(text))


def one_line(text: str) -> str:
    """Without line breaks and repeated spaces."""
    return " ".join(text.split())


def csv_cell(text: str) -> str:
    """A text that a spreadsheet will not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def markdown_text(text: str) -> str:
    """Escape what Markdown would interpret, HTML included."""
    text = re.sub(r"([\\`*_\[\]|$])", r"\\\1", one_line(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "lr") -> str:
    """`markdown_table` of plain texts."""
    return markdown_table([*map(markdown_text, headings)], ([*map(markdown_text, row)] for row in rows), align=align)
