"""Pieces of work for the tests of segattn.profile.worker and memory; imported in their processes."""

from __future__ import annotations

import os
import signal
from typing import Any

from segattn.profile.worker import Task


def _megabytes(number: int) -> Any:
    import torch  # a second or two of a process that need not have it

    return torch.ones(number * 2**20, dtype=torch.uint8)


def fill(megabytes: int, *, held: int = 0) -> Task:
    """Makes `held` MB when built and fills `megabytes` MB more in each run, then frees them."""
    kept = _megabytes(held)
    return Task(lambda: int(_megabytes(megabytes)[-1]) + kept.numel())


def grow(megabytes: int) -> Task:
    """Keeps `megabytes` MB more after each run."""
    kept: list[Any] = []
    return Task(lambda: kept.append(_megabytes(megabytes)))


def warmed() -> Task:
    """Prints, and runs only once its warm-up has been called."""
    called: list[int] = []

    def run() -> None:
        print("a line on standard output")
        if len(called) != 1:
            raise RuntimeError(f"warm-up called {len(called)} times")

    return Task(run, warm_up=lambda: called.append(1))


def refused(size: int) -> Task:
    raise ValueError(f"size {size} should be at least 7\nmore")


def broken() -> Task:
    return Task(lambda: 1 // 0)


def killed(by: str) -> Task:
    return Task(lambda: os.kill(os.getpid(), getattr(signal, by)))


def sleeping(seconds: float) -> Task:
    import time

    return Task(lambda: time.sleep(seconds))


def waking(first: float, later: float) -> Task:
    """Takes `first` seconds after each rest of 0.2 s or more, and `later` seconds in a row."""
    import time

    last = [-1.0]

    def run() -> None:
        time.sleep(later if time.monotonic() - last[0] < 0.2 else first)
        last[0] = time.monotonic()

    return Task(run)


def threads() -> Task:
    import torch

    raise ValueError(f"{torch.get_num_threads()} threads")
