"""The figure of effective receptive fields: one panel a network on one scale; of a single network the image and the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from segattn.maps.figure import GAP, MARGIN, STYLE
from segattn.maps.panels import COLOURS, INK, LABEL, MARK, PAPER, QUIET, SMALL, WIDTH, Sheet, short
from segattn.maps.receptive import ReceptiveField, Spread

COLUMNS = 5
DECADES = 5
"""Powers of ten that the scale spans below the highest share."""
_HEADER = 0.98
"""Inches above the first panel's heading."""


def draw(fields: Sequence[ReceptiveField], *, title: str = "Effective receptive field") -> Figure:
    """Draw each network's share of the gradient around the position, brighter where it is larger, with circles that hold half and
    90 % of it.

    Raises:
        ValueError: nothing to draw.
    """
    if not fields:
        raise ValueError("there is no receptive field to draw")
    panels = [(field.name, field.image, "px") for field in fields]
    if len(fields) == 1 and fields[0].features is not None:
        panels.append(("on the feature map", fields[0].features, "positions"))
    columns = min(COLUMNS, max(2, len(panels)))
    panel = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns
    height, width = (max(spread.shares.shape[dim] for _, spread, unit in panels if unit == "px") for dim in (0, 1))
    tall = min(max(panel * height / width, 0.3 * panel), 1.2 * panel)
    lines = -(-len(panels) // columns)
    line = tall + 0.72
    with mpl.rc_context(STYLE):
        total = MARGIN + _HEADER + line * lines
        figure = Figure(figsize=(WIDTH, total))
        FigureCanvasAgg(figure)
        sheet = Sheet(figure, total, panel, tall)
        _head(sheet, title, fields)
        scales = {unit: _scale([spread for _, spread, own in panels if own == unit]) for _, _, unit in panels}
        for number, (name, spread, unit) in enumerate(panels):
            left, top = MARGIN + number % columns * (panel + GAP), MARGIN + _HEADER + number // columns * line
            sheet.text(left, top, short(name, round(panel * 12)), size=LABEL, weight="bold")
            size = (height, width) if unit == "px" else spread.shares.shape
            _field(sheet, left, top + 0.08, spread, size, scales[unit])
            half, most = spread.radius(0.5), spread.radius(0.9)
            caption = f"half within {half} {unit}, 90 % within {most}"
            sheet.text(left, top + tall + 0.38, caption, size=SMALL, color=QUIET)
        return figure


def _head(sheet: Sheet, title: str, fields: Sequence[ReceptiveField]) -> None:
    sheet.text(MARGIN, MARGIN + 0.16, title, size=12, weight="bold")
    images = sorted({field.num_images for field in fields})
    count = " or ".join(map(str, images)) + (" image" if images == [1] else " images")
    notes = (
        f"Share of the gradient of the predicted class's logit, by the offset from its position; mean over {count}. Circles hold",
        "half and 90 % of it. One logarithmic scale for all networks; white: no gradient.",
    )
    for number, note in enumerate(notes):
        sheet.text(MARGIN, MARGIN + 0.37 + 0.155 * number, note, size=SMALL, color=QUIET)
    bar = sheet.axes(WIDTH - MARGIN - 2.4, MARGIN + 0.28, 2.4, 0.12)
    bar.imshow(np.linspace(0, 1, 512)[None], cmap=COLOURS, aspect="auto", extent=(-DECADES, 0, 0, 1))
    bar.set_xticks(range(-DECADES, 1), labels=["peak" if at == 0 else f"$10^{{{at}}}$" for at in range(-DECADES, 1)])
    bar.set_yticks([])
    bar.tick_params(length=2, width=0.6)


def _scale(spreads: Sequence[Spread]) -> LogNorm:
    highest = max(float(spread.shares.max()) for spread in spreads)
    return LogNorm(highest * 10.0**-DECADES, highest, clip=True)


def _field(sheet: Sheet, left: float, top: float, spread: Spread, size: Sequence[int], norm: LogNorm) -> None:
    """The shares with their position in the middle of a frame of `size` cells."""
    height, width = size
    across = min(sheet.panel, sheet.tall * width / height)
    axes: Any = sheet.axes(left, top, across, across * height / width)
    m, n = (side // 2 for side in spread.shares.shape)
    shown = np.where(spread.shares > 0, spread.shares, np.nan)
    axes.imshow(
        shown,
        extent=(-n - 0.5, n + 0.5, m + 0.5, -m - 0.5),
        norm=norm,
        cmap=COLOURS,
        aspect="auto",
        interpolation="nearest",
    )
    for share in (0.5, 0.9):
        for colour, thick in ((PAPER, 2.4), (MARK, 1.1)):
            axes.add_patch(Circle((0, 0), spread.radius(share), fill=False, edgecolor=colour, linewidth=thick))
    axes.set(xlim=(-width / 2, width / 2), ylim=(height / 2, -height / 2), facecolor=PAPER)
    axes.locator_params(nbins=5)
    axes.tick_params(length=2, width=0.6, labelsize=6, colors=QUIET, pad=1.5)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.4)
