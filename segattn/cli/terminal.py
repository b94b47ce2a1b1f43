"""The terminal: texts are shown as they are, because names and paths may hold what rich reads as markup.

A string is text wherever it is printed: in messages, tables, progress bars and status lines. Only a `rich.text.Text` has styles.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text


def printable(text: str) -> str:
    """The text with its control characters written out, which a terminal would obey.

    >>> printable("road\\x1b[31m")
    'road\\\\x1b[31m'
    """
    return (
        text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    )


class _Console(Console):
    """A console for which every string is text."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """The string as text, whatever it holds."""
        return super().render_str(printable(text), **{**settings, "markup": False, "emoji": False})

    def on_broken_pipe(self) -> None:
        """End the command with the shell's code of a closed pipe (`head`, `less`); rich's 1 would mean that files failed."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(141) from None


def console(**settings: Any) -> Console:
    """A console for which `[name]` and `:name:` are text; `settings` are those of rich's `Console`.

    Where there is no terminal, and COLUMNS does not say how wide the output is, sentences are not wrapped.
    """
    output = _Console(markup=False, emoji=False, **settings)
    if "soft_wrap" not in settings and not output.is_terminal and "COLUMNS" not in os.environ:
        output.soft_wrap = True
    return output


class Words(TextColumn):
    """A column of a progress bar, such as `{task.description}`, whose texts are shown as they are."""

    def __init__(self, form: str, style: str = "none") -> None:
        super().__init__(form, style=style, markup=False)


@contextmanager
def status(console: Console) -> Iterator[Callable[[str], None]]:
    """A line that changes while something runs, where there is a terminal; yields the function that sets it."""
    with console.status("") as line:
        yield lambda text: line.update(Text(printable(text)))
