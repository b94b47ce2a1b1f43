"""Trained networks by accuracy and cost: those within a budget, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUANTITIES = ("time", "memory", "flops", "macs", "parameters")
"""Costs: seconds of a pass, bytes at inference, operations of one image, parameters."""


@dataclass(frozen=True)
class Candidate:
    """A trained network in one of its forms."""

    network: str
    form: str
    costs: Mapping[str, float]
    """By quantity; without those that were not measured."""
    mean_iou: float | None = None
    """In [0, 1]; None where it is not recorded, as of a form that rounds more than the network that was scored."""

    def cost(self, quantity: str) -> float:
        """Infinite where it was not measured."""
        return self.costs.get(quantity, math.inf)

    def fits(self, limits: Mapping[str, float]) -> bool:
        """Whether every cost is known and within its limit."""
        return all(self.cost(quantity) <= limit for quantity, limit in limits.items())


def ranked(candidates: Sequence[Candidate], limits: Mapping[str, float], by: str) -> list[Candidate]:
    """Those within the limits first; each part the most accurate first, and of equals the one that costs least of `by`."""

    def order(one: Candidate) -> tuple[bool, float, float]:
        return not one.fits(limits), -(-1.0 if one.mean_iou is None else one.mean_iou), one.cost(by)

    return sorted(candidates, key=order)


def front(candidates: Sequence[Candidate], quantities: Sequence[str]) -> list[Candidate]:
    """The Pareto front: candidates with a recorded accuracy that no other beats or equals in everything and beats in something.

    >>> a, b, c = (Candidate(n, "eager", {"time": t}, m) for n, t, m in (("a", 1, 0.5), ("b", 2, 0.7), ("c", 3, 0.6)))
    >>> [one.network for one in front([a, b, c], ["time"])]
    ['a', 'b']
    """
    points = {
        index: (-one.mean_iou, *(one.cost(quantity) for quantity in quantities))
        for index, one in enumerate(candidates)
        if one.mean_iou is not None and all(math.isfinite(one.cost(quantity)) for quantity in quantities)
    }
    return [candidates[index] for index, point in points.items() if not any(_beats(o, point) for o in points.values())]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))
