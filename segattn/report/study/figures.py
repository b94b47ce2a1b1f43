"""Figures of a study: accuracy against cost, training curves, IoU by class; matplotlib without a display."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segattn.records import Cost, CurvePoint
from segattn.report.shared.drawing import ACCENT, INK, PAPER, QUIET, SECOND, SHADE, STYLE, Drawn, finish
from segattn.report.shared.labels import place
from segattn.report.shared.text import one_line
from segattn.report.study import families, swept
from segattn.report.study.bench_columns import BenchColumns
from segattn.report.study.columns import parts
from segattn.report.study.rows import Row, is_hard
from segattn.report.study.study import MOST_PANELS, MOST_SHOWN, Study
from segattn.report.study.words import size_text

_CURVE_POINTS = 150
_MOST_SEEDS = 20
"""Curves of one network."""
_MOST_NAMES, _MOST_LINES = 12, 12
"""Names at points, and lines of networks without cost, where there are too many for all."""
_LEAST_RANGE = 0.5
"""Percentage points that the accuracy axis spans at least, so that a tie looks like one."""


def draw(study: Study) -> list[Drawn]:
    """Every figure that the records have data for."""
    drawn = []
    if len(study.rows) > 1:
        if any(row.trained_cost for row in study.rows):
            drawn += [_against_cost(study, part, trained=True) for part in ("network", "mechanism")]
        if study.cost_is_reference or any(map(study.reference_cost, study.rows)):
            drawn += [_against_cost(study, part, trained=False) for part in ("network", "mechanism")]
        if (columns := study.bench_columns) is not None:
            scatters = [_against_bench(study, columns, quantity) for quantity in ("latency", "memory")]
            drawn += [figure for figure in scatters if figure]
    curves: list[tuple[str, str, Callable[[CurvePoint], float | None]]] = [
        ("loss", "Training loss of the main output", _loss_of_output),
        ("validation", "mIoU % while training", lambda point: point.mean_iou and 100 * point.mean_iou),
    ]
    for name, title, value in curves:
        series = (_series(row, value) for row in study.shown)
        if any(len(curves[0]) > 1 for curves in series if curves):
            drawn.append(_curves(study, name, title, value))
    return [*drawn, *swept.draw(study), _classes(study)]


def _loss_of_output(point: CurvePoint) -> float | None:
    """The loss of `out`, which every network has: sums of different numbers of losses cannot be compared. The sum where a record
    has nothing else."""
    return point.losses.get("out", None if point.losses else point.loss)


def pareto(points: list[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, score) that no other point beats, cheapest first."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def _against_cost(study: Study, part: str, *, trained: bool) -> Drawn:
    """Mean IoU over GFLOPs."""
    costs: list[tuple[Row, Cost]] = []
    for row in study.rows:
        cost = row.trained_cost if trained else row.costs.get(study.sizes[0])
        if cost is not None:
            costs.append((row, cost))
    spots = [(row, parts(cost)[part].flops / 1e9, 100 * row.mean_iou) for row, cost in costs]
    shown = costs[0][1] if costs else None
    where = f"{shown.backbone}, {size_text(shown.input_size)}" if shown else ""
    source = "trained" if trained else "reference"
    return _scatter(
        study,
        spots,
        f"{part} GFLOPs (2 per multiply-add)\n{where}",
        part,
        f"accuracy_{part}_{source}",
        f"Accuracy against GFLOPs of the {part}, {'as trained' if trained else 'reference size'}",
        f"Cost of the network as trained here ({where})."
        if trained
        else f"Accuracy of the networks trained here; cost of the same head at the reference size ({where}).",
    )


def _against_bench(study: Study, columns: BenchColumns, quantity: str) -> Drawn | None:
    """Mean IoU over latency or memory; None below two points."""
    spots = []
    for row in study.rows:
        network = (row.head, row.mode)
        memory = columns.extra_bytes(network)
        value = columns.latency_ms(network) if quantity == "latency" else None if memory is None else memory / 2**20
        if value is not None:
            spots.append((row, value, 100 * row.mean_iou))
    if len(spots) < 2:
        return None
    words = "latency, ms" if quantity == "latency" else "memory above weights and inputs, MiB"
    name, title = f"accuracy_{quantity}", f"Accuracy against {quantity} of the {columns.part}, inference"
    return _scatter(study, spots, f"{columns.part} {words}", columns.part, name, title, columns.note)


def _scatter(
    study: Study, spots: list[tuple[Row, float, float]], label: str, part: str, name: str, title: str, caption: str
) -> Drawn:
    """Mean IoU over a cost; a head without a mechanism, which costs nothing, is a horizontal line instead of a point."""
    free = [(row, y) for row, x, y in spots if x == 0]
    spots = [spot for spot in spots if spot[1] > 0]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        xs = [x for _, x, _ in spots]
        logarithmic = bool(xs) and max(xs) / min(xs) > 12
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(xs) / min(xs) < 50 else (1,)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(label + (", log scale" if logarithmic else ""))
        axes.set_ylabel("mIoU %, mean over seeds" if any(row.n > 1 for row, *_ in spots) else "mIoU %")
        axes.margins(x=0.14, y=0.14)
        ys = [y for *_, y in spots] + [y for _, y in free]
        if max(ys) - min(ys) < _LEAST_RANGE:
            axes.set_ylim(min(ys) - _LEAST_RANGE / 2, max(ys) + _LEAST_RANGE / 2)
        free.sort(key=lambda line: -line[1])
        for row, y in free[:_MOST_LINES]:
            colour = SECOND if row.is_baseline else QUIET
            axes.axhline(y, color=colour, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(1, y, f"{_short(row.label)} (no {part})", color=colour, fontsize=8, ha="right", va="bottom",
                      transform=axes.get_yaxis_transform(), parse_math=False)  # fmt: skip
        _spots(axes, spots, families.any_groups(study))
        named = spots
        if len(spots) > MOST_SHOWN:
            named = _telling(spots)
            caption += " Names: the best points of the Pareto front, and the best baseline."
        _name_spots(figure, axes, named, [y for _, y in free[:_MOST_LINES]])
        return finish(figure, name, title, caption)


def _telling(spots: list[tuple[Row, float, float]]) -> list[tuple[Row, float, float]]:
    """The points to name among many."""
    front = [spots[index] for index in pareto([(x, y) for _, x, y in spots])][-_MOST_NAMES:]
    baselines = sorted((spot for spot in spots if spot[0].is_baseline), key=lambda spot: -spot[2])
    return [*front, *(spot for spot in baselines[:1] if spot not in front)]


def _spots(axes: Any, spots: list[tuple[Row, float, float]], by_family: bool) -> None:
    """The Pareto front and the points, in the colours of their families or of the front."""
    front = pareto([(x, y) for _, x, y in spots])
    steps = [spots[index] for index in front]
    axes.plot(
        [x for _, x, _ in steps], [y for *_, y in steps], color=ACCENT, linewidth=1.2, drawstyle="steps-post", zorder=2
    )
    for index, (row, x, y) in enumerate(spots):
        colour = SECOND if row.is_baseline else ACCENT if index in front else QUIET
        if by_family:
            colour = families.colour(row)
        if row.deviation is not None:
            axes.plot(
                [x, x], [y - 100 * row.deviation, y + 100 * row.deviation], color=colour, linewidth=0.9, alpha=0.6
            )
        marker = "s" if row.is_baseline else "o"
        face = colour if index in front or row.is_baseline else PAPER
        axes.plot([x], [y], marker, color=colour, markerfacecolor=face, markersize=6, markeredgewidth=1.3, zorder=3)


def _name_spots(figure: Figure, axes: Any, spots: list[tuple[Row, float, float]], lines: list[float]) -> None:
    """Labels beside the points, with leader lines where they had to move."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout, so that pixels are final
    figure.set_layout_engine("none")
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # leader lines must not move them
    renderer = canvas.get_renderer()
    texts = [axes.text(0, 0, _short(row.label), fontsize=8, parse_math=False) for row, *_ in spots]
    sizes = [(box.width + 4, box.height + 1) for box in (text.get_window_extent(renderer) for text in texts)]
    points = [tuple(axes.transData.transform((x, y))) for _, x, y in spots]
    frame = axes.get_window_extent(renderer)
    bars = []
    for row, x, y in spots:
        if row.deviation is not None:
            (left, low), (_, high) = axes.transData.transform(
                [(x, y - 100 * row.deviation), (x, y + 100 * row.deviation)]
            )
            bars.append((left - 1, low, left + 1, high))
    notes = [tuple(text.get_window_extent(renderer).extents) for text in axes.texts if text not in texts]
    for height in (axes.transData.transform((1, y))[1] for y in lines):
        bars += 4 * [(frame.x0, height - 1, frame.x1, height + 1)]
    front = [points[index] for index in pareto([(x, y) for _, x, y in spots])]
    for (x0, y0), (x1, y1) in itertools.pairwise(front):
        bars += 4 * [(x0, y0 - 1, x1, y0 + 1), (x1 - 1, y0, x1 + 1, y1)]
    placements = place(points, sizes, tuple(frame.extents), bars + notes * 9)
    to_data = axes.transData.inverted()
    for text, placement in zip(texts, placements, strict=True):
        text.set(position=to_data.transform((placement.box[0] + 2, placement.box[1])), ha="left", va="bottom")
        if placement.leader:
            (x0, y0), (x1, y1) = to_data.transform(placement.leader)
            axes.plot([x0, x1], [y0, y1], color=QUIET, linewidth=0.6, zorder=1)


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
            axes.set_title(_short(row.label, 22), parse_math=False)
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            for label, curves in series.items():
                own = label == row.label
                for curve in curves[:_MOST_SEEDS] if own else curves[:1]:
                    style = (
                        {"color": ACCENT, "linewidth": 1.1, "zorder": 3} if own else {"color": SHADE, "linewidth": 0.7}
                    )
                    axes.plot([x for x, _ in curve], [y for _, y in curve], **style)
        figure.supxlabel("iteration", fontsize=8, color=QUIET)
        return finish(
            figure,
            name,
            title,
            "One line per seed: this network in blue, the first seed of every other network in grey."
            + (f" The {MOST_PANELS} networks of highest mIoU." if study.folded else ""),
        )


