"""Where things lie in a pair of scenes, and which class the query belongs to: one function a task.

The unit is a cell of 8 x 8 pixels, so that a thing covers whole positions of a feature map of stride 8; only the lines of `thin`
have any width in pixels. Draws are integers from a stream that never changes, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from segattn.data.streets.canvas import Dice

SIDE, CELL = 128, 8
"""Of a scene and of a cell, in pixels."""
GRID = SIDE // CELL
FAR = 36
"""Pixels from the query to the nearest one that its class depends on, at least, in every condition that is far."""
BAND = 16
"""Pixels around a thin line whose ground is labelled."""


@dataclass(frozen=True)
class Box:
    """Pixels: rows top to bottom, columns left to right, the ends left out."""

    top: int
    left: int
    bottom: int
    right: int

    @staticmethod
    def cells(row: int, column: int, height: int = 2, width: int = 2) -> Box:
        """That of these cells."""
        return Box(CELL * row, CELL * column, CELL * (row + height), CELL * (column + width))

    def distance(self, other: Box) -> int:
        """From a pixel of this box to the nearest one of the other, along the longer of both axes; 0 where they overlap."""
        rows = max(self.top - other.bottom, other.top - self.bottom) + 1
        columns = max(self.left - other.right, other.left - self.right) + 1
        return max(rows, columns, 0)

    def mirrored(self, rows: bool, columns: bool) -> Box:
        """Upside down, left to right, or both."""
        top, bottom = (SIDE - self.bottom, SIDE - self.top) if rows else (self.top, self.bottom)
        left, right = (SIDE - self.right, SIDE - self.left) if columns else (self.left, self.right)
        return Box(top, left, bottom, right)


@dataclass(frozen=True)
class Layout:
    """A pair of scenes. They differ in this alone: the second one has the colours of the two classes swapped."""

    query: Box
    answer: int
    """Class of the query in the first scene, 0 or 1."""
    deciding: tuple[tuple[Box, int], ...]
    """Things of a class, and which one in the first scene."""
    clutter: tuple[tuple[Box, int], ...] = ()
    """Things of no class, and how far they are coloured like the first class, from -100 to 100 % (below 0: like the second)."""

    @property
    def gap(self) -> int:
        """Pixels from the query to the nearest one in which the two scenes differ."""
        return min(self.query.distance(box) for box, _ in self.deciding)

    def mirrored(self, rows: bool, columns: bool) -> Layout:
        """The layout upside down, left to right, or both."""
        deciding, clutter = (
            tuple((box.mirrored(rows, columns), value) for box, value in things)
            for things in (self.deciding, self.clutter)
        )
        return replace(self, query=self.query.mirrored(rows, columns), deciding=deciding, clutter=clutter)


@dataclass(frozen=True)
class Condition:
    """What is varied within a task."""

    name: str
    """Such as `straight-7`: the setting and its value."""
    values: tuple[int, ...]
    far: bool = True
    """Whether the class depends on what is at least `FAR` pixels away."""

    @property
    def series(self) -> str:
        """The setting that the value belongs to."""
        return self.name.rpartition("-")[0]


def reach(dice: Dice, condition: Condition) -> Layout:
    """One marker, `distance` cells away in a straight line or diagonally: the query has its class."""
    distance, diagonal = condition.values
    row, column = _at_distance(dice, distance, bool(diagonal))
    marker = dice.between(0, 1)
    return Layout(Box.cells(*row), marker, ((Box.cells(*column), marker),))


def conjunction(dice: Dice, condition: Condition) -> Layout:
    """A marker of each class, one in the query's rows and one in its columns: the query has the class of the one in its rows.

    Both scenes of a pair hold the same colours and the same places; only which colour is where differs. No marker touches the
    image's edge, where the padding of a convolution would tell its place.
    """
    (distance,) = condition.values
    place = []
    for _ in range(2):
        start = dice.choose([start for start in range(1, GRID - 2) if _partners(start, distance, 1)])
        place.append((start, dice.choose(_partners(start, distance, 1))))
    (row, other_row), (column, other_column) = place
    in_rows = dice.between(0, 1)
    markers = ((Box.cells(row, other_column), in_rows), (Box.cells(other_row, column), 1 - in_rows))
    return Layout(Box.cells(row, column), in_rows, markers)


def noise(dice: Dice, condition: Condition) -> Layout:
    """The marker of `reach` amid single cells that are coloured like markers, as strongly as the condition says."""
    (strength,) = condition.values
    query, place = _at_distance(dice, dice.between(7, 11), dice.chance(50))
    marker, free = dice.between(0, 1), _Free()
    layout = Layout(Box.cells(*query), marker, ((Box.cells(*place), marker),))
    for box in (layout.query, layout.deciding[0][0]):
        free.take(box)
    clutter: list[tuple[Box, int]] = []
    while len(clutter) < 40:
        if (place_of_cell := free.find(dice, 1, 1)) is not None:
            clutter.append((place_of_cell, strength if dice.chance(50) else -strength))
    return replace(layout, clutter=tuple(clutter))


def thin(dice: Dice, condition: Condition) -> Layout:
    """A line of some pixels' width, whose class a far marker decides."""
    (width,) = condition.values
    length, top, left = 32, dice.between(4, 44 - width), dice.between(4, 12)
    line = Box(top, left, top + width, left + length)
    if dice.chance(50):
        line = Box(line.left, line.top, line.right, line.bottom)
    far = [(row, column) for row in range(GRID - 1) for column in range(GRID - 1) if max(row, column) >= 13]
    marker = dice.between(0, 1)
    layout = Layout(line, marker, ((Box.cells(*dice.choose(far)), marker),))
    return layout.mirrored(dice.chance(50), dice.chance(50))


