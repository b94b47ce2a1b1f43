"""Places the labels of a scatter plot so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
Point = tuple[float, float]

_RADII = (9.0, 13.0, 19.0, 27.0, 37.0, 49.0, 63.0, 80.0)
_LEADER_FROM = 16.0
"""A label further from its point than this is connected to it by a line."""


@dataclass(frozen=True)
class Placement:
    """Where a label goes."""

    box: Box
    leader: tuple[Point, Point] | None
    """From the point to the label; None where the label is close enough to need none."""


def place(
    points: Sequence[Point], sizes: Sequence[Point], frame: Box, obstacles: Sequence[Box] = ()
) -> list[Placement]:
    """Put a label of each size (width, height) near its point, inside the frame.

    Greedy: the most crowded point comes first, and each takes the cheapest of 16 directions at growing distance. Overlap with
    labels, points, leaders and the frame costs more than distance; overlap with `obstacles` (error bars), or a position as
    close to another point, costs a little.
    All lengths in the same unit, for instance pixels at 72 per inch.
    """
    discs = [(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    order = sorted(range(len(points)), key=lambda i: sum(math.dist(points[i], other) for other in points))
    placed: dict[int, Placement] = {}
    for index in order:
        hard = [placement.box for placement in placed.values()] + discs
        hard += [box for placement in placed.values() for box in _along(placement.leader)]
        best = math.inf
        for option in _candidates(points[index], sizes[index]):
            distance = _distance(option.box, points[index])
            if (
                distance < best
                and (cost := distance + _penalty(option, frame, hard, obstacles) + _doubt(option, index, points)) < best
            ):
                best, placed[index] = cost, option
    return [placed[index] for index in range(len(points))]


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _candidates(point: Point, size: Point) -> list[Placement]:
    x, y = point
    width, height = size
    placements = []
    for radius in _RADII:
        for step in range(16):
            angle = math.tau * step / 16
            across, up = math.cos(angle), math.sin(angle)
            # the edge of the box that faces the point lies on the circle
            left = x + radius * across - width * (1 - across) / 2
            bottom = y + radius * up - height * (1 - up) / 2
            box = (left, bottom, left + width, bottom + height)
            end = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
            placements.append(Placement(box, (point, end) if math.dist(point, end) > _LEADER_FROM else None))
    return placements


def _distance(box: Box, point: Point) -> float:
    """From the point to the box; a little more where the box is not level with the point, because beside it reads best."""
    near = math.dist(point, (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])))
    return near + abs((box[1] + box[3]) / 2 - point[1]) / 8


def _penalty(option: Placement, frame: Box, hard: Sequence[Box], soft: Sequence[Box]) -> float:
    """The cost of leaving the frame and of covering something."""
    box = option.box
    area = (box[2] - box[0]) * (box[3] - box[1])
    outside = area - overlap(box, frame)
    covered = sum(overlap(box, other) for other in hard)
    crossed = sum(overlap(part, other) > 0 for part in _along(option.leader)[2:] for other in hard)
    touched = sum(overlap(box, other) > 0 for other in soft)
    return 100 * outside + 100 * covered + 300 * crossed + 12 * touched


def _doubt(option: Placement, index: int, points: Sequence[Point]) -> float:
    """The cost of being about as close to another point as to its own."""
    own = _distance(option.box, points[index])
    others = [_distance(option.box, point) for i, point in enumerate(points) if i != index and point != points[index]]
    return 14.0 * sum(other < own + 5 for other in others)


def _along(leader: tuple[Point, Point] | None) -> list[Box]:
    """Small boxes along a line."""
    if leader is None:
        return []
    (x0, y0), (x1, y1) = leader
    steps = max(2, math.ceil(math.dist(*leader) / 4))
    line = [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1)]
    return [(x - 1, y - 1, x + 1, y + 1) for x, y in line]
