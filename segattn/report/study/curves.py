"""Training curves of a study: loss and accuracy over iterations, one small panel for each network."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segattn.records import CurvePoint
from segattn.report.shared.drawing import ACCENT, QUIET, SHADE, STYLE, Drawn, finish, say_curves
from segattn.report.shared.text import short
from segattn.report.study.rows import Row
from segattn.report.study.study import MOST_PANELS, Study

_CURVE_POINTS = 150
_SEEDS_SAID = 5
"""Curves of one network whose values a pointer shows."""
_MOST_SEEDS = 20
"""Curves of one network."""


def draw(study: Study) -> list[Drawn]:
    """The figures for which at least one run has two points."""
    drawn = []
    for name, title, value in (
        ("loss", "Training loss of the main output", _loss_of_output),
        ("validation", "mIoU % while training", _validation),
    ):
        series = (_series(row, value) for row in study.shown)
        if any(len(curves[0]) > 1 for curves in series if curves):
            drawn.append(_curves(study, name, title, value))
    return drawn


def _validation(point: CurvePoint) -> float | None:
    return point.mean_iou and 100 * point.mean_iou


def _loss_of_output(point: CurvePoint) -> float | None:
    """The loss of `out`, which every network has: sums of different numbers of losses cannot be compared. The sum where a record
    has nothing else."""
    return point.losses.get("out", None if point.losses else point.loss)


def _series(row: Row, value: Callable[[CurvePoint], float | None]) -> list[list[tuple[int, float]]]:
    """One curve per seed that has any value: (iteration, value), at most 150 points, each the mean of its stretch."""
    series = []
    for run in row.runs:
        curve = [(point.iteration, y) for point in run.record.curve if (y := value(point)) is not None]
        width = math.ceil(len(curve) / _CURVE_POINTS)
        chunks = [curve[start : start + width] for start in range(0, len(curve), width or 1)]
        if chunks:
            series.append([(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks])
    return series


def _curves(study: Study, name: str, title: str, value: Callable[[CurvePoint], float | None]) -> Drawn:
    """Small multiples: one panel per head, its seeds in blue, every other head behind it in grey."""
    rows = study.shown[:MOST_PANELS] if study.folded else study.rows
    series = {row.label: _series(row, value) for row in rows}
    columns = min(5, len(rows))
    lines = math.ceil(len(rows) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.1 * columns + 0.3, 1.55 * lines + 0.4), layout="constrained")
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(rows) :]:
            axes.set_axis_off()
        for row, axes in zip(rows, grid.flat, strict=False):
            axes.set_title(short(row.label, 22), parse_math=False)
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            for label, curves in series.items():
                own = label == row.label
                for curve in curves[:_MOST_SEEDS] if own else curves[:1]:
                    style = (
                        {"color": ACCENT, "linewidth": 1.1, "zorder": 3} if own else {"color": SHADE, "linewidth": 0.7}
                    )
                    axes.plot([x for x, _ in curve], [y for _, y in curve], **style)
        for row, axes in zip(rows, grid.flat, strict=False):
            seeds = [f"seed {run.record.seed}" for run in row.runs]
            say_curves(axes, row.label, dict(list(zip(seeds, series[row.label], strict=False))[:_SEEDS_SAID]))
        figure.supxlabel("iteration", fontsize=8, color=QUIET)
        return finish(
            figure,
            name,
            title,
            "One line per seed: this network in blue, the first seed of every other network in grey."
            + (f" The {MOST_PANELS} networks of highest mIoU." if study.folded else ""),
        )
