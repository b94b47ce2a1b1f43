"""Progress of runs that an engine executes at the same time: a bar for each in a terminal, elsewhere a line for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID

from segattn.cli import terminal
from segattn.cli.progress import clock

if TYPE_CHECKING:
    from segattn.study.engines import Event


@contextmanager
def board(console: Console, *, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """What `run_study(on_event=...)` calls; nothing is shown where `quiet`."""
    if quiet:
        yield lambda event: None
    elif not console.is_terminal:
        yield Board(console, None)
    else:
        columns = (
            terminal.Words("{task.description}", style="bold"),
            BarColumn(bar_width=None),
            terminal.Words("{task.fields[what]}"),
        )
        with Progress(*columns, console=console) as bars:
            yield Board(console, bars)


class Board:
    """Turns events into lines and bars."""

    def __init__(self, console: Console, bars: Progress | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.console, self.bars, self.now = console, bars, now
        self.tasks: dict[str, TaskID] = {}
        self.began: dict[str, float] = {}
        self.done = 0

    def __call__(self, event: Event) -> None:
        name = event.job.name
        if event.state == "progress":
            self._progress(name, event)
            return
        if event.state == "started":
            self.began[name] = self.now()
            return
        if self.bars is not None and (task := self.tasks.pop(name, None)) is not None:
            self.bars.remove_task(task)
        self.done += len(event.job.runs) if event.state == "finished" else 0
        took = clock(self.now() - self.began.get(name, self.now()))
        where = f" on {event.host}" if event.host else ""
        says = {
            "finished": f"[{self.done}] {name}: done in {took}{where}",
            "retried": f"{name}: {event.message}{where}; tried again",
            "failed": f"{name}: failed{where}: {event.message}",
            "stopped": f"{name}: stopped{where}",
        }
        self.console.print(says[event.state], highlight=False, markup=False, soft_wrap=True)

    def _progress(self, name: str, event: Event) -> None:
        if self.bars is None or event.progress is None:
            return
        progress = event.progress
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=1.0, what="")
        loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
        what = f"{progress.stage} {progress.done} of {progress.total}{loss}"
        self.bars.update(self.tasks[name], completed=progress.done / max(progress.total, 1), what=what)
