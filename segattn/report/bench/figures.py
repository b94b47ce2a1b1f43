"""Figures of a bench record: times, the roofline, and how time and memory grow with the map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from segattn.records import BenchRecord
from segattn.report.bench.groups import MEMORY, Group, Line, groups
from segattn.report.bench.scaling import Curve, Pairs, compared, crossings, curves, statements
from segattn.report.shared.drawing import ACCENT, BASELINE, INK, PAPER, QUIET, RULE, STYLE, Drawn, finish, say
from segattn.report.shared.labels import place
from segattn.report.shared.text import one_line

_MARKS = "os^DvPX*<>"
"""One per head, so that curves do not differ by colour alone."""


def draw(record: BenchRecord) -> list[Drawn]:
    """Every figure that the record has data for."""
    drawn = []
    sweep = record.suite.startswith("sweep")
    for number, group in enumerate(groups(record)):
        timed = [line for line in group.lines if line.median_ms is not None]
        if sweep:
            continue  # its curves show the same
        if len(timed) > 1:
            drawn.append(_bars(group, timed, number))
        if any(line.roof and line.flops_per_second for line in timed):
            drawn.append(_roofline(group, [line for line in timed if line.roof and line.flops_per_second], number))
    every = curves(record)
    settings = list(dict.fromkeys((curve.setting, curve.quantity) for curve in every))
    for number, which in enumerate(settings):
        own = [curve for curve in every if (curve.setting, curve.quantity) == which]
        drawn.append(_scaling(own, number, compared(every)))
    return drawn


def _bars(group: Group, lines: Sequence[Line], number: int) -> Drawn:
    """Time and extra memory side by side, one bar per case, quartiles as whiskers."""
    several = group.has_forms
    names = [f"{line.case.label} {group.form(line.case)}" if several else line.case.label for line in lines]
    with mpl.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(7.4, 0.9 + 0.26 * len(lines)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        places = range(len(lines))
        colours = [BASELINE if line.case.implementation == "reference" and several else ACCENT for line in lines]
        times = [line.median_ms or 0.0 for line in lines]
        bars = left.barh(places, times, color=colours, height=0.66)
        for bar, name, value in zip(bars, names, times, strict=True):
            say(bar, f"{name}: {value:,.4g} ms")
        for y, line in enumerate(lines):
            assert line.result.latency is not None
            latency = line.result.latency
            left.plot([latency.lower_quartile_ms, latency.upper_quartile_ms], [y, y], color=INK, linewidth=1.2)
        memory = [(line.extra_bytes or 0) / 2**20 for line in lines]
        bars = right.barh(places, memory, color=colours, height=0.66)
        for bar, name, value in zip(bars, names, memory, strict=True):
            say(bar, f"{name}: {value:,.4g} MiB")
        for axes, values, unit in (
            (left, times, "median time, ms; quartiles in black"),
            (right, memory, "extra memory, MiB"),
        ):
            ends = (
                [line.result.latency.upper_quartile_ms for line in lines if line.result.latency]
                if axes is left
                else values
            )
            for y, (value, end) in enumerate(zip(values, ends, strict=True)):
                axes.annotate(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", (max(value, end), y), (4, 0),
                              textcoords="offset points", va="center", fontsize=8, color=INK)  # fmt: skip
            axes.set_xlabel(unit)
            axes.set_xlim(0, 1.2 * max([*values, *ends, 1e-9]))
        left.set_yticks(places, labels=[*map(one_line, names)])
        left.invert_yaxis()
        for tick in left.get_yticklabels():
            tick.set(color=INK, parse_math=False)
        caption = f"{group.title}." + (" Green: the reference form." if BASELINE in colours else "")
        return finish(figure, f"times_{number}", "Time and memory", caption)


def _roofline(group: Group, lines: Sequence[Line], number: int) -> Drawn:
    """FLOP/s reached over FLOPs for each byte, under the product's rate and the bandwidth measured in the same rounds."""
    limit = lines[0].limit
    assert limit is not None
    spots = [(line.intensity or 0.0, (line.flops_per_second or 0.0) / 1e9) for line in lines]
    ridge = limit.product_flops / limit.bandwidth
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 4.2), layout="constrained")
        axes = figure.add_subplot()
        _logarithmic(axes)
        low, high = min([x for x, _ in spots] + [ridge]) / 2, max([x for x, _ in spots] + [ridge]) * 3
        peak = limit.product_flops / 1e9
        axes.plot([low, ridge, high], [low * limit.bandwidth / 1e9, peak, peak], color=QUIET, linewidth=1.4, zorder=2)
        floor = min([y for _, y in spots] + [low * limit.bandwidth / 1e9])
        axes.set(xlim=(low, high), ylim=(floor / 1.8, 2.2 * max([peak, *(y for _, y in spots)])))
        axes.axvline(ridge, color=RULE, linewidth=1.2, zorder=1)
        axes.set_xlabel("FLOPs for each byte read and written (counted), log scale")
        axes.set_ylabel("GFLOP/s of the equation, log scale")
        axes.text(0.01, peak, f"roof: matrix product, {limit.dtype}, {peak:,.0f} GFLOP/s", va="center", fontsize=8,
                  color=QUIET, transform=axes.get_yaxis_transform())  # fmt: skip
        axes.text(ridge * 1.05, 0.02, f"right of {ridge:.3g}: bound by arithmetic", fontsize=8, color=QUIET, va="bottom",
                  transform=axes.get_xaxis_transform())  # fmt: skip
        axes.text(ridge / 1.05, 0.02, f"left: by memory, {limit.bandwidth / 1e9:,.0f} GB/s", fontsize=8, color=QUIET,
                  va="bottom", ha="right", transform=axes.get_xaxis_transform())  # fmt: skip
        several = group.has_forms
        for line, (x, y) in zip(lines, spots, strict=True):
            colour = BASELINE if several and line.case.implementation == "reference" else ACCENT
            face = PAPER if line.bound == MEMORY else colour
            style: dict[str, Any] = {"markerfacecolor": face, "markersize": 6, "markeredgewidth": 1.3, "zorder": 3}
            (point,) = axes.plot([x], [y], "o", color=colour, **style)
            name = f"{line.case.label} {group.form(line.case)}" if several else line.case.label
            say(point, f"{name}: {y:,.4g} GFLOP/s at {x:,.4g} FLOPs a byte")
        shown = [f"{line.case.label} {group.form(line.case)}" if several else line.case.label for line in lines]
        _label(figure, axes, spots, shown)
        caption = f"{group.title}. Filled: bound by arithmetic; hollow: by memory." + (
            " Green: the reference form." if any(line.case.implementation == "reference" for line in lines) else ""
        )
        return finish(figure, f"roofline_{number}", "Roofline: how close to the machine's limits", caption)


