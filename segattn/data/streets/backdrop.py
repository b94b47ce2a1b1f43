"""The fixed parts of a street scene: sky, skyline, ground, and the houses, walls, fences and hedges along the street."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segattn.data.streets.canvas import HAZE_LEVELS, Camera, Canvas, Colour, Dice, Light, noise, pack

ROAD, SIDEWALK, BUILDING, WALL, FENCE, VEGETATION, TERRAIN, SKY = 0, 1, 2, 3, 4, 8, 9, 10
LEAVES: tuple[tuple[Colour, ...], ...] = (
    ((24, 44, 22), (38, 64, 30), (54, 84, 38), (74, 106, 48), (98, 130, 62), (124, 152, 80)),
    ((34, 40, 18), (58, 62, 26), (84, 84, 34), (112, 104, 44), (140, 126, 58), (166, 150, 80)),
    ((20, 40, 28), (30, 58, 38), (44, 78, 48), (60, 98, 58), (82, 120, 72), (106, 144, 92)),
)
MASONRY: tuple[Colour, ...] = (
    (168, 120, 96),
    (196, 178, 146),
    (178, 170, 160),
    (150, 96, 78),
    (206, 190, 166),
    (140, 138, 136),
    (188, 160, 118),
    (172, 150, 140),
)


def paint_sky(canvas: Canvas, camera: Camera, top: Colour, bottom: Colour, clouds: int, drift: int) -> None:
    """A gradient from zenith to horizon with `clouds` 256ths of cloud."""
    rows = min(canvas.height, camera.horizon // 16 + 2)
    levels = np.arange(rows) * 63 // max(1, rows - 1)
    share = np.arange(0, 64, dtype=np.int64)[:, None] * 256 // 63
    base = (np.array(top, np.int64) * (256 - share) + np.array(bottom, np.int64) * share) >> 8  # (64, 3)
    cover = np.arange(8)[:, None] * clouds >> 3
    white = np.minimum(np.array(bottom) + 28, 255)
    mixed = (base[:, None] * (256 - cover) + white * cover) >> 8  # (64, 8, 3)
    table = pack(np.moveaxis(mixed, 2, 0), SKY, 1).astype(np.uint32)
    down = (np.arange(rows) * 220 // canvas.height + drift) & 255
    across = (np.arange(canvas.width) * 90 // canvas.height + drift * 3) & 255
    cloud = np.maximum(noise(5)[down[:, None], across].astype(np.int64) - 96, 0) * 8 // 160
    canvas.words[:rows] = table[levels[:, None], cloud]
    canvas.words[rows:] = table[63, 0]


def paint_skyline(canvas: Canvas, camera: Camera, light: Light, dice: Dice, *, houses: int) -> None:
    """Distant houses and trees; `houses` is the percentage of houses."""
    for Z in (26000, 19000, 14000):
        X = -26000 * Z // 20000
        while X < 26000 * Z // 20000:
            wide = dice.between(700, 2600)
            if dice.chance(houses):
                word = light.word(dice.choose(MASONRY), BUILDING, Z, 225)
                tall = dice.between(500, 1900)
                canvas.rectangle(camera.x(X, Z), camera.y(tall, Z), camera.x(X + wide, Z), camera.y(0, Z), word)
            else:
                words = light.tones(LEAVES[0], VEGETATION, Z)
                tall = dice.between(300, 800)
                at = camera.x(X + wide // 2, Z), camera.y(tall // 3, Z)
                size = camera.length(wide * 3 // 4, Z), camera.length(tall, Z)
                canvas.foliage(*at, *size, camera.length(60, Z), words, dice.between(0, 255))
            X += wide


class Ground:
    """The plane under the street; surfaces are convex polygons in (X, Z)."""

    def __init__(self, canvas: Canvas, camera: Camera, light: Light) -> None:
        self.canvas, self.camera, self.light = canvas, camera, light
        self.first = max(0, camera.horizon // 16 + 1)
        below = np.arange(16 * self.first + 8, 16 * canvas.height + 8, 16) - camera.horizon
        depth = camera.focal * camera.eye // below
        lateral = (np.arange(8, 16 * canvas.width + 8, 16) - camera.centre) * camera.eye // below[:, None]
        self.haze = np.asarray(light.haze_at(depth)) >> 4
        self._fine = noise(2)[((depth >> 3) & 255)[:, None], (lateral >> 3) & 255]
        self._coarse = noise(4)[((depth >> 5) & 255)[:, None], (lateral >> 5) & 255]

    def surface(
        self, points: Sequence[tuple[int, int]], colours: Sequence[Colour], label: int, *, grain: int = 3
    ) -> None:
        """Lay a surface whose colours, from dark to light, follow noise: fine for grass, coarse otherwise."""
        region = self.canvas.convex(self.project(points))
        if region is None or region[0] + len(region[2]) <= self.first:
            return
        y0, x0, inside = region
        inside, y0 = inside[max(0, self.first - y0) :], max(y0, self.first)
        rows, columns = slice(y0 - self.first, y0 - self.first + len(inside)), slice(x0, x0 + inside.shape[1])
        texture = (self._fine if label == TERRAIN else self._coarse)[rows, columns]
        index = (texture.astype(np.uint16) * len(colours) >> 8) * HAZE_LEVELS + self.haze[rows, None]
        words = self.light.ramp(colours, label, grain=grain)[index]
        np.copyto(self.canvas.words[y0 : y0 + len(inside), columns], words, where=inside)

    def mark(self, points: Sequence[tuple[int, int]], colour: Colour, label: int) -> None:
        """Lay a small surface of one colour, such as a line, a stripe or a rail."""
        depth = sum(Z for _, Z in points) // len(points)
        self.canvas.polygon(self.project(points), self.light.word(colour, label, depth, grain=3))

    def strip(self, a: int, b: int, near: int, far: int) -> list[tuple[int, int]]:
        """Corners of the strip between two lateral positions and two depths."""
        left, right = min(a, b), max(a, b)
        near = max(near, self.camera.nearest)
        far = max(far, near)
        return [(left, near), (right, near), (right, far), (left, far)]

    def project(self, points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(self.camera.x(X, Z), self.camera.y(0, Z)) for X, Z in points]


@dataclass(frozen=True)
class Front:
    """Something long and upright beside the street, with a face along Z at lateral position X and an end facing the camera."""

    label: int
    X: int
    near: int
    far: int
    depth: int
    """Extent away from the street."""
    height: int
    colours: tuple[Colour, ...]
    """wall, band, frame, three panes; or leaves from dark to light."""
    storey: int = 300
    bay: int = 260
    seed: int = 0
    roof: Colour | None = None
    pane: tuple[int, int] = field(default=(90, 230))
    """Lower and upper edge of a window above its floor; equal for none."""


def paint_front(canvas: Canvas, camera: Camera, light: Light, front: Front) -> None:
    """Paint the end, then the long face, then a pitched roof."""
    left = front.X < 0
    out = -1 if left else 1
    near = max(front.near, camera.nearest)
    if near >= front.far:
        return
    if front.roof is not None:
        _roof(canvas, camera, light, front, near)
    if front.near > camera.nearest and front.depth > 0:
        ends = sorted((camera.x(front.X, near), camera.x(front.X + out * front.depth, near)))
        x0, _, x1, _ = canvas.clip(ends[0], 0, ends[1], 16)
        x1 = max(x0, x1)
        lateral = abs((np.arange(16 * x0 + 8, 16 * x1 + 8, 16) - camera.centre) * near // camera.focal - front.X)
        _face(canvas, camera, light, front, x0, np.full(x1 - x0, near), lateral, 246)
    ends = sorted((camera.x(front.X, near), camera.x(front.X, front.far)))
    x0, _, x1, _ = canvas.clip(ends[0], 0, ends[1], 16)
    x1 = max(x0, x1)
    Z = camera.focal * front.X // np.where((c := np.arange(16 * x0 + 8, 16 * x1 + 8, 16) - camera.centre) == 0, out, c)
    _face(canvas, camera, light, front, x0, np.clip(Z, near, front.far), Z - front.near, light.side(left))


def _face(
    canvas: Canvas, camera: Camera, light: Light, front: Front, x0: int, Z: np.ndarray, along: np.ndarray, shade: int
) -> None:
    """Fill columns from x0 on: each at its depth Z, at `along` cm from the face's beginning."""
    if not len(Z):
        return
    closest = int(Z.min())
    y0, y1 = max(0, camera.y(front.height + 60, closest) // 16), min(canvas.height, camera.y(0, closest) // 16 + 1)
    if y0 >= y1:
        return
    rows = np.arange(16 * y0 + 8, 16 * y1 + 8, 16) - camera.horizon
    above = camera.eye - rows[:, None] * Z // camera.focal  # cm above the ground, (rows, columns)
    haze = np.asarray(light.haze_at(Z)) >> 4
    area = canvas.words[y0:y1, x0 : x0 + len(Z)]
    if front.label == VEGETATION:
        leaves = noise(2)[(above >> 3) & 255, ((along >> 3) + front.seed) & 255].astype(np.int64)
        table = light.ramp(front.colours, VEGETATION, shade)
        level = (leaves * 3 + np.clip(above * 256 // front.height, 0, 255)) * len(front.colours) >> 10
        top = (
            front.height + (noise(3)[front.seed & 255, (along >> 4) & 255].astype(np.int64) - 128) * front.height // 700
        )
        np.copyto(area, table[level * HAZE_LEVELS + haze], where=(above >= 0) & (above + (leaves >> 3) < top))
        return
    inside = (above >= 0) & (above < front.height)
    by_height, by_place, material = _pattern(front)
    ramp = np.zeros((7, HAZE_LEVELS), np.uint32)  # the last row is a hole
    ramp[: len(front.colours)] = light.ramp(front.colours, front.label, shade, grain=3).reshape(-1, HAZE_LEVELS)
    words = ramp[material].ravel()
    index = by_height[np.clip(above, 0, front.height - 1)] + (by_place[along % (front.bay * 13)] * HAZE_LEVELS + haze)
    painted = words[index]
    if front.label == FENCE:  # what is seen through a fence is labelled fence
        see_through = (area & np.uint32(0xFFFFFF)) | np.uint32((FENCE | 2 << 5) << 24)
        painted = np.where(painted == 0, see_through, painted)
    np.copyto(area, painted, where=inside)


@functools.lru_cache(maxsize=2)
def _pattern(front: Front) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes by height (times 256) and by place along the face (13 bays), and the colour of each pair of codes."""
    height, place = np.arange(front.height), np.arange(front.bay * 13)
    by_height, by_place = np.zeros(len(height), np.int64), np.zeros(len(place), np.int64)
    low, high = front.pane
    in_storey, in_bay = height % front.storey, place % front.bay
    material = np.zeros((16, 16), np.int64)
    if front.label == FENCE:
        by_height[(in_storey < 8) | (height > front.height - 10)] = 1
        by_place[in_bay < max(3, front.bay // 4)] = 1
        material[:] = np.where((np.arange(16) > 0)[:, None] | (np.arange(16) > 0), 0, 6)
    else:
        by_height[(in_storey < 14) & (height > front.storey) | (height > front.height - 30)] = 1
        material[1] = 1
        if low < high:
            storeys = (in_storey >= low - 12) & (in_storey < high + 12) & (height < front.height - 40)
            by_height[storeys] = 2
            glass = storeys & (in_storey >= low) & (in_storey < high)
            by_height[glass] = 3 + (height // front.storey)[glass] % 13
            margin = front.bay // 4
            by_place[(in_bay >= margin - 12) & (in_bay < front.bay - margin + 12)] = 1
            pane = (in_bay >= margin) & (in_bay < front.bay - margin)
            by_place[pane] = 2 + (place // front.bay)[pane] % 13
            material[2:, 1:] = 2
            kinds = noise(0)[front.seed & 255, :208].reshape(13, 16)[:, :13]
            material[3:, 2:15] = 3 + kinds.astype(np.int64) * 3 // 256
    return by_height * 16 * HAZE_LEVELS, by_place, material


def _roof(canvas: Canvas, camera: Camera, light: Light, front: Front, near: int) -> None:
    """A roof with its ridge along the street: the slope towards it, and a gable at the end."""
    assert front.roof is not None
    out = -1 if front.X < 0 else 1
    rise = front.depth // 3
    ridge, eave = front.X + out * front.depth // 2, front.X

    def corner(X: int, h: int, Z: int) -> tuple[int, int]:
        return camera.x(X, Z), camera.y(h, Z)

    if front.near > camera.nearest:
        word = light.word(front.colours[0], BUILDING, near, 236, 3)
        back = front.X + out * front.depth
        gable = [corner(eave, front.height, near), corner(ridge, front.height + rise, near)]
        canvas.polygon([*gable, corner(back, front.height, near)], word)
    word = light.word(front.roof, BUILDING, near, light.side(out < 0), 3)
    slope = [corner(eave, front.height, near), corner(ridge, front.height + rise, near)]
    canvas.polygon([*slope, corner(ridge, front.height + rise, front.far), corner(eave, front.height, front.far)], word)
