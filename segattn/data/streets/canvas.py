"""What a street scene is drawn with: dice, a camera, light and a canvas, all in integers.

No floating-point arithmetic and no library rasteriser is used, so a scene is the same on every machine. Lengths in the
world are centimetres: X to the right, Z ahead, h above the ground. Positions on the canvas are sixteenths of a pixel.
A canvas word holds red, green, blue and, in its highest byte, class (5 bits, 31 = ignored) and grain (3 bits).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
IGNORED = 31
HAZE_LEVELS = 16
_FAR = 1 << 28
Colour = tuple[int, int, int]
Point = tuple[int, int]


class Dice:
    """Random integers from PCG64's raw words, a stream that NumPy guarantees never to change."""

    def __init__(self, *key: int) -> None:
        self._words = np.random.PCG64(np.random.SeedSequence(key))
        self._stock: list[int] = []

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        if not self._stock:
            self._stock = self._words.random_raw(512).tolist()
        return low + (((self._stock.pop() >> 32) * (high - low + 1)) >> 32)

    def chance(self, percent: int) -> bool:
        return self.between(1, 100) <= percent

    def choose(self, items: Sequence[T]) -> T:
        return items[self.between(0, len(items) - 1)]

    def near(self, colour: Colour, spread: int) -> Colour:
        """A random colour close to `colour`; brightness varies more than hue."""
        common = self.between(-spread, spread)
        red, green, blue = (min(255, max(0, c + common + self.between(-spread // 3, spread // 3))) for c in colour)
        return red, green, blue


@functools.lru_cache(maxsize=8)
def noise(smoothness: int) -> np.ndarray:
    """A periodic 256 x 256 tile of uint8 noise, every value equally often; patches of about 2^smoothness texels."""
    words = np.random.PCG64(np.random.SeedSequence((2309, 10217, smoothness + 1))).random_raw(256 * 256 // 8)
    tile = words.astype("<u8").view(np.uint8).reshape(256, 256).astype(np.int64)
    total = tile.copy()
    for octave in range(smoothness):
        for axis in (0, 1):
            for shift in (1 << octave, 1 << octave):
                tile = tile + np.roll(tile, shift, axis)
        total = total + tile * 2  # patches of several sizes, the largest the strongest
    ranks = np.empty(256 * 256, np.int64)
    ranks[np.argsort(total.ravel(), kind="stable")] = np.arange(256 * 256)
    return (ranks >> 8).astype(np.uint8).reshape(256, 256)


@dataclass(frozen=True)
class Camera:
    """A pinhole at height `eye` looking along Z; focal length 1.75 times the picture's height."""

    height: int
    width: int
    centre: int
    """Column of the vanishing point, sixteenths of a pixel."""
    horizon: int
    """Row of the horizon, sixteenths of a pixel."""
    eye: int

    @property
    def focal(self) -> int:
        return 28 * self.height

    @property
    def nearest(self) -> int:
        """Depth of the ground just below the lowest row."""
        return max(60, self.focal * self.eye // (16 * self.height - self.horizon + 64))

    def x(self, X: int, Z: int) -> int:
        return self.centre + self.focal * X // Z

    def y(self, h: int, Z: int) -> int:
        return self.horizon + self.focal * (self.eye - h) // Z

    def length(self, extent: int, Z: int) -> int:
        return self.focal * extent // Z


@dataclass(frozen=True)
class Light:
    """Weather and time of day: how the colour of a surface changes with distance."""

    tint: Colour
    """Of 256 for each channel."""
    haze: Colour
    sight: int
    """Distance at which half of a colour is haze, cm."""
    sun: int
    """Contrast of lit and shadowed faces, of 256."""
    sun_side: int
    """-1: the sun is on the left and lights faces on the right; 1: the opposite."""

    def haze_at(self, Z: int | np.ndarray) -> int | np.ndarray:
        return 256 * Z // (Z + self.sight)

    def mix(self, colour: Colour, haze: int, shade: int = 256) -> Colour:
        clear = 256 - haze
        (red, green, blue), (r, g, b), (far_red, far_green, far_blue) = colour, self.tint, self.haze
        return (
            (min(255, red * r * shade >> 16) * clear + far_red * haze) >> 8,
            (min(255, green * g * shade >> 16) * clear + far_green * haze) >> 8,
            (min(255, blue * b * shade >> 16) * clear + far_blue * haze) >> 8,
        )

    def word(self, colour: Colour, label: int, Z: int, shade: int = 256, grain: int = 2) -> int:
        """The canvas word of a surface at depth Z."""
        return pack(self.mix(colour, int(self.haze_at(Z)), shade), label, grain)

    def tones(self, colours: Sequence[Colour], label: int, Z: int) -> np.ndarray:
        """Words of each colour at depth Z."""
        return np.array([self.word(colour, label, Z) for colour in colours], np.uint32)

    def ramp(self, colours: Sequence[Colour], label: int, shade: int = 256, grain: int = 2) -> np.ndarray:
        """Words of each colour at each of 16 levels of haze, flat: `colour * 16 + level`."""
        lit = np.minimum(np.array(colours) * np.array(self.tint) * shade >> 16, 255)
        haze = np.arange(256 // HAZE_LEVELS // 2, 256, 256 // HAZE_LEVELS)[:, None]
        red, green, blue = np.moveaxis((lit[:, None] * (256 - haze) + np.array(self.haze) * haze) >> 8, 2, 0)
        return pack((red, green, blue), label, grain).astype(np.uint32).ravel()

    def side(self, left: bool) -> int:
        """Shade of an upright face on the left or right of the street."""
        return 256 + (self.sun if left == (self.sun_side > 0) else -self.sun)


def tone(colour: Colour, eighths: int) -> Colour:
    """The colour scaled by `eighths` / 8: darker below 8, lighter above."""
    red, green, blue = (min(255, channel * eighths // 8) for channel in colour)
    return red, green, blue


def pack(colour: Any, label: int, grain: int) -> Any:
    """The word of a colour, or the words of arrays of red, green and blue."""
    return colour[0] | colour[1] << 8 | colour[2] << 16 | (label | grain << 5) << 24


def pixel(position: int) -> int:
    """The first pixel whose centre is at or right of (below) a position in sixteenths."""
    return (position + 7) >> 4


class Canvas:
    """An array of words (height, width), and the shapes that can be drawn on it."""

    def __init__(self, height: int, width: int) -> None:
        self.words = np.zeros((height, width), np.uint32)
        self.height, self.width = height, width

    def clip(self, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
        """Pixels of a rectangle given in sixteenths: x0, y0, x1, y1; empty where x1 <= x0 or y1 <= y0."""
        x0, x1 = max(0, pixel(left)), min(self.width, pixel(right))
        y0, y1 = max(0, pixel(top)), min(self.height, pixel(bottom))
        return x0, y0, x1, y1

    def rectangle(self, left: int, top: int, right: int, bottom: int, word: int) -> None:
        """An upright rectangle, at least one pixel wide and high."""
        if right - left < 16:
            right = left + 16
        if bottom - top < 16:
            bottom = top + 16
        x0, y0, x1, y1 = self.clip(left, top, right, bottom)
        if x0 < x1 and y0 < y1:
            self.words[y0:y1, x0:x1] = word

    def polygon(self, points: Sequence[Point], word: int) -> None:
        """A convex polygon."""
        region = self.convex(points)
        if region is not None:
            y0, x0, inside = region
            area = self.words[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]]
            np.copyto(area, np.uint32(word), where=inside)

    def shade(self, points: Sequence[Point], eighths: int) -> None:
        """Darken a convex polygon to 5, 6 or 7 eighths; labels stay."""
        region = self.convex(points)
        if region is not None:
            y0, x0, inside = region
            area = self.words[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]]
            part = ((area >> 3) & np.uint32(0x1F1F1F)) * np.uint32(8 - eighths)
            np.subtract(area, part, out=area, where=inside)

    def convex(self, points: Sequence[Point]) -> tuple[int, int, np.ndarray] | None:
        """First row, first column and mask of a convex polygon within the canvas, None if no pixel is inside."""
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        x0, y0, x1, y1 = self.clip(min(xs), min(ys), max(xs), max(ys))
        if x0 >= x1 or y0 >= y1:
            return None
        low = np.full(y1 - y0, _FAR, np.int64)
        high = np.full(y1 - y0, -_FAR, np.int64)
        for (xa, ya), (xb, yb) in zip(points, (*points[1:], points[0]), strict=True):
            if ya > yb:
                xa, ya, xb, yb = xb, yb, xa, ya
            first, last = max(y0, pixel(ya)), min(y1, pixel(yb))
            if first >= last:
                continue
            centres = np.arange(16 * first + 8 - ya, 16 * last + 8 - ya, 16)
            crossing = xa - (centres * (xa - xb)) // (yb - ya)  # rounded up: the first centre at or right of the edge
            part = slice(first - y0, last - y0)
            np.minimum(low[part], crossing, out=low[part])
            np.maximum(high[part], crossing, out=high[part])
        columns = np.arange(16 * x0 + 8, 16 * x1 + 8, 16)
        return y0, x0, (columns >= low[:, None]) & (columns < high[:, None])

    def line(self, start: Point, end: Point, thickness: int, word: int) -> None:
        """A straight stroke, at least one pixel thick."""
        half = max(8, thickness // 2)
        (xa, ya), (xb, yb) = start, end
        dx, dy = (half, 0) if abs(yb - ya) >= abs(xb - xa) else (0, half)
        self.polygon([(xa - dx, ya - dy), (xa + dx, ya + dy), (xb + dx, yb + dy), (xb - dx, yb - dy)], word)

    def disc(self, x: int, y: int, rx: int, ry: int, word: int, hole: int = 0) -> None:
        """An ellipse, with a hole of `hole` 256ths of its radius."""
        rx, ry = max(8, rx), max(8, ry)
        x0, y0, x1, y1 = self.clip(x - rx, y - ry, x + rx, y + ry)
        if x0 >= x1 or y0 >= y1:
            return
        across = (np.arange(16 * x0 + 8, 16 * x1 + 8, 16) - x) ** 2 * 65536 // (rx * rx)
        down = (np.arange(16 * y0 + 8, 16 * y1 + 8, 16) - y) ** 2 * 65536 // (ry * ry)
        distance = down[:, None] + across
        inside = distance < 65536
        if hole:
            inside &= distance >= hole * hole
        np.copyto(self.words[y0:y1, x0:x1], np.uint32(word), where=inside)

    def foliage(self, x: int, y: int, rx: int, ry: int, grain_size: int, words: np.ndarray, offset: int) -> None:
        """A ragged ellipse of leaves: `words` from dark to light, the lighter above."""
        rx, ry = max(12, rx), max(12, ry)
        x0, y0, x1, y1 = self.clip(x - rx, y - ry, x + rx, y + ry)
        if x0 >= x1 or y0 >= y1:
            return
        columns = np.arange(16 * x0 + 8, 16 * x1 + 8, 16) - x
        rows = np.arange(16 * y0 + 8, 16 * y1 + 8, 16) - y
        grain_size = max(1, grain_size)
        leaves = noise(2)[((rows // grain_size + offset) & 255)[:, None], (columns // grain_size) & 255]
        distance = (rows * rows * 256 // (ry * ry))[:, None] + columns * columns * 256 // (rx * rx)
        inside = distance + (leaves >> 1) < 256
        level = (leaves.astype(np.int64) * 3 + ((ry - rows) * 256 // (2 * ry))[:, None]) * len(words) >> 10
        np.copyto(self.words[y0:y1, x0:x1], words[level], where=inside)
