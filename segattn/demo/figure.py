"""The page as one picture to download: the same pixels, maps, opacity and networks, drawn for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from segattn.demo import drawing
from segattn.demo.cards import caption, cost_rows, legend
from segattn.demo.explorer import Points, Seen
from segattn.demo.pictures import Picture
from segattn.maps.figure import png
from segattn.maps.look import AttentionMaps
from segattn.maps.panels import COLOURS, INK, LABEL, PAPER, QUIET, RULE, SMALL, WIDTH, Sheet, short

MARGIN, GAP = 0.22, 0.14
HEADER, LINE = 2.15, 0.82
"""Inches: above the first line of networks, and of text in every line."""
_STYLE: Any = {"font.size": 8, "text.color": INK, "axes.edgecolor": RULE, "axes.linewidth": 0.6,
               "xtick.color": QUIET, "xtick.labelsize": 7, "figure.facecolor": PAPER, "text.usetex": False}  # fmt: skip


def draw(seen: Sequence[Seen], picture: Picture, points: Points, *, opacity: float, shown: Mapping[str, str]) -> bytes:
    """PNG of the page. `shown` names the map of a network; its main map where that is no map of it."""
    block = len(seen[0].at) + 1
    columns = 2 * block if len(seen) > 1 else block
    height, width = picture.size
    panel = (WIDTH - 2 * MARGIN - (2 * block - 1) * GAP) / (2 * block)
    tall = panel * height / width
    lines = -(-len(seen) * block // columns)
    total = MARGIN + HEADER + lines * (tall + LINE)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, total))
        FigureCanvasAgg(figure)
        sheet = Sheet(figure, total, panel, tall)
        norm = drawing.scale_of(result for each in seen for result in each.at)
        _header(sheet, picture, points, norm, opacity)
        _legend(sheet, seen)
        for number, each in enumerate(seen):
            line, place = divmod(number * block, columns)
            left = MARGIN + place * (panel + GAP)
            _network(
                sheet,
                each,
                left,
                MARGIN + HEADER + line * (tall + LINE),
                norm,
                opacity,
                shown.get(each.network.name, ""),
            )
        return png(figure)[0]


def _network(sheet: Sheet, seen: Seen, left: float, top: float, norm: Normalize, opacity: float, wanted: str) -> None:
    main = wanted if wanted in seen.at[0].maps else seen.at[0].main
    end = sheet.text(left, top, short(seen.network.name, 26), size=LABEL, weight="bold")
    sheet.text(end + 0.05, top, main.replace("_", " ") or "no attention map", size=LABEL, color=QUIET)
    under = top + 0.08 + sheet.tall
    for number, result in enumerate(seen.at):
        x = left + number * (sheet.panel + GAP)
        note = _map(sheet, x, top + 0.08, result, main, norm, opacity, number)
        sheet.text(x, under + 0.14, short(note, round(sheet.panel * 19)), size=SMALL, color=QUIET)
    x = left + len(seen.at) * (sheet.panel + GAP)
    axes = _picture(sheet, x, top + 0.08, drawing.blend(seen.at[0].image, drawing.labelled(seen.at[0]), opacity))
    for number, result in enumerate(seen.at):
        _mark(axes, result.spot, number)
        line = under + 0.14 + 0.15 * number
        end = sheet.text(x, line, f"{number + 1}", size=SMALL, weight="bold", color=drawing.MARKS[number])
        sheet.swatch(end + 0.04, line - 0.01, result.palette[result.class_index])
        sure = f"{short(result.class_name, round(sheet.panel * 12) - 5)} {100 * result.confidence:.0f} %"
        sheet.text(end + 0.19, line, sure, size=SMALL)
    for number, row in enumerate(cost_rows(seen.cost)):
        text = f"{row[0]} {' / '.join(row[1:])}"
        sheet.text(left, under + 0.30 + 0.15 * number, text, size=SMALL, color=QUIET)


def _map(
    sheet: Sheet,
    left: float,
    top: float,
    result: AttentionMaps,
    name: str,
    norm: Normalize,
    opacity: float,
    number: int,
) -> str:
    """Draw one map; returns the text below it."""
    attention = result.maps.get(name)
    if attention is None:
        _mark(_picture(sheet, left, top, result.image), result.spot, number)
        return f"{number + 1}  no map"
    if attention.kind == "bases":
        axes = sheet.axes(left, top, sheet.panel, sheet.tall)
        axes.bar(range(len(attention.values)), attention.values, color=mpl.colormaps[COLOURS](0.35), width=0.84)
        axes.set(xticks=[], yticks=[])
    elif attention.kind == "channels":
        side = min(sheet.panel, sheet.tall)
        axes = sheet.axes(left + (sheet.panel - side) / 2, top, side, side)
        axes.imshow(drawing.coloured(attention.values, norm), interpolation="nearest", aspect="auto")
        axes.set(xticks=[], yticks=[])
    else:
        colours = drawing.over_picture(result, attention, norm)
        _mark(_picture(sheet, left, top, drawing.blend(result.image, colours, opacity)), result.spot, number)
    return f"{number + 1}  " + " of ".join(filter(None, caption(attention)))


def _picture(sheet: Sheet, left: float, top: float, image: np.ndarray, tall: float | None = None) -> Any:
    height, width = image.shape[:2]
    across = sheet.panel if tall is None else tall * width / height
    axes = sheet.axes(left, top, across, across * height / width)
    axes.imshow(image, aspect="auto", interpolation="antialiased")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    return axes


def _mark(axes: Any, spot: tuple[int, int], number: int) -> None:
    for colour, width in ((PAPER, 3.0), (drawing.MARKS[number], 1.6)):
        axes.plot(*spot, "o", markersize=8, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=width)


def _header(sheet: Sheet, picture: Picture, points: Points, norm: Normalize, opacity: float) -> None:
    pixels = " and ".join(f"({x}, {y})" for x, y in points)
    sheet.text(MARGIN, MARGIN + 0.16, f"{short(picture.name, 60)}: attention from {pixels}", size=12, weight="bold")
    height, width = picture.size
    tall = min(1.4, 2.8 * height / width)
    axes = _picture(sheet, MARGIN, MARGIN + 0.36, picture.shown, tall)
    for number, point in enumerate(points):
        _mark(axes, point, number)
    left = 3.3
    sheet.text(left, MARGIN + 0.46, "Value over the map's mean, one scale", size=LABEL, weight="bold")
    bar = sheet.axes(left, MARGIN + 0.58, 3.2, 0.14)
    bar.imshow(np.linspace(0, 1, 512)[None], cmap=COLOURS, aspect="auto", extent=(0, 1, 0, 1))
    places = drawing.ticks(norm)
    bar.set_xticks([at for at, _ in places], labels=[text for _, text in places])
    bar.set_yticks([])
    bar.tick_params(length=2, width=0.6)
    notes = (
        f"Drawn over the picture with an opacity of {100 * opacity:.0f} %. GFLOPs (2",
        "operations per multiply-add, one pass over this picture) and parameters",
        "are given for mechanism / head / network.",
    )
    for number, note in enumerate(notes):
        sheet.text(left, MARGIN + 1.08 + 0.155 * number, note, size=SMALL, color=QUIET)


def _legend(sheet: Sheet, seen: Sequence[Seen]) -> None:
    """Up to twenty classes in two columns."""
    left, top = 6.9, MARGIN + 0.46
    classes = legend(seen)
    sheet.text(left, top, "Predicted classes", size=LABEL, weight="bold")
    for number, (name, colour) in enumerate(classes[:20]):
        x, y = left + number // 10 * 1.75, top + 0.18 + 0.145 * (number % 10)
        sheet.swatch(x, y - 0.01, colour)
        sheet.text(x + 0.16, y, short(name, 22), size=SMALL)
    if len(classes) > 20:
        sheet.text(left + 1.2, top, f"and {len(classes) - 20} more", size=SMALL, color=QUIET)
