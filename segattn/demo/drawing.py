"""Colours of the explorer: maps on one scale for all networks, blended over the picture, as PNG for the page.

The scale is that of `segattn maps` (segattn.maps.figure): a map's value over its mean, 1 in the middle.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from PIL import Image

from segattn.maps.look import AttentionMaps
from segattn.maps.panels import COLOURS, relative, scale
from segattn.maps.placement import extent
from segattn.maps.types import AttentionMap

MARKS = ("#d4002a", "#0067c0")
"""First and second pixel; they are numbered too."""


def scale_of(results: Iterable[AttentionMaps]) -> Normalize:
    """One scale for all maps: up to 1, 2 or 5 times a power of ten above every main map, 10 at least.

    It does not change with the map that is chosen; values beyond its ends have the ends' colours.
    """
    peak = 10.0
    for result in results:
        main = result.maps.get(result.main)
        if main is not None and main.kind != "bases":
            peak = max(peak, float(relative(main.values).max(initial=0)))
    decade = 10.0 ** math.floor(math.log10(peak) + 1e-9)
    return scale(next(step * decade for step in (1, 2, 5, 10) if step * decade >= peak * (1 - 1e-9)))


def coloured(values: np.ndarray, norm: Normalize) -> np.ndarray:
    """A map's colours, uint8 (h, w, 3), a cell a pixel."""
    return (mpl.colormaps[COLOURS](norm(relative(values)))[:, :, :3] * 255).round().astype(np.uint8)


def colour_bar(steps: int = 24) -> list[str]:
    """Colours from the scale's lower end to its upper."""
    return [mpl.colors.to_hex(mpl.colormaps[COLOURS](at)) for at in np.linspace(0, 1, steps)]


def ticks(norm: Normalize) -> list[tuple[float, str]]:
    """Place from 0 to 1 and text of the scale's marks.

    >>> [text for _, text in ticks(scale(1000.0))]
    ['≤ 0.001×', '0.5×', '1×', '2×', '≥ 1,000×']
    """
    highest = float(norm.vmax or 1.0)
    inner = [(float(norm(value)), f"{value:.3g}×") for value in (1 / 2, 1.0, 2.0)]
    return [(0.0, f"≤ {1 / highest:.3g}×"), *inner, (1.0, f"≥ {highest:,.0f}×")]


def blend(picture: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    """`colours` over the picture, both uint8 (H, W, 3): 0 leaves the picture, 1 the colours. The page does the same in CSS.

    >>> blend(np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8), 0.25)[0, 0].tolist()
    [125, 125, 125]
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity {opacity} is a share between 0 (the picture) and 1 (the colours)")
    return (picture * (1 - opacity) + colours * opacity).round().astype(np.uint8)


def labelled(result: AttentionMaps) -> np.ndarray:
    """The prediction in its classes' colours, uint8 (H, W, 3)."""
    return np.asarray(result.palette, np.uint8)[result.prediction]


def placed(result: AttentionMaps, attention: AttentionMap) -> tuple[float, float, float, float]:
    """Left, top, width and height of a map over the picture, as shares of the picture."""
    (height, width), edges = result.image.shape[:2], extent(result, attention)
    left, top = (edges.left + 0.5) / width, (edges.top + 0.5) / height
    return left, top, (edges.right - edges.left) / width, (edges.bottom - edges.top) / height


def over_picture(result: AttentionMaps, attention: AttentionMap, norm: Normalize) -> np.ndarray:
    """A map of positions at the picture's size, uint8 (H, W, 3): each pixel has its cell's colour, nothing is smoothed."""
    left, top, width, height = placed(result, attention)
    (H, W), (rows, columns) = result.image.shape[:2], attention.values.shape
    row = np.clip(((np.arange(H) + 0.5) / H - top) / height * rows, 0, rows - 1).astype(int)
    column = np.clip(((np.arange(W) + 0.5) / W - left) / width * columns, 0, columns - 1).astype(int)
    return coloured(attention.values, norm)[row[:, None], column]


def data_uri(image: np.ndarray, *, photo: bool = False) -> str:
    """The image within the page: as PNG, or a photo as JPEG."""
    stream = io.BytesIO()
    if photo:
        Image.fromarray(image).save(stream, "JPEG", quality=90)
    else:
        Image.fromarray(image).save(stream, "PNG")
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


@cache
def _palette_bytes(palette: tuple[tuple[int, int, int], ...]) -> list[int]:
    flat = [channel for colour in palette for channel in colour]
    return flat + [0] * (768 - len(flat))


def prediction_uri(result: AttentionMaps) -> str:
    """The prediction as a PNG of palette colours, a fraction of the size of RGB."""
    return classes_uri(result.prediction, result.palette)


def classes_uri(classes: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> str:
    """Class indices (H, W) as a PNG of palette colours; 255, which is no class, is black."""
    return _indexed_uri(classes, _palette_bytes(tuple(palette)))


def errors_uri(wrong: np.ndarray) -> str:
    """A veil over what is right, bool (H, W): white and nearly opaque, transparent where `wrong`."""
    return _indexed_uri(wrong, [255] * 768, transparency=bytes([222, 0]))


def _indexed_uri(indices: np.ndarray, palette: list[int], **settings: Any) -> str:
    mask, stream = Image.fromarray(indices.astype(np.uint8)), io.BytesIO()
    mask.putpalette(palette)
    mask.save(stream, "PNG", **settings)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
