"""The figure of attention maps: the image with its pixel, each network's map on one scale, its prediction beside it.

The scale is relative: a map's value over the map's mean. Of weights that sum to 1 the mean is what every position would get if
all were equal, so that a sharp map on a coarse grid and a diffuse one on a fine grid can be compared. It is logarithmic, which
shows sharp maps, and stretched around 1 (a root of the logarithm), which shows diffuse ones; the colour bar has its numbers.
Maps are drawn as they are, a cell a position, over the pixels that the cell stands for, with the image's edges in white.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from segattn.data.classes import difference
from segattn.maps.panels import (
    CLASS_LINE,
    COLOURS,
    INK,
    LABEL,
    PAPER,
    QUIET,
    RULE,
    SMALL,
    WIDTH,
    Panel,
    Sheet,
    draw_panel,
    mark,
    picture,
    relative,
    scale,
    short,
)
from segattn.maps.types import PixelMaps

MARGIN, GAP, BESIDE = 0.22, 0.14, 3.0
"""Inches; the scale begins at BESIDE, the legend 4.1 inches further."""
LINES = 8
"""Of the legend, in a column."""
STYLE: Any = {"font.size": 8, "font.family": "sans-serif", "text.color": INK, "axes.edgecolor": RULE,
               "axes.linewidth": 0.6, "figure.facecolor": PAPER, "svg.fonttype": "none", "pdf.fonttype": 42, "text.usetex": False,
               "xtick.color": QUIET, "ytick.color": QUIET, "xtick.labelsize": 7, "ytick.labelsize": 7}  # fmt: skip


def draw(results: Sequence[PixelMaps], *, every_map: bool = False, predictions: bool = True, title: str = "") -> Figure:
    """Draw one pixel's maps in one or several networks: each one's main map, or every map.

    Without `predictions` more networks fit: a map names the class that its network predicts at the pixel.

    Raises:
        ValueError: nothing to draw, or networks of different images, pixels or classes.
    """
    _check(results)
    rows, columns = _rows(results, every_map, predictions)
    height, width = results[0].image.shape[:2]
    panel = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    tall = min(panel * height / width, 1.6 * panel)
    classes = _occurring(results) if predictions else []
    first = min((BESIDE - MARGIN - 2 * GAP) * height / width, 2.2)  # height of the image in the header
    top = 0.7 + max(first + 0.2, 0.2 + 0.158 * min(len(classes), LINES), 1.2)
    line = tall + (0.56 if predictions else 0.56 + CLASS_LINE)
    figure_height = MARGIN + top + line * len(rows) - 0.1
    norm = scale(_highest(rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, figure_height))
        FigureCanvasAgg(figure)
        sheet = Sheet(figure, figure_height, panel, tall)
        _header(sheet, results[0], norm, title, first)
        _legend(sheet, results[0], classes) if predictions else _captions(sheet)
        for number, row in enumerate(rows):
            y = MARGIN + top + number * line
            for column, item in enumerate(row):
                draw_panel(sheet, item, MARGIN + column * (panel + GAP), y, norm)
        return figure


def png(figure: Figure, dpi: int = 144) -> tuple[bytes, dict[str, Any]]:
    """The figure as PNG, and its size on the page for IPython, so that it is sharp on fine screens."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue(), {"width": round(figure.get_figwidth() * 96), "height": round(figure.get_figheight() * 96)}


def _check(results: Sequence[PixelMaps]) -> None:
    if not results:
        raise ValueError("there are no attention maps to draw")
    for result in results:
        if not result.maps:
            raise ValueError(f"{result.name} has no attention maps to draw; leave it out")
    first = results[0]
    for other in results[1:]:
        if other.pixel != first.pixel or not np.array_equal(other.image, first.image):
            raise ValueError(f"{first.name} and {other.name} belong to different images or pixels; draw a figure each")
        if other.class_names != first.class_names:
            how = difference(first.class_names, other.class_names)
            raise ValueError(
                f"{first.name} knows {len(first.class_names)} classes ({', '.join(first.class_names[:3])}, ...), "
                f"{other.name} {len(other.class_names)} ({', '.join(other.class_names[:3])}, ...): {how}"
                "networks of one figure need the same classes"
            )


def _rows(results: Sequence[PixelMaps], every_map: bool, predictions: bool) -> tuple[list[list[Panel]], int]:
    """Lines of panels and their number of columns: two networks with their main maps a line (three of a tall image), or one
    network with all its maps; without predictions five networks (six)."""
    blocks = []
    for result in results:
        shown = list(result.maps.values()) if every_map else [result.maps[result.main]]
        panels = [Panel(result, attention, class_below=not predictions) for attention in shown]
        blocks.append([*panels, Panel(result, None)] if predictions else panels)
    height, width = results[0].image.shape[:2]
    usual = 6 if height > 1.2 * width else 4 if predictions else 5
    columns = min(max(usual, *map(len, blocks)), 6) if every_map else usual
    lines: list[list[Panel]] = []
    for block in blocks:
        if every_map or not lines or len(lines[-1]) + len(block) > columns:
            lines.append([])
        for panel in block:
            if len(lines[-1]) == columns:
                lines.append([])
            lines[-1].append(panel)
    return lines, columns


