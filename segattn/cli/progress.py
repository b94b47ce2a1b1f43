"""Progress of training and studies in the terminal: a bar where there is one, a few lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from segattn.study.run import Position
from segattn.training import run


@contextmanager
def study_progress(console: Console) -> Iterator[Reporter]:
    """A reporter for `run_study(on_position=...)`."""
    if not console.is_terminal:
        yield Reporter(console, None)
        return
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[what]}"),
        _Left(),
        console=console,
    )
    with bar:
        yield Reporter(console, bar)


class _Left(ProgressColumn):
    """Time left, as the reporter estimates it."""

    def render(self, task: Task) -> Text:
        seconds = task.fields.get("left")
        return Text("" if seconds is None else f"{clock(seconds)} left", style="cyan")


class Reporter:
    """Turns positions into a bar for the network and one for the study, or into lines."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        self.console, self.bar = console, bar
        self.began = time.monotonic()
        self.run_began = self.began
        self.run = -1
        self.skipped = 0
        self.printed = -1
        if bar is not None:
            self.study_task = bar.add_task("study", total=1.0, what="", left=None)
            self.run_task = bar.add_task("starting", total=1.0, what="", left=None)

    def __call__(self, position: Position) -> None:
        now = time.monotonic()
        if position.run != self.run:
            self.run, self.run_began, self.printed = position.run, now, -1
            if position.progress is None:
                self.skipped += 1
        share = _share(position.progress)
        left = _left(now - self.run_began, share)
        # Networks are of similar length: those that this call ran say how long the rest takes.
        ran = position.run - self.skipped + share
        all_left = None if ran < 0.05 else (now - self.began) / ran * (position.num_runs - position.run - share)
        if self.bar is None:
            self._line(position, share, all_left)
            return
        what = _words(position.progress)
        self.bar.update(self.run_task, description=position.name, completed=share, what=what, left=left)
        done = position.run + share
        number = f"network {position.run + 1} of {position.num_runs}"
        self.bar.update(self.study_task, completed=done / position.num_runs, what=number, left=all_left)

    def _line(self, position: Position, share: float, left: float | None) -> None:
        quarter = int(4 * share)
        if quarter == self.printed:
            return
        self.printed = quarter
        rest = "" if left is None else f", {clock(left)} left for all"
        number = f"[{position.run + 1}/{position.num_runs}]"
        self.console.print(
            f"{number} {position.name}: {_words(position.progress)}{rest}", highlight=False, markup=False
        )


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _share(progress: run.Progress | None) -> float:
    """Done share of a run; the last evaluation counts as its last tenth, features before the first run as nothing."""
    if progress is None:
        return 1.0
    share = progress.done / max(progress.total, 1)
    if progress.stage == "features":
        return 0.0
    return 0.9 * share if progress.stage == "train" else 0.9 + 0.1 * share


def _left(seconds: float, share: float) -> float | None:
    return seconds / share * (1 - share) if share > 0.02 else None


def _words(progress: run.Progress | None) -> str:
    if progress is None:
        return "done"
    loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
    unit = {"train": "step", "evaluate": "image"}.get(progress.stage, "sample")
    return f"{progress.stage} {unit} {progress.done} of {progress.total}{loss}"
