"""How far `segattn bench` is, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn

from segattn.cli import terminal

_PAUSE = 30.0


class Shown:
    """Shows the share in [0, 1] that is done, and the current case: a bar in a terminal; elsewhere a line at each tenth, and at
    the first report `_PAUSE` seconds or more after the last line."""

    def __init__(self, console: Console, bar: Progress | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.console, self.bar, self.printed, self.now, self.at = console, bar, -1, now, now()
        self.task = None if bar is None else bar.add_task("starting", total=1.0)

    def notice(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False)

    def __call__(self, share: float, what: str) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=share, description=what)
        elif int(10 * share) > self.printed or self.now() - self.at >= _PAUSE:
            self.printed, self.at = int(10 * share), self.now()
            self.console.print(f"{100 * share:3.0f} %  {what}", highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Shown]:
    """Shows the progress within it."""
    console = terminal.console(stderr=True)  # standard output is the result
    if not console.is_terminal:
        yield Shown(console, None)
        return
    columns = (terminal.Words("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield Shown(console, bar)