def _scaling(own: Sequence[Curve], number: int, pairs: Pairs) -> Drawn:
    """One line per head over the number of positions, with the crossings marked."""
    quantity, crossed = own[0].quantity, crossings(own, pairs)
    scale, unit = (1.0, "median time, ms") if quantity == "time" else (2**20, "extra memory, MiB")
    marked = {name for crossing in crossed for name in (crossing.first, crossing.second)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        _logarithmic(axes)
        for mark, curve in zip(itertools.cycle(_MARKS), own, strict=False):
            colour, width, order = (ACCENT, 1.6, 3) if curve.label in marked else (QUIET, 0.9, 2)
            heights = [value / scale for value in curve.values]
            axes.plot(curve.positions, heights, color=colour, linewidth=width, zorder=order)
            for n, height in zip(curve.positions, heights, strict=True):
                (point,) = axes.plot([n], [height], mark, color=colour, markersize=4.5, zorder=order)
                say(point, f"{curve.label}, {n:,} positions: {height:,.4g} {unit.rpartition(' ')[2]}")
        axes.set_xlabel("positions of the map, N = H W, log scale")
        axes.set_ylabel(f"{unit}, log scale")
        axes.margins(x=0.02)
        sizes = sorted({n for curve in own for n in curve.positions})
        axes.set_xticks(sizes, labels=[f"{math.isqrt(n)}²" if math.isqrt(n) ** 2 == n else str(n) for n in sizes])
        axes.xaxis.set_minor_locator(LogLocator(subs=()))
        for crossing in crossed:
            x, y = crossing.positions, crossing.value / scale
            axes.plot([x], [y], "o", color=INK, markersize=10, markerfacecolor="none", markeredgewidth=1.6, zorder=4)
            axes.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
        _ends(figure, axes, own, scale)
        said = " ".join(
            [*("Circles: crossings." for _ in crossed[:1]), *(f"{text}." for text in statements(own, pairs))]
        )
        title = "Time against map size" if quantity == "time" else "Memory against map size"
        return finish(figure, f"scaling_{quantity}_{number}", title, f"{own[0].setting}. {said}")


def _ends(figure: Figure, axes: Any, own: Sequence[Curve], scale: float) -> None:
    """The name and exponent of each curve at its right end, moved apart."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box = axes.get_position()
    axes.set_position([box.x0, box.y0, box.width * 0.74, box.height])
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    texts = [f"{curve.label}  N^{curve.exponent:.2f}" if curve.exponent is not None else curve.label for curve in own]
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((curve.positions[-1], curve.values[-1] / scale)))[1]
               for curve in own]  # fmt: skip
    order = sorted(range(len(own)), key=lambda i: heights[i])
    for index, y in zip(order, _apart([heights[index] for index in order], 0.05), strict=True):
        axes.annotate(texts[index], (own[index].positions[-1], own[index].values[-1] / scale), (1.04, y),
                      textcoords="axes fraction", fontsize=8, va="center", color=INK, parse_math=False, annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "color": RULE, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 3})  # fmt: skip


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in rising order moved `gap` apart at least, none above the upper edge."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    ceiling = 0.97  # of the middle of a line of text
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved


def _label(figure: Figure, axes: Any, spots: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Names beside the points, with leader lines where they had to move."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")
    renderer = canvas.get_renderer()
    notes = [tuple(text.get_window_extent(renderer).extents) for text in axes.texts]
    shown = [axes.text(0, 0, text, fontsize=8, parse_math=False) for text in texts]
    sizes = [(box.width + 4, box.height + 1) for box in (text.get_window_extent(renderer) for text in shown)]
    points = [tuple(axes.transData.transform(spot)) for spot in spots]
    frame = tuple(axes.get_window_extent(renderer).extents)
    for line in axes.lines[:1]:  # the roof
        corners = [tuple(axes.transData.transform(corner)) for corner in zip(*line.get_data(), strict=True)]
        notes += [(a[0], a[1] - 1, b[0], a[1] + 1) for a, b in itertools.pairwise(corners) if a[1] == b[1]]
    to_data = axes.transData.inverted()
    for text, placement in zip(shown, place(points, sizes, frame, notes * 9), strict=True):
        text.set(position=to_data.transform((placement.box[0] + 2, placement.box[1])), ha="left", va="bottom")
        if placement.leader:
            (x0, y0), (x1, y1) = to_data.transform(placement.leader)
            axes.plot([x0, x1], [y0, y1], color=QUIET, linewidth=0.6, zorder=1)


def _logarithmic(axes: Any) -> None:
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