def _classes(study: Study) -> Drawn:
    """IoU of each class (rows) and head (columns) as a heat map with its numbers."""
    names, rows = study.first.class_names, study.shown
    blues = LinearSegmentedColormap.from_list("blues", [PAPER, "#bfdcf1", "#6fb0de"])
    with mpl.rc_context({**STYLE, "axes.grid": False, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure = Figure(figsize=(1.6 + 0.52 * len(rows), 1.2 + 0.24 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        values = [
            [math.nan if (iou := row.iou[index]) is None else 100 * iou for row in rows] for index in range(len(names))
        ]
        axes.imshow(values, cmap=blues, vmin=0, vmax=100, aspect="auto")
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                axes.text(x, y, "–" if math.isnan(value) else f"{value:.1f}", ha="center", va="center", fontsize=7)
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(rows)), labels=[_short(row.label) for row in rows], rotation=45, ha="left")
        axes.set_yticks(range(len(names)), labels=[_short(name) for name in names])
        for tick, name in zip(axes.get_yticklabels(), names, strict=True):
            tick.set(color=SECOND if is_hard(name) else INK, weight="bold" if is_hard(name) else "normal")
        for tick in (*axes.get_yticklabels(), *axes.get_xticklabels()):
            tick.set_parse_math(False)
        return finish(figure, "classes", "IoU by class", "Mean over seeds, in per cent; hard classes in orange.")


def _short(text: str, limit: int = 28) -> str:
    text = one_line(text)
    return text if len(text) <= limit else f"{text[: limit - 9]}…{text[-8:]}"
