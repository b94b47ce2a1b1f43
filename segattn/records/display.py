"""Records in a notebook: a short table in HTML, whose texts come from files and are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A title and rows of a label and a text.

    >>> table("run", [("classes", "<b>")])
    '<table><caption>run</caption><tr><th>classes</th><td>&lt;b&gt;</td></tr></table>'
    """
    cells = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in rows)
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"
