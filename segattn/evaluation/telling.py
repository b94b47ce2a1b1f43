"""A few telling pixels of a labelled split, chosen by rule from the labels alone, so that no picture is picked by hand.

Looked at are the first 40 images. A segment is connected pixels of one class (8 neighbours); segments below 1/2000 of the
image's pixels are left out. Then

* the rarest classes: of those with at least 5 segments, the four with the smallest shares of the labelled pixels. Each gives its
  segment of median area (the lower one of an even number), and in it the pixel farthest from the segment's boundary; of several,
  the one nearest to the segment's centre. For a pole that is the middle of its axis;
* the largest vehicle that the image's edge does not cut (`VEHICLES`, by the name of the class), and in it the lowest interior
  pixel: the centre of a square inside the segment whose side is 1 % of the image diagonal. For a bus that is a wheel.

Ties go to the earlier class, image and row. Distances are those of squares (chessboard), as in `strata`; pixels outside the image
are outside every segment. A split in which nothing qualifies has no telling pixels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from segattn.data import Dataset
from segattn.evaluation import strata

IMAGES = 40
"""Images looked at, from the first."""
SMALLEST = 1 / 2000
"""Least share of the image's pixels that a segment has."""
CLASSES, SEGMENTS = 4, 5
"""Most classes, and the least number of segments that each has."""
VEHICLES = ("bus", "car", "train", "tram", "truck", "van")


@dataclass(frozen=True)
class TellingPixel:
    """One pixel of a labelled image."""

    index: int
    """Of the image in its split."""
    image: str
    """The image's name."""
    pixel: tuple[int, int]
    """(x, y), x to the right and y down, from 0."""
    class_name: str
    """The label there."""
    reason: str
    """Why this pixel, in one sentence."""


@dataclass(frozen=True, order=True)
class _Segment:
    """Sorts by area, then by image and place."""

    area: int
    index: int
    component: int
    """Number of its first run of pixels in the image's rows."""
    class_index: int
    cut: bool
    """Whether it touches the image's edge."""


def telling_pixels(dataset: Dataset, *, images: int = IMAGES) -> list[TellingPixel]:
    """The telling pixels of a split, the rarest class first and the vehicle last; [] where nothing qualifies.

    Images without a label are passed over.
    """
    pixels = np.zeros(dataset.num_classes, np.int64)
    segments: dict[int, list[_Segment]] = defaultdict(list)
    count = min(images, len(dataset))
    for index in range(count):
        label = dataset.lazily(index).label
        if label is None:
            continue
        pixels += np.bincount(label[label != dataset.ignore_index], minlength=len(pixels))
        for segment in _segments(label, index, dataset.ignore_index):
            segments[segment.class_index].append(segment)
    frequent = [each for each in sorted(segments) if len(segments[each]) >= SEGMENTS]
    rarest = sorted(frequent, key=lambda each: int(pixels[each]))[:CLASSES]
    chosen = []
    for class_index in rarest:
        ordered = sorted(segments[class_index])
        share = 100 * pixels[class_index] / pixels.sum()
        reason = (
            f"One of the {len(rarest)} rarest classes ({share:.2g} % of the labelled pixels in the first {count} images): the "
            f"innermost pixel of the middle one of its {len(ordered)} segments, ordered by area."
        )
        chosen.append(_telling(dataset, ordered[(len(ordered) - 1) // 2], reason, lowest=False))
    if (vehicle := _largest_vehicle(dataset, segments)) is not None:
        reason = f"The lowest interior pixel of the largest vehicle in the first {count} images that no edge of the image cuts."
        chosen.append(_telling(dataset, vehicle, reason, lowest=True))
    return [each for each in chosen if each is not None]


def _segments(label: np.ndarray, index: int, ignore_index: int) -> list[_Segment]:
    """The segments of one image that are large enough."""
    run, lengths, component = strata.segments(label)
    areas = np.bincount(component, weights=lengths).astype(np.int64)
    starts = np.cumsum(lengths) - lengths  # each run's first pixel in the flat image
    edge = [run[0], run[-1], run[:, 0], run[:, -1]]
    cut = {int(each) for each in np.unique(component[np.concatenate(edge)])}
    least = SMALLEST * label.size - 1e-6
    large = [int(each) for each in np.flatnonzero(areas >= least) if areas[each]]
    classes = {each: int(label.flat[starts[each]]) for each in large}
    return [
        _Segment(int(areas[each]), index, each, classes[each], each in cut)
        for each in large
        if classes[each] != ignore_index
    ]


def _largest_vehicle(dataset: Dataset, segments: dict[int, list[_Segment]]) -> _Segment | None:
    named = [index for index, name in enumerate(dataset.class_names) if name.lower() in VEHICLES]
    whole = [segment for index in named for segment in segments.get(index, []) if not segment.cut]
    return min(whole, key=lambda each: (-each.area, each.index, each.component), default=None)


def _telling(dataset: Dataset, segment: _Segment, reason: str, *, lowest: bool) -> TellingPixel | None:
    """The segment's pixel; None for a vehicle without an interior."""
    label = dataset.lazily(segment.index).label
    assert label is not None
    run, _, component = strata.segments(label)
    mask = component[run] == segment.component
    pixel = lowest_interior(mask) if lowest else innermost(mask)
    if pixel is None:
        return None
    name = dataset.image_name(segment.index)
    return TellingPixel(segment.index, name, pixel, dataset.class_names[segment.class_index], reason)


def innermost(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of `mask`, bool (H, W) and somewhere True, that is farthest from its boundary.

    >>> innermost(np.pad(np.ones((3, 7), bool), 2))  # three pixels of the middle row are equally far: the middle one
    (5, 3)
    """
    top, left, inside = _cropped(mask)
    centre = np.argwhere(inside).mean(0)
    while (eroded := _eroded(inside, 1)).any():
        inside = eroded
    return _nearest(np.argwhere(inside), centre, top, left)


def lowest_interior(mask: np.ndarray) -> tuple[int, int] | None:
    """The lowest pixel (x, y) of `mask` whose square with a side of 1 % of the image diagonal is inside; None if there is none.

    Of several in that row, the middle of the first connected ones: of two wheels the left one.

    >>> lowest_interior(np.pad(np.ones((4, 5), bool), 2))  # squares of 3 x 3, the smallest
    (4, 4)
    """
    top, left, inside = _cropped(mask)
    reach = max(1, round(strata.WIDTH_BORDERS[0] * math.hypot(*mask.shape) / 2))
    places = np.argwhere(_eroded(inside, reach))
    if not len(places):
        return None
    lowest = places[-1, 0]
    columns = places[places[:, 0] == lowest, 1]
    first = columns[: np.append(np.flatnonzero(np.diff(columns) > 1) + 1, len(columns))[0]]
    return left + int(first[(len(first) - 1) // 2]), top + int(lowest)


def _cropped(mask: np.ndarray) -> tuple[int, int, np.ndarray]:
    """First row, first column and content of the box around the mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(rows[0]), int(columns[0]), box


def _eroded(mask: np.ndarray, reach: int) -> np.ndarray:
    """Where the square of 2 reach + 1 around a pixel lies in the mask."""
    return strata.maximum((~mask).view(np.uint8), reach, 1) == 0


def _nearest(places: np.ndarray, centre: np.ndarray, top: int, left: int) -> tuple[int, int]:
    """Of the places (row, column) the one nearest to `centre`, the first of several, as (x, y) of the image."""
    row, column = places[np.square(places - centre).sum(1).argmin()].tolist()
    return left + column, top + row
