"""Stopping a run at a moment of its own choosing when SIGINT (Ctrl-C) or SIGTERM comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


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
