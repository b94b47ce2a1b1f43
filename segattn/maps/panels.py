"""Panels of the attention figure: maps on their scale, channel matrices, bases, predictions, on a sheet measured in inches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from PIL import Image, ImageFilter

from segattn.maps.placement import extent
from segattn.maps.types import AttentionMap, PixelMaps

INK, QUIET, RULE, PAPER, MARK = "#1b2126", "#66707a", "#c9cfd4", "#ffffff", "#d4002a"
COLOURS = "viridis"
"""Perceptually uniform, and read alike by the colour-blind and in grey print."""
WIDTH = 10.6
"""Inches that the figure is wide."""
CLASS_LINE = 0.17
"""Inches from a map's caption to the line with the predicted class."""
SMALL, LABEL = 7.5, 8.5
"""Points."""


@dataclass(frozen=True)
class Panel:
    """One picture of the figure: a map of `result`, or its prediction where `map` is None."""

    result: PixelMaps
    map: AttentionMap | None
    class_below: bool = False
    """Below a map, name the class that the network predicts at the pixel."""


def relative(values: np.ndarray) -> np.ndarray:
    """Values over their mean; 0 everywhere where that is not above 0."""
    mean = values.mean(dtype=np.float64)
    return values / mean if mean > 0 else np.zeros_like(values)


def scale(highest: float) -> Normalize:
    """Colours for values relative to their mean: 1 in the middle, `highest` and its inverse at the ends.

    >>> scale(16.0)([1 / 16, 1 / 2, 1, 2, 16, 99]).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    top = math.log(highest)

    def place(values: Any) -> Any:
        logarithm = np.log(np.clip(np.asarray(values, np.float64), 1 / highest, highest)) / top
        return 0.5 + 0.5 * np.sign(logarithm) * np.sqrt(np.abs(logarithm))

    def value(places: Any) -> Any:
        stretched = 2 * np.asarray(places, np.float64) - 1
        return np.exp(top * np.sign(stretched) * stretched**2)

    return FuncNorm((place, value), 1 / highest, highest, clip=True)


def concentration(values: np.ndarray) -> float:
    """The share of the cells that hold half of the map's sum, largest first.

    >>> concentration(np.ones((5, 8)))
    0.5
    """
    ordered = np.sort(np.clip(values, 0, None).ravel())[::-1].cumsum(dtype=np.float64)
    return float((np.searchsorted(ordered, ordered[-1] * (0.5 - 1e-9)) + 1) / ordered.size)


class Sheet:
    """A figure measured in inches from its top left corner."""

    def __init__(self, figure: Figure, height: float, panel: float, tall: float) -> None:
        self.figure, self.height, self.panel, self.tall = figure, height, panel, tall

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        bottom = self.height - top - height
        return self.figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))

    def text(self, left: float, top: float, text: str, **style: Any) -> float:
        """Write a line whose baseline is at `top`; where it ends."""
        text = "".join(symbol if symbol.isprintable() else "?" for symbol in text)  # SVG holds no control characters
        written = self.figure.text(left / WIDTH, 1 - top / self.height, text, va="baseline", parse_math=False, **style)
        box = written.get_window_extent(self.figure.canvas.get_renderer())  # type: ignore[attr-defined]
        return float(box.x1 / self.figure.dpi)

    def swatch(self, left: float, top: float, colour: Sequence[int]) -> None:
        """A square of a class's colour that stands on the line at `top`."""
        size = 0.1
        self.figure.add_artist(
            Rectangle(
                (left / WIDTH, 1 - top / self.height),
                size / WIDTH,
                size / self.height,
                facecolor=[channel / 255 for channel in colour],
                edgecolor=QUIET,
                linewidth=0.4,
            )
        )


def draw_panel(sheet: Sheet, panel: Panel, left: float, top: float, norm: Normalize) -> None:
    """Heading on the line at `top`, the picture, and a line of numbers below it."""
    result, attention = panel.result, panel.map
    limit = round(sheet.panel * 12)
    name = short(result.name, limit - 6)
    end = sheet.text(left, top, name, size=LABEL, weight="bold")
    room = limit - len(name) if panel.class_below else limit
    what = "prediction" if attention is None else short(attention.name.replace("_", " "), room)
    sheet.text(end + 0.05, top, what, size=LABEL, color=QUIET)
    note, top = top + sheet.tall + 0.22, top + 0.08
    if attention is None:
        table = np.asarray(result.palette, np.uint8)
        mark(picture(sheet, left, top, table[result.prediction]), result.spot)
        _class_at_pixel(sheet, left, note, result, limit - 6, " at the pixel")
        return
    if attention.kind == "bases":
        _bases(sheet, left, top, attention.values)
        caption = f"shares of {attention.values.size} bases in the pixel"
    elif attention.kind == "channels":
        _matrix(sheet, left, top, attention.values, norm)
        caption = " × ".join(map(str, attention.values.shape)) + " channels, rows take"
    else:
        _map(sheet, left, top, result, attention, norm)
        grid = " × ".join(map(str, attention.values.shape))
        caption = f"half of it on {_percent(concentration(attention.values))} of {grid}"
    sheet.text(left, note, caption, size=SMALL, color=QUIET)
    if panel.class_below:
        _class_at_pixel(sheet, left, note + CLASS_LINE, result, limit)


