"""A study that sweeps over settings: curves over those that are numbers, and the best network within each budget."""

from __future__ import annotations

import itertools
from collections import defaultdict

import matplotlib as mpl
from matplotlib.figure import Figure

from segattn.report.shared.drawing import ACCENT, SHADE, STYLE, Drawn, finish, say
from segattn.report.shared.text import percent
from segattn.report.study.rows import Row
from segattn.report.study.study import MOST_PANELS, Study

_MOST = 10
"""Values on the axis of a curve that are written, and sentences on budgets."""


def names(study: Study) -> list[str]:
    """Short names of the settings that differ between rows, in order."""
    return list(dict.fromkeys(name for row in study.rows for name in row.swept))


def numeric(study: Study) -> list[str]:
    """Those whose values are numbers, at least two different ones."""
    chosen = []
    for name in names(study):
        values = [row.swept.get(name) for row in study.rows]
        if (
            all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            and len(set(values)) > 1
        ):
            chosen.append(name)
    return chosen


def lines(study: Study, name: str) -> dict[str, list[tuple[float, Row]]]:
    """(value, row) by what the rows have in common beside `name`, in rising order of the value."""
    series: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for row in study.rows:
        rest = ", ".join(f"{other}={value}" for other, value in row.swept.items() if other != name)
        label = " ".join(filter(None, [row.head, row.mode if len({r.mode for r in study.rows}) > 1 else "", rest]))
        series[label].append((row.swept[name], row))
    return {label: sorted(points, key=lambda point: point[0]) for label, points in sorted(series.items())}


def draw(study: Study) -> list[Drawn]:
    """A figure for each setting that is a number: mIoU over its values, one panel for each head."""
    return [_curve(study, name) for name in numeric(study)]


def _curve(study: Study, name: str) -> Drawn:
    series = lines(study, name)
    left_out = len(series) - MOST_PANELS
    if left_out > 0:
        best = sorted(series, key=lambda label: -max(row.mean_iou for _, row in series[label]))[:MOST_PANELS]
        series = {label: points for label, points in series.items() if label in best}
    columns = min(5, len(series))
    num_lines = -(-len(series) // columns)
    values = sorted({value for points in series.values() for value, _ in points})
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.1 * columns + 0.3, 1.55 * num_lines + 0.4), layout="constrained")
        grid = figure.subplots(num_lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(series) :]:
            axes.set_axis_off()
        for (label, points), axes in zip(series.items(), grid.flat, strict=False):
            axes.set_title(label[:28], parse_math=False)
            for other in series.values():
                axes.plot(
                    [value for value, _ in other], [100 * row.mean_iou for _, row in other], color=SHADE, linewidth=0.7
                )
            spread = [100 * (row.deviation or 0.0) for _, row in points]
            means = [100 * row.mean_iou for _, row in points]
            axes.errorbar(
                [value for value, _ in points], means, yerr=spread, color=ACCENT, marker="o", markersize=3, zorder=3
            )
            for (value, row), height in zip(points, means, strict=True):
                (point,) = axes.plot([value], [height], "o", color=ACCENT, markersize=3, zorder=4)
                deviation = "" if row.deviation is None else f" ± {percent(row.deviation)}"
                say(point, f"{label}, {name} = {value:g}: {height:.2f}{deviation} % mIoU")
            if values[0] > 0 and values[-1] / values[0] >= 10:
                axes.set_xscale("log")
            if len(values) <= _MOST:
                axes.set_xticks(values, labels=[f"{value:g}" for value in values])
                axes.minorticks_off()
        figure.supxlabel(name, fontsize=8)
        figure.supylabel("mIoU %", fontsize=8)
        return finish(
            figure,
            f"sweep_{name.replace('.', '_')}",
            f"mIoU over {name}",
            "Mean over seeds; bars are ± one standard deviation. The other rows are behind in grey."
            + (
                f" The {MOST_PANELS} curves with the highest points; {left_out:,} more are not drawn."
                if left_out > 0
                else ""
            ),
        )


def best(study: Study) -> list[str]:
    """One sentence for each budget: the highest mIoU among the rows that train at most that long.

    Of many budgets, the largest ones at which another row is the best.
    """
    if not names(study):
        return []
    budgets = sorted({row.runs[0].record.iterations for row in study.rows})
    tops = []
    for budget in budgets:
        within = [row for row in study.rows if row.runs[0].record.iterations <= budget]
        tops.append((budget, max(within, key=lambda row: row.mean_iou)))
    if len(tops) > _MOST:
        changes = [pair for before, pair in itertools.pairwise(tops) if pair[1] is not before[1]]
        tops = [tops[0], *changes][-_MOST:]
    return [
        f"Within {budget:,} iterations, {top.label} has the highest mIoU: {percent(top.mean_iou)} %."
        for budget, top in tops
    ]