def compare(dice: Dice, condition: Condition) -> Layout:
    """Two far regions, one of each class: the query has the class of the larger one."""
    query, larger = Box.cells(dice.between(0, 2), dice.between(0, 2)), dice.between(0, 1)
    sizes = (condition.values[:2], condition.values[2:])
    while True:
        regions: list[Box] = []
        for size in sizes:
            height, width = size if dice.chance(50) else size[::-1]
            row, column = dice.between(0, GRID - height), dice.between(0, GRID - width)
            regions.append(Box.cells(row, column, height, width))
        if regions[0].distance(regions[1]) > CELL and min(map(query.distance, regions)) >= FAR:
            break
    layout = Layout(query, larger, ((regions[0], larger), (regions[1], 1 - larger)))
    return layout.mirrored(dice.chance(50), dice.chance(50))


def _reach_conditions() -> tuple[Condition, ...]:
    return tuple(
        Condition(f"{direction}-{distance}", (distance, diagonal), far=CELL * (distance - 2) + 1 >= FAR)
        for diagonal, direction in enumerate(("straight", "diagonal"))
        for distance in (3, 5, 7, 9, 11, 13)
    )


TASKS: dict[str, tuple[Callable[[Dice, Condition], Layout], tuple[Condition, ...]]] = {
    "reach": (reach, _reach_conditions()),
    "conjunction": (conjunction, tuple(Condition(f"distance-{cells}", (cells,)) for cells in (7, 9, 11))),
    "noise": (noise, tuple(Condition(f"strength-{percent}", (percent,)) for percent in (0, 25, 50, 75, 100))),
    "thin": (thin, tuple(Condition(f"width-{pixels}", (pixels,)) for pixels in (1, 2, 3, 4, 6, 8, 12))),
    "compare": (
        compare,
        (
            Condition("ratio-1.25", (2, 5, 2, 4)),
            Condition("ratio-1.5", (2, 3, 2, 2)),
            Condition("ratio-2", (2, 4, 2, 2)),
            Condition("ratio-3", (3, 4, 2, 2)),
        ),
    ),
}
"""What lays a pair of scenes out, and the conditions, which take turns."""


def lay_out(task: str, condition: Condition, dice: Dice) -> Layout:
    """A pair of scenes of the task, with three things of no class where there is room."""
    layout = TASKS[task][0](dice, condition)
    free, green = _Free(), []
    for box, _ in ((layout.query, 0), *layout.deciding, *layout.clutter):
        free.take(box)
    for _ in range(3):
        if (place := free.find(dice, 2, 2)) is not None:
            green.append((place, 0))
    return replace(layout, clutter=(*layout.clutter, *green))


def _partners(start: int, distance: int, margin: int = 0) -> list[int]:
    """Cells at that distance on either side, from which two cells lie within the grid less a margin."""
    return [other for other in (start - distance, start + distance) if margin <= other <= GRID - 2 - margin]


def _at_distance(dice: Dice, distance: int, diagonal: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Row and column of the query and of a marker, in cells."""
    first = dice.choose([start for start in range(GRID - 1) if _partners(start, distance)])
    other = dice.choose(_partners(first, distance))
    across = dice.choose([start for start in range(GRID - 1) if not diagonal or _partners(start, distance)])
    beside = dice.choose(_partners(across, distance)) if diagonal else across
    query, marker = (first, across), (other, beside)
    return (query, marker) if dice.chance(50) else (query[::-1], marker[::-1])


class _Free:
    """The cells that nothing covers."""

    def __init__(self) -> None:
        self.covered = [[False] * GRID for _ in range(GRID)]

    def take(self, box: Box) -> None:
        """Cover every cell that the box touches."""
        for row in range(box.top // CELL, -(-box.bottom // CELL)):
            for column in range(box.left // CELL, -(-box.right // CELL)):
                self.covered[row][column] = True

    def find(self, dice: Dice, height: int, width: int) -> Box | None:
        """Draw a place once and cover it; None if it is not free."""
        row, column = dice.between(0, GRID - height), dice.between(0, GRID - width)
        if any(any(line[column : column + width]) for line in self.covered[row : row + height]):
            return None
        box = Box.cells(row, column, height, width)
        self.take(box)
        return box
