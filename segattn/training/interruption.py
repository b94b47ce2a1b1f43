"""Stopping a run between two steps when SIGINT (Ctrl-C) or SIGTERM arrives, all its processes at the same point."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from accelerate import Accelerator

Item = TypeVar("Item")


class Interrupted(Exception):
    """A signal ended the run; a checkpoint to resume from was written."""


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying in the middle of a step; a second one dies as usual."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            signal.signal(number, previous[number])
            signal.raise_signal(number)
        received.append(number)

    try:
        previous = {int(number): signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Stop:
    """Whether any process of a run has received a signal; all processes get the same answer.

    Args:
        received: this process's own, as from `signals`.
    """

    EVERY_SECONDS = 1.0
    """How often processes that work on separate items ask each other; the first to ask waits until the others ask."""

    def __init__(self, accelerator: Accelerator, received: list[int]) -> None:
        self.accelerator, self.received = accelerator, received

    def asked_for(self) -> bool:
        """Whether a signal has come to any process; called by all at the same point, the same answer in all."""
        return self._ask(through=True) is None

    def raise_interrupted(self, where: str) -> None:
        """Raise Interrupted with the name of the signal."""
        name = signal.Signals(self.received[0]).name
        raise Interrupted(f"stopped by {name} {where}; run the same command again to go on")

    def until_asked_for(self, items: Iterable[Item], where: str) -> Iterator[Item]:
        """The items of this process, of which other processes may have more or fewer; returns when all have finished.

        Raises:
            Interrupted: in all processes, at most about a second and an item after the signal came to one.
        """
        asked = time.monotonic()
        for item in items:
            yield item
            alone = self.accelerator.num_processes == 1
            if alone or self.received or time.monotonic() - asked > self.EVERY_SECONDS:
                if self._ask(through=False) is None:
                    self.raise_interrupted(where)
                asked = time.monotonic()
        while (through := self._ask(through=True)) != self.accelerator.num_processes:
            if through is None:
                self.raise_interrupted(where)

    def _ask(self, *, through: bool) -> int | None:
        """How many processes have finished their items, None if any was told to stop."""
        if self.accelerator.num_processes == 1:
            return None if self.received else int(through)
        own = torch.tensor([float(bool(self.received)), float(through)], device=self.accelerator.device)
        stopping, num_through = self.accelerator.reduce(own, "sum").tolist()
        if not stopping:
            return int(num_through)  # a signal that came meanwhile counts at the next question
        if not self.received:
            self.received.append(signal.SIGTERM)  # it came to another process
        return None
