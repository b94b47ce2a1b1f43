"""What the page shows, without the page: it checks points, runs each network once per picture, and keeps the features for more
points."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from segattn.cost import Cost
from segattn.demo.cache import ByteCache
from segattn.demo.networks import Network
from segattn.demo.pictures import Picture
from segattn.maps.look import AttentionMaps, Look, look
from segattn.records.image_range import Outside

Point = tuple[int, int]


@dataclass(frozen=True)
class Points:
    """(x, y) in pixels of the picture: one, and perhaps another to compare it with."""

    first: Point
    second: Point | None = None

    def __iter__(self) -> Iterator[Point]:
        yield self.first
        if self.second is not None:
            yield self.second


@dataclass(frozen=True, eq=False)
class Seen:
    """One network at the points."""

    network: Network
    cost: Cost
    """Of one pass over the picture."""
    at: tuple[AttentionMaps, ...]
    """One for each point; without maps where the head has none."""
    seconds: float
    """Of the pass over the picture on this computer."""


class Explorer:
    """Networks and what they have seen; calls of several threads take turns.

    Args:
        cache_bytes: what may be kept of features and predictions; the least recently used go first.
    """

    def __init__(self, networks: Sequence[Network], *, cache_bytes: int = 2**30) -> None:
        self.networks = {network.name: network for network in networks}
        self.looks: ByteCache[Look] = ByteCache(cache_bytes, size=lambda seen: seen.num_bytes)
        self._seconds: ByteCache[float] = ByteCache(10_000, size=lambda seconds: 1)
        self._costs: ByteCache[Cost] = ByteCache(10_000, size=lambda cost: 1)
        self._lock = Lock()

    def prepare(self, picture: Picture, names: Sequence[str]) -> Iterator[str]:
        """Run the named networks on a picture that they have not seen; gives each one's name before it runs.

        Raises:
            ValueError: no network is named, or none of that name exists.
        """
        for name in self._chosen(names):
            if (picture.key, name) not in self.looks:
                yield name
            self._look(picture, name)

    def see(self, picture: Picture, points: Points, names: Sequence[str]) -> list[Seen]:
        """What the named networks do at the points.

        Raises:
            ValueError: no network is named, none of that name exists, or a point is outside the picture.
        """
        for point in points:
            check_point(point, picture)
        answers = []
        for name in self._chosen(names):
            seen, cost, seconds = self._look(picture, name)
            with self._lock:
                at = tuple(seen.at(point) for point in points)
                answers.append(Seen(self.networks[name], cost, at, seconds))
        return answers

    def unusual(self, picture: Picture, names: Sequence[str]) -> str:
        """The first of the named networks whose training images differ from the picture, and in what; empty if none does."""
        for name in self._chosen(names):
            compared = Outside(self.networks[name].model.image_range)
            compared.note(picture.name, picture.image)
            if compared.num_outside:
                return f"{name}: {compared.sentence()}"
        return ""

    def _look(self, picture: Picture, name: str) -> tuple[Look, Cost, float]:
        """The network's features and prediction, its cost, and how long the pass took when it ran."""
        network, key = self.networks[name], (picture.key, name)
        with self._lock:
            began = time.perf_counter()
            seen = self.looks.get(key, lambda: look(network.model, picture.image, name=name))
            passed = time.perf_counter() - began
            seconds = self._seconds.get(key, lambda: passed)
            return seen, self._costs.get((name, picture.size), lambda: network.cost(picture.size)), seconds

    def _chosen(self, names: Sequence[str]) -> list[str]:
        unknown = sorted(set(names) - self.networks.keys())
        if unknown:
            raise ValueError(f"no network {', '.join(map(str, unknown))}; there are {', '.join(self.networks)}")
        if not names:
            raise ValueError("No network is selected. Select at least one.")
        return [name for name in self.networks if name in names]


def default_points(picture: Picture) -> Points:
    """A point low in the middle, where street scenes usually show an object."""
    height, width = picture.size
    return Points((round(width * 0.55), round(height * 0.62)))


def check_point(point: Point, picture: Picture) -> None:
    """Raise ValueError for a point outside the picture."""
    (x, y), (height, width) = point, picture.size
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"Pixel ({x}, {y}) is outside the picture of {width} x {height} pixels.")


def read_points(raw: Any, picture: Picture) -> Points:
    """Points as the page sends them: {"first": [x, y], "second": [x, y] or null}.

    Raises:
        ValueError: another form, or a point outside the picture.
    """
    sent = raw if isinstance(raw, dict) else {}
    first, second = _point(sent.get("first")), _point(sent.get("second"))
    if first is None:
        raise ValueError("Click a pixel of the picture.")
    points = Points(first, second)
    for point in points:
        check_point(point, picture)
    return points


def _point(raw: Any) -> Point | None:
    if raw is None:
        return None
    if not (isinstance(raw, list) and len(raw) == 2 and all(type(at) is int for at in raw)):
        raise ValueError("A pixel is two whole numbers: x to the right, y down.")
    return raw[0], raw[1]
