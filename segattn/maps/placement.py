"""Where the cells of a map lie over the image, by the upsampling that brings logits there: one rule for every drawing, and for
the position under a pixel."""

from __future__ import annotations

from typing import NamedTuple

from segattn.maps.types import AttentionMap, PixelMaps


class Extent(NamedTuple):
    """Edges of a map in pixels of the image, in matplotlib's order; pixel (x, y) reaches from x - 0.5 to x + 0.5."""

    left: float
    right: float
    bottom: float
    top: float


def extent(result: PixelMaps, attention: AttentionMap) -> Extent:
    """Where a map of positions lies over its image.

    With `align_corners` the centres of the outer cells lie on the centres of the outer pixels, so that the map is larger than
    the image. Half grids are always resized with corners aligned.
    """
    aligned = result.align_corners or attention.kind == "half_grid"
    (height, width), (rows, columns) = result.image.shape[:2], attention.values.shape
    top, bottom = _edges(height, rows, aligned)
    left, right = _edges(width, columns, aligned)
    return Extent(left, right, bottom, top)


def position_under(
    spot: tuple[int, int], size: tuple[int, int], grid: tuple[int, int], *, align_corners: bool
) -> tuple[int, int]:
    """(row, column) of the feature whose logits count most at `spot` = (x, y) when they are brought to the image's size.

    >>> position_under((300, 200), (360, 480), (45, 60), align_corners=False)
    (25, 37)
    """
    x, y = spot
    return _cell(y, size[0], grid[0], align_corners), _cell(x, size[1], grid[1], align_corners)


def centre_of(
    position: tuple[int, int], size: tuple[int, int], grid: tuple[int, int], *, align_corners: bool
) -> tuple[float, float]:
    """(row, column) of the pixels at the centre of a feature's cell, not rounded.

    >>> centre_of((25, 37), (360, 480), (45, 60), align_corners=False)
    (203.5, 299.5)
    """
    row, column = (
        first + (at + 0.5) * (last - first) / cells
        for at, cells, (first, last) in zip(
            position, grid, (_edges(n, m, align_corners) for n, m in zip(size, grid, strict=True)), strict=True
        )
    )
    return row, column


def _edges(pixels: int, cells: int, aligned: bool) -> tuple[float, float]:
    """First and last edge of `cells` cells over `pixels` pixels, along one side."""
    if aligned and min(pixels, cells) > 1:
        step = (pixels - 1) / (cells - 1)
        return -step / 2, pixels - 1 + step / 2
    return -0.5, pixels - 0.5


def _cell(pixel: int, pixels: int, cells: int, aligned: bool) -> int:
    first, last = _edges(pixels, cells, aligned)
    return min(int((pixel - first) * cells / (last - first)), cells - 1)
