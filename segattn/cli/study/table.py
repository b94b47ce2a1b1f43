"""The table of a study's runs: state, progress, host."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from segattn.cli.terminal import printable
from segattn.study.status import STATES, RunStatus, counts

STYLES = {"running": "green", "failed": "red", "interrupted": "yellow", "waiting": "dim", "finished": ""}
"""Colours of the states."""


def summary(runs: Sequence[RunStatus]) -> str:
    """How many runs there are in each state, and the hours left of those that run.

    >>> run = RunStatus(name="a", head="fcn", mode="faithful", seed=0, state="waiting", iteration=0, iterations=5)
    >>> summary([run])
    '1 run: 1 waiting'
    """
    parts = ", ".join(f"{count} {state}" for state, count in counts(runs).items())
    left = [run.hours_left for run in runs if run.state == "running" and run.hours_left is not None]
    rest = f"; the slowest of those that run has {hours(max(left))} left" if left else ""
    return f"{len(runs):,} run{'s' if len(runs) != 1 else ''}: {parts}{rest}"


def table(runs: Sequence[RunStatus], *, most: int | None = None) -> Table:
    """One row for each run, in the order of the plan; of more than `most` runs, those that need a look."""
    shown = list(runs)
    if most is not None and len(shown) > most:
        shown = sorted(shown, key=lambda run: STATES.index(run.state))[:most]
    rows = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 0, 0, 2))
    rows.add_column("run", overflow="fold", min_width=12)
    rows.add_column("state", no_wrap=True)
    for heading in ("iteration", "loss", "mIoU", "left"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("host", overflow="fold")
    for run in shown:
        rows.add_row(
            printable(run.name),
            Text(run.state, style=STYLES[run.state]),
            f"{run.iteration}/{run.iterations}",
            "" if run.loss is None else f"{run.loss:.3f}",
            "" if run.mean_iou is None else f"{100 * run.mean_iou:.2f}",
            "" if run.hours_left is None or run.state != "running" else hours(run.hours_left),
            printable(run.host),
        )
    return rows


def hours(value: float) -> str:
    """Hours as a short text.

    >>> hours(0.004), hours(0.5), hours(30.24)
    ('14 s', '30 min', '30.2 h')
    """
    if value < 1 / 60:
        return f"{3600 * value:.0f} s"
    return f"{60 * value:.0f} min" if value < 2 else f"{value:.1f} h"
