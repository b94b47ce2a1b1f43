"""Times of several tasks, measured in turns: each round runs every task once, in a new random order.

Other load and clock drift then affect all tasks alike; if one task ran after the other, they would distort whichever ran at
the wrong moment.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from segattn.profile.worker import OK, Outcome, Worker

Key = TypeVar("Key", bound=Hashable)


@dataclass
class Timed:
    """Seconds of every timed pass of one task, and how it ended."""

    seconds: list[float] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome(OK))


def in_turns(
    workers: Mapping[Key, Worker],
    *,
    rounds: int,
    warmup: int = 2,
    seed: int = 0,
    budget_seconds: float | None = None,
    least_rounds: int = 3,
    on_pass: Callable[[Key], object] = lambda key: None,
) -> dict[Key, Timed]:
    """Time each worker once a round, one at a time, after `warmup` rounds that are discarded.

    With a budget, rounds stop when it is spent, but not before `least_rounds`. A worker that fails is closed and keeps its
    times; the others continue. `on_pass(key)` is called after each pass, warm-up included.
    """
    draw = random.Random(seed)
    timed = {key: Timed() for key in workers}
    alive = list(workers)
    begun = time.monotonic()
    for number in range(-warmup, rounds):
        spent = budget_seconds is not None and time.monotonic() - begun > budget_seconds
        if not alive or (spent and number >= min(least_rounds, rounds)):
            break
        for key in draw.sample(alive, len(alive)):
            outcome = workers[key].time()
            if not outcome.ok:
                timed[key].outcome = outcome
                workers[key].close()
                alive.remove(key)
            elif number >= 0:
                timed[key].seconds.append(outcome.values["seconds"])
            on_pass(key)
    return timed


def quantile(samples: Sequence[float], share: float) -> float:
    """The value below which `share` in [0, 1] of the samples lie, interpolated linearly between the two nearest.

    >>> quantile([1.0, 2.0, 4.0, 8.0], 0.5)
    3.0
    """
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