def _highest(rows: Sequence[Sequence[Panel]]) -> float:
    """Upper end of the scale: 1, 2 or 5 times a power of ten above every map, 10 at least."""
    shown = [item.map.values for row in rows for item in row if item.map is not None and item.map.kind != "bases"]
    peak = max([10.0, *(float(relative(values).max(initial=0)) for values in shown)])
    decade = 10.0 ** math.floor(math.log10(peak) + 1e-9)
    return next(step * decade for step in (1, 2, 5, 10) if step * decade >= peak * (1 - 1e-9))


def _occurring(results: Sequence[PixelMaps]) -> list[int]:
    """The classes in the predictions, largest area first."""
    counts = np.zeros(len(results[0].class_names), np.int64)
    for result in results:
        counts += np.bincount(result.prediction.ravel(), minlength=len(counts))
    return [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]


def _header(sheet: Sheet, first: PixelMaps, norm: Normalize, title: str, tall: float) -> None:
    """The image, and beside it the scale in colours and words."""
    x, y = first.pixel
    sheet.text(MARGIN, MARGIN + 0.16, title or f"Attention from pixel ({x}, {y})", size=12, weight="bold")
    top, left = MARGIN + 0.36, BESIDE
    mark(picture(sheet, MARGIN, top, first.image, room=(BESIDE - MARGIN - 2 * GAP, tall)), first.spot)
    sheet.text(MARGIN, top + tall + 0.15, "image, the pixel marked", size=SMALL, color=QUIET)
    sheet.text(left, top + 0.1, "Value over the map's mean, one scale for all maps", size=LABEL, weight="bold")
    bar = sheet.axes(left, top + 0.22, 3.7, 0.14)
    bar.imshow(np.linspace(0, 1, 512)[None], cmap=COLOURS, aspect="auto", extent=(0, 1, 0, 1))
    ticks = _ticks(norm)
    bar.set_xticks(norm(ticks), labels=[f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×" for value in ticks])
    bar.set_yticks([])
    bar.tick_params(length=2, width=0.6)
    notes = (
        "Logarithmic, stretched around 1×. For attention weights, 1× is the share",
        "of each position if all were equal. A cell is a position of the feature",
        "map; white lines are edges of the image, rings mark the pixel.",
    )
    for number, note in enumerate(notes):
        sheet.text(left, top + 0.70 + 0.155 * number, note, size=SMALL, color=QUIET)


def _ticks(norm: Normalize) -> list[float]:
    """1, both ends, and round numbers between them whose labels have room."""
    highest = float(norm.vmax or 1.0)
    kept = [1.0, highest, 1 / highest]
    for value in (2.0, 5.0, 1.25, 20.0, 100.0, 1000.0, 10_000.0):
        for tick in (value, 1 / value):
            if 1 / highest < tick < highest and min(abs(norm(tick) - norm(other)) for other in kept) > 0.085:
                kept.append(tick)
    return kept


def _legend(sheet: Sheet, first: PixelMaps, classes: Sequence[int]) -> None:
    """The classes that occur, in up to three columns."""
    top, left = MARGIN + 0.46, BESIDE + 4.1
    sheet.text(left, top, "Predicted classes", size=LABEL, weight="bold")
    columns = min(math.ceil(len(classes) / LINES), 3)
    lines = min(math.ceil(len(classes) / columns), LINES)
    room = (WIDTH - MARGIN - left) / columns
    for number, index in enumerate(classes[: columns * LINES]):
        x, y = left + number // lines * room, top + 0.2 + 0.158 * (number % lines)
        sheet.swatch(x, y - 0.01, first.palette[index])
        sheet.text(x + 0.16, y, short(first.class_names[index], 34 // columns), size=SMALL)
    if len(classes) > columns * LINES:
        sheet.text(left + 1.2, top, f"and {len(classes) - columns * LINES} more", size=SMALL, color=QUIET)


def _captions(sheet: Sheet) -> None:
    """What stands below a map, where there are no predictions."""
    top, left = MARGIN + 0.46, BESIDE + 4.1
    sheet.text(left, top, "Below each map", size=LABEL, weight="bold")
    notes = (
        "the smallest share of its cells that holds half of the",
        "map's sum; the class that the network predicts at the",
        "pixel, and its probability.",
    )
    for number, note in enumerate(notes):
        sheet.text(left, top + 0.2 + 0.155 * number, note, size=SMALL, color=QUIET)
