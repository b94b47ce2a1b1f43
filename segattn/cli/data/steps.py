"""A bar for each step of a `segattn data` command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from segattn.cli import terminal
from segattn.data.tools import prepare


@contextmanager
def progress(console: Console, in_bytes: object = None) -> Iterator[prepare.OnStep]:
    """A bar for each step, where the output is a terminal."""
    quiet = not console.is_terminal
    columns = [terminal.Words("{task.description}"), BarColumn(), TimeRemainingColumn()]
    files = Progress(*columns, MofNCompleteColumn(), console=console, transient=True, disable=quiet)
    if in_bytes is not None:
        files = Progress(*columns, DownloadColumn(), console=console, transient=True, disable=quiet)
    tasks: dict[str, object] = {}

    def on_step(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            for task in files.task_ids:
                files.remove_task(task)
            tasks[what] = files.add_task(what, total=total)
        files.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

    with files:
        yield on_step
