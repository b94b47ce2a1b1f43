"""Progress of training and studies in the terminal: bars where there is one, a few lines where there is none."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from segattn import records
from segattn.cli import next_step, terminal
from segattn.config import Experiment
from segattn.study.run import Position
from segattn.training import run

_PAUSE = 5.0
"""Seconds between two lines on the same network, where there is no terminal."""


@contextmanager
def study_progress(console: Console) -> Iterator[Reporter]:
    """A reporter for `run_study(on_position=...)`."""
    if not console.is_terminal:
        yield Reporter(console, None)
        return
    bar = Progress(
        terminal.Words("{task.description}", style="bold"),
        BarColumn(bar_width=None),
        terminal.Words("{task.fields[what]}"),
        _Left(),
        console=console,
    )
    with bar:
        yield Reporter(console, bar)


def scored(record: records.RunRecord) -> str:
    """The scores of a finished run as a line."""
    scores = record.scores
    count = f"{scores.num_images} image{'' if scores.num_images == 1 else 's'}"
    return (
        f"{record.head} on {record.dataset} {record.split}: mIoU {100 * scores.mean_iou:.2f} %, "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f} %, {count}"
    )


def show_finished(console: Console, record: records.RunRecord, out: Path, experiment: Experiment) -> None:
    """Print the scores of a run, its folder, and the next step."""
    console.out(f"{scored(record)}\n{out}")
    next_step.label_photos(console, out, modules=next_step.own_modules(experiment))


class _Left(ProgressColumn):
    """Time left, as the reporter estimates it."""

    def render(self, task: Task) -> Text:
        return Text(_left(task.fields.get("left")), style="cyan")


class Reporter:
    """Turns positions into a bar for the network and one for the study, or into lines.

    Networks are of similar length: those that this call has trained say how long the others take. The features before them are
    a stage of their own, with a time of their own.
    """

    def __init__(self, console: Console, bar: Progress | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.console, self.bar, self.now = console, bar, now
        self.began = now()
        self.name = ""
        self.first, self.share = (0.0, 0.0), 0.0
        """When the stage was first reported, and its share then; its share when it was last reported."""
        self.trained: float | None = None
        """Share of the network's iterations; None before the first one of this call."""
        self.done, self.skipped = 0.0, 0.0
        """Networks done so far, and those of them that were finished before this call, the begun ones in part."""
        self.printed, self.printed_at = -1, 0.0
        """The last quarter of the stage that has a line, and when it was printed."""
        if bar is not None:
            self.study_task = bar.add_task("study", total=1.0, visible=False, what="", left=None)
            self.run_task = bar.add_task("starting", total=1.0, what="", left=None)

    def __call__(self, position: Position) -> None:
        now, progress = self.now(), position.progress
        if progress is not None and (progress.stage, progress.done) == ("train", 0):  # a network is about to be trained
            self.began = now if self.done == self.skipped else self.began
            return
        is_features = progress is not None and progress.stage == "features"
        name = "features" if is_features else position.name
        anew = is_features and self._share(progress) < self.share  # those of other settings of a sweep
        if name != self.name or anew:
            self.name, self.trained, self.printed = name, None, -1
            self.first = (now, self._share(progress))
            if progress is None and position.run >= self.done:
                self.skipped += 1
            if progress is not None and progress.stage == "train":  # it may go on where an earlier call was stopped
                self.skipped += self._share(dataclasses.replace(progress, done=progress.before)) * position.count
        self.share = share = self._share(progress)
        left = self._left(share, now)
        if is_features:
            self._show(position, share, "features first", left, left)
            return
        self.done = max(self.done, position.run + share * position.count)
        ran = self.done - self.skipped
        all_left = None if ran < 0.05 else (now - self.began) / ran * (position.num_runs - self.done)
        last = position.run + position.count
        number = f"network {last}" if position.count == 1 else f"networks {position.run + 1} to {last}"
        self._show(position, share, f"{number} of {position.num_runs}", left, all_left)

    def _share(self, progress: run.Progress | None) -> float:
        """Done share of a stage; of a network, the last evaluation is the last tenth."""
        if progress is None:
            return 1.0
        share = progress.done / max(progress.total, 1)
        if progress.stage == "features":
            return share
        if progress.stage == "train":
            self.trained = share
            return 0.9 * share
        is_last = self.trained in (None, 1.0)  # otherwise one between two iterations
        return 0.9 + 0.1 * share if is_last else 0.9 * (self.trained or 0.0)

    def _left(self, share: float, now: float) -> float | None:
        began, first = self.first
        return (now - began) / (share - first) * (1 - share) if share - first > 0.02 else None

    def _show(self, position: Position, share: float, number: str, left: float | None, all_left: float | None) -> None:
        if self.bar is None:
            self._line(position, share, left if position.num_runs == 1 else all_left)
            return
        what = _words(position.progress)
        self.bar.update(self.run_task, description=self.name, completed=share, what=what, left=left)
        if self.name == "features":
            self.bar.update(self.study_task, what=number, left=None)
        else:
            several, share = position.num_runs > 1, self.done / position.num_runs
            self.bar.update(self.study_task, completed=share, visible=several, what=number, left=all_left)

    def _line(self, position: Position, share: float, left: float | None) -> None:
        """A line when a network or stage begins and when it ends; in between at each quarter, with a pause between lines."""
        quarter, now = int(4 * share), self.now()
        of_study = position.num_runs > 1 and self.name != "features"
        ends = position.progress is None if of_study else share == 1.0
        if quarter == self.printed or (self.printed >= 0 and not ends and now - self.printed_at < _PAUSE):
            return
        self.printed, self.printed_at = quarter, now
        rest = f", {words}" if (words := _left(left)) else ""
        rest += " for all" if rest and of_study else ""
        last = position.run + position.count
        numbers = f"{last}" if position.count == 1 else f"{position.run + 1}-{last}"
        number = f"[{numbers}/{position.num_runs}] " if of_study else ""
        text = f"{number}{self.name}: {_words(position.progress)}{rest}"
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _left(seconds: float | None) -> str:
    """Time left in words; empty while it is not known, and below a second."""
    return "" if seconds is None or seconds < 1 else f"{clock(seconds)} left"


def _words(progress: run.Progress | None) -> str:
    if progress is None:
        return "done"
    count = f"{progress.done} of {progress.total}"
    loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
    stages = {"train": f"train step {count}{loss}", "evaluate": f"evaluate image {count}"}
    return stages.get(progress.stage, f"sample {count}")
