"""Figures of a study: accuracy against cost, and IoU by class; matplotlib without a display."""

from __future__ import annotations

import itertools
import math
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segattn.records import Cost
from segattn.report.shared.drawing import (
    ACCENT,
    BASELINE,
    HARD,
    INK,
    PAPER,
    QUIET,
    STYLE,
    Drawn,
    finish,
    say,
)
from segattn.report.shared.labels import place
from segattn.report.shared.text import percent, points, short
from segattn.report.study import curves, families, swept
from segattn.report.study.bench_columns import BenchColumns
from segattn.report.study.columns import parts
from segattn.report.study.rows import Row, is_hard
from segattn.report.study.study import MOST_SHOWN, Study
from segattn.report.study.words import size_text

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
    return [*drawn, *curves.draw(study), *swept.draw(study), _classes(study)]


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
    unit = "ms" if quantity == "latency" else "MiB"
    return _scatter(study, spots, f"{columns.part} {words}", columns.part, name, title, columns.note, unit=unit)


def _scatter(
    study: Study,
    spots: list[tuple[Row, float, float]],
    label: str,
    part: str,
    name: str,
    title: str,
    caption: str,
    *,
    unit: str = "GFLOPs",
) -> Drawn:
    """Mean IoU over a cost in `unit`; a head without a mechanism costs nothing and is a horizontal line instead of a point."""
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
            colour = BASELINE if row.is_baseline else QUIET
            line = axes.axhline(y, color=colour, linewidth=1, linestyle=(0, (4, 3)))
            say(line, f"{_value(study, row)}; no {part}")
            axes.text(1, y, f"{short(row.label)} (no {part})", color=colour, fontsize=8, ha="right", va="bottom",
                      transform=axes.get_yaxis_transform(), parse_math=False)  # fmt: skip
        _spots(study, axes, spots, unit)
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


def _value(study: Study, row: Row) -> str:
    """What a pointer shows of a row: its accuracy and the difference to the baseline."""
    spread = "" if row.deviation is None else f" ± {percent(row.deviation)}"
    delta = study.delta(row)
    apart = "" if delta is None else f", {points(delta.value)} to the baseline"
    return f"{row.label}: {percent(row.mean_iou)}{spread} % mIoU{apart}"


def _spots(study: Study, axes: Any, spots: list[tuple[Row, float, float]], unit: str) -> None:
    """The Pareto front and the points, in the colours of their families or of the front."""
    by_family = families.any_groups(study)
    front = pareto([(x, y) for _, x, y in spots])
    steps = [spots[index] for index in front]
    axes.plot(
        [x for _, x, _ in steps], [y for *_, y in steps], color=ACCENT, linewidth=1.2, drawstyle="steps-post", zorder=2
    )
    for index, (row, x, y) in enumerate(spots):
        colour = BASELINE if row.is_baseline else ACCENT if index in front else QUIET
        if by_family:
            colour = families.colour(row)
        if row.deviation is not None:
            axes.plot(
                [x, x], [y - 100 * row.deviation, y + 100 * row.deviation], color=colour, linewidth=0.9, alpha=0.6
            )
        marker = "s" if row.is_baseline else "o"
        face = colour if index in front or row.is_baseline else PAPER
        style = {"markerfacecolor": face, "markersize": 6, "markeredgewidth": 1.3, "zorder": 3}
        (point,) = axes.plot([x], [y], marker, color=colour, **style)
        say(point, f"{_value(study, row)}; {x:,.4g} {unit}")


def _name_spots(figure: Figure, axes: Any, spots: list[tuple[Row, float, float]], lines: list[float]) -> None:
    """Labels beside the points, with leader lines where they had to move."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout, so that pixels are final
    figure.set_layout_engine("none")
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # leader lines must not move them
    renderer = canvas.get_renderer()
    texts = [axes.text(0, 0, short(row.label), fontsize=8, parse_math=False) for row, *_ in spots]
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
    front = [points[index] for index in pareto([(x, y) for _, x, y in spots])]
    for (x0, y0), (x1, y1) in itertools.pairwise(front):
        bars += 4 * [(x0, y0 - 1, x1, y0 + 1), (x1 - 1, y0, x1 + 1, y1)]
    dots = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    notes = [_settled(text, bars + dots, renderer) for text in axes.texts if text not in texts]
    for height in (axes.transData.transform((1, y))[1] for y in lines):
        bars += 4 * [(frame.x0, height - 1, frame.x1, height + 1)]
    placements = place(points, sizes, tuple(frame.extents), bars + notes * 9)
    to_data = axes.transData.inverted()
    for text, placement in zip(texts, placements, strict=True):
        text.set(position=to_data.transform((placement.box[0] + 2, placement.box[1])), ha="left", va="bottom")
        if placement.leader:
            (x0, y0), (x1, y1) = to_data.transform(placement.leader)
            axes.plot([x0, x1], [y0, y1], color=QUIET, linewidth=0.6, zorder=1)


def _settled(text: Any, obstacles: list[tuple[float, float, float, float]], renderer: Any) -> tuple[Any, Any, Any, Any]:
    """Move a line's label to the end of the line, above or below it, where it covers least; its box in pixels."""

    def box(choice: tuple[str, str]) -> tuple[Any, Any, Any, Any]:
        text.set(x=float(choice[0] == "right"), ha=choice[0], va=choice[1])
        left, low, right, high = text.get_window_extent(renderer).extents
        return left, low, right, high

    def covered(choice: tuple[str, str]) -> int:
        left, low, right, high = box(choice)
        return sum(
            left < x1 and x0 < right and low < max(y0, y1) and min(y0, y1) < high for x0, y0, x1, y1 in obstacles
        )

    return box(min(itertools.product(("right", "left"), ("bottom", "top")), key=covered))


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
        axes.set_xticks(range(len(rows)), labels=[short(row.label) for row in rows], rotation=45, ha="left")
        axes.set_yticks(range(len(names)), labels=[short(name) for name in names])
        for tick, name in zip(axes.get_yticklabels(), names, strict=True):
            tick.set(color=HARD if is_hard(name) else INK, weight="bold" if is_hard(name) else "normal")
        for tick in (*axes.get_yticklabels(), *axes.get_xticklabels()):
            tick.set_parse_math(False)
        return finish(figure, "classes", "IoU by class", "Mean over seeds, in per cent; hard classes in violet.")