def _class_at_pixel(sheet: Sheet, left: float, top: float, result: PixelMaps, limit: int, where: str = "") -> None:
    """What the network predicts at the pixel, and how sure it is."""
    sheet.swatch(left, top - 0.01, result.palette[result.class_index])
    sure = f"{100 * result.confidence:.0f} %{where}"
    sheet.text(left + 0.16, top, f"{short(result.class_name, limit)} {sure}", size=SMALL)


def picture(
    sheet: Sheet, left: float, top: float, image: np.ndarray, *, room: tuple[float, float] | None = None
) -> Any:
    """The image, as large as it goes into `room` (width and height in inches; a panel's unless given)."""
    height, width = image.shape[:2]
    wide, tall = room or (sheet.panel, sheet.tall)
    across = min(wide, tall * width / height)
    axes = sheet.axes(left, top, across, across * height / width)
    axes.imshow(image, aspect="auto", interpolation="antialiased")
    _frame(axes, width, height)
    return axes


def _frame(axes: Any, width: int, height: int) -> None:
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])


def _map(sheet: Sheet, left: float, top: float, result: PixelMaps, attention: AttentionMap, norm: Normalize) -> None:
    height, width = result.image.shape[:2]
    across = min(sheet.panel, sheet.tall * width / height)
    axes = sheet.axes(left, top, across, across * height / width)
    axes.imshow(
        relative(attention.values),
        extent=extent(result, attention),
        norm=norm,
        cmap=COLOURS,
        aspect="auto",
        interpolation="nearest",
    )
    axes.imshow(_edges(result.image), aspect="auto", interpolation="antialiased")
    _frame(axes, width, height)
    mark(axes, result.spot)


def _edges(image: np.ndarray) -> np.ndarray:
    """The image's edges in white, the weaker the more transparent: uint8 (H, W, 4)."""
    grey = Image.fromarray(image).convert("L").filter(ImageFilter.GaussianBlur(max(image.shape) / 500))
    strength = np.zeros(image.shape[:2])
    if min(image.shape[:2]) > 1:
        strength = np.hypot(*np.gradient(np.asarray(grey, np.float32)))
    highest = float(np.quantile(strength, 0.98)) or 1.0
    lines = np.full((*image.shape[:2], 4), 255, np.uint8)
    lines[:, :, 3] = 120 * np.clip(strength / highest - 0.15, 0, 1)
    return lines


def mark(axes: Any, spot: tuple[int, int]) -> None:
    """A ring around the pixel."""
    for colour, width in ((PAPER, 3.0), (MARK, 1.5)):
        axes.plot([spot[0]], [spot[1]], "o", markersize=8, markerfacecolor="none", markeredgecolor=colour,
                  markeredgewidth=width, clip_on=False)  # fmt: skip


def _matrix(sheet: Sheet, left: float, top: float, values: np.ndarray, norm: Normalize) -> None:
    side = min(sheet.tall - 0.14, sheet.panel - 0.2)
    axes = sheet.axes(left + 0.2, top, side, side)
    axes.imshow(relative(values), norm=norm, cmap=COLOURS, interpolation="antialiased", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel("from channel", fontsize=7, color=QUIET, labelpad=2)
    axes.set_ylabel("channel", fontsize=7, color=QUIET, labelpad=2)


def _bases(sheet: Sheet, left: float, top: float, values: np.ndarray) -> None:
    axes = sheet.axes(left + 0.3, top, sheet.panel - 0.3, sheet.tall - 0.2)
    axes.bar(range(1, len(values) + 1), values, color=mpl.colormaps[COLOURS](0.35), width=0.9)
    axes.set(xlim=(0.3, len(values) + 0.7), ylim=(0, max(1.05 * float(values.max()), 1e-6)))
    axes.locator_params(axis="y", nbins=3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.tick_params(length=2, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1g} %"


def short(text: str, limit: int) -> str:
    """The text, cut at `limit`."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
