"""Figures and lists as text; cells of tables, escaped for Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

from segattn.profile.markdown import markdown_table

MISSING = "–"
UNCLEAR = "≈"
"""Mark of what is not distinguishable."""
MOST_NAMED = 30
"""Names that a sentence lists; of more it gives the number."""
MOST_CAPTION = 40
"""Words of a caption."""
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
    "†": r"\textdagger{}",
    "“": "``",
    "”": "''",
} | {symbol: f"\\{symbol}" for symbol in "&%$#_"}
_FORMULA = {"=", "+", "-", "@", "|", "%", "\N{MINUS SIGN}"}
"""What formulas of spreadsheets begin with."""


def percent(value: float, digits: int = 2) -> str:
    """A fraction as a percentage without the sign: 0.4512 -> 45.12."""
    return f"{100 * value:.{digits}f}"


def points(value: float, digits: int = 2) -> str:
    """A difference of fractions in percentage points, signed, with a true minus sign: -0.012 -> −1.20."""
    text = f"{100 * value:+.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text[1:]


def interval_text(low: float | None, high: float | None) -> str:
    """Both ends in percentage points: 0.20, 1.60."""
    if low is None or high is None:
        return MISSING
    return ", ".join(points(end).removeprefix("+") for end in (low, high))


def listing(names: list[str]) -> str:
    """A, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def caption(sentences: Iterable[str], most: int = MOST_CAPTION) -> str:
    """The first of the sentences that have at most `most` words together; a first one that is longer is cut.

    >>> caption(["Ten networks on streets.", "Means over seeds."], most=5)
    'Ten networks on streets.'
    """
    chosen: list[str] = []
    for sentence in sentences:
        words = sentence.split()
        if len(chosen) + len(words) > most:
            return " ".join(chosen or [*words[: most - 1], "..."])
        chosen += words
    return " ".join(chosen)


def times(count: int) -> str:
    """How many comparisons: `one comparison`, `9 comparisons`."""
    return "one comparison" if count == 1 else f"{count} comparisons"


def latex_text(text: str) -> str:
    """Escape what LaTeX would interpret, and line breaks, which would end a caption."""
    text = one_line(text)
    first = "{}" if text[:1] in ("[", "*") else ""  # at the start of a row, they would belong to the \\\\ before it
    return first + "".join(_LATEX.get(symbol, symbol) for symbol in text)


def one_line(text: str) -> str:
    """Without line breaks and repeated spaces; a question mark for each character that cannot be shown."""
    return printable(" ".join(text.split()))


def short(text: str, limit: int = 28) -> str:
    """On one line of at most `limit` characters, the middle left out of a longer text.

    >>> short("laboratory.attention.heads.eleventh_variant")
    'laboratory.attentio…_variant'
    """
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 9]}…{text[-8:]}"


def printable(text: str) -> str:
    """The text with a question mark for each control character and other invisible one, which SVG and terminals cannot take.

    >>> printable("road\\x1b[31m")
    'road?[31m'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def csv_cell(value: object) -> object:
    """A field of a table: numbers as they are, texts on one line and so that no spreadsheet takes them for a formula.

    >>> csv_cell(-1.5), csv_cell("=1+1"), csv_cell("\uff1d1+1"), csv_cell("\ufeff@x"), csv_cell("road")
    (-1.5, "'=1+1", "'＝1+1", "'@x", 'road')
    """
    if not isinstance(value, str):
        return value
    text = one_line(
        "".join(symbol for symbol in value if unicodedata.category(symbol) != "Cf")
    )  # marks of order, U+FEFF
    first = unicodedata.normalize("NFKC", text[:1])  # full-width and small forms are taken for the usual ones
    return f"'{text}" if first in _FORMULA else text


def csv_table(rows: Iterable[Iterable[object]]) -> str:
    """The rows of a table as CSV, each field as `csv_cell`."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([*map(csv_cell, row)] for row in rows)
    return stream.getvalue()


def markdown_text(text: str) -> str:
    """Escape what Markdown would interpret, HTML included."""
    text = re.sub(r"([\\`*_\[\]|$])", r"\\\1", one_line(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "lr") -> str:
    """`markdown_table` of plain texts."""
    return markdown_table([*map(markdown_text, headings)], ([*map(markdown_text, row)] for row in rows), align=align)
