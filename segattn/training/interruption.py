"""Stop a run between two steps on SIGINT (Ctrl-C) or SIGTERM, with all processes at the same point."""

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
def signals(received: list[int]) -> Iterator[None]:
    """Collect SIGINT and SIGTERM in `received`, so that no step is cut short; a second signal ends the process as usual."""

    def note(number: int, frame: object) -> None:
        if received:
            signal.signal(number, previous[number])
            signal.raise_signal(number)
        received.append(number)

    try:
        previous = {int(number): signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Stop:
    """Whether any process of a run has received a signal; all processes get the same answer.

    Args:
        received: the signals that this process has received, from `signals`.
    """

    EVERY_SECONDS = 1.0
    """Interval at which processes with separate items exchange their state; the first one waits for the others."""

    def __init__(self, accelerator: Accelerator, received: list[int]) -> None:
        self.accelerator, self.received = accelerator, received

    def asked_for(self) -> bool:
        """Whether any process has received a signal; all processes call this at the same point and get the same answer."""
        return self._ask(finished=True) is None

    def raise_interrupted(self, where: str) -> None:
        """Raise Interrupted with the name of the signal."""
        name = signal.Signals(self.received[0]).name
        raise Interrupted(f"stopped by {name} {where}; run the same command again to continue")

    def until_asked_for(self, items: Iterable[Item], where: str) -> Iterator[Item]:
        """Yield this process's items; other processes may have more or fewer. Ends when all have finished.

        Raises:
            Interrupted: in all processes, about a second and one item at most after one of them received a signal.
        """
        asked = time.monotonic()
        for item in items:
            yield item
            alone = self.accelerator.num_processes == 1
            if alone or self.received or time.monotonic() - asked > self.EVERY_SECONDS:
                if self._ask(finished=False) is None:
                    self.raise_interrupted(where)
                asked = time.monotonic()
        while (num_finished := self._ask(finished=True)) != self.accelerator.num_processes:
            if num_finished is None:
                self.raise_interrupted(where)

    def _ask(self, *, finished: bool) -> int | None:
        """Number of processes that have finished their items; None if any process has received a signal."""
        if self.accelerator.num_processes == 1:
            return None if self.received else int(finished)
        own = torch.tensor([float(bool(self.received)), float(finished)], device=self.accelerator.device)
        stopping, num_finished = self.accelerator.reduce(own, "sum").tolist()
        if not stopping:
            return int(num_finished)  # a signal received in the meantime counts at the next exchange
        if not self.received:
            self.received.append(signal.SIGTERM)  # another process received it
        return None
