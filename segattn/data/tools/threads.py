"""Threads that read or write files: one a processor, and an interruption does not wait for what is queued."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def file_threads(number: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of `number` threads, as many as processors if None; what is queued is dropped when an exception leaves it."""
    with ThreadPoolExecutor(number or os.cpu_count() or 1) as threads:
        try:
            yield threads
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
