"""Ctrl-C from the first moment on, also while modules are imported."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = "\nsegattn: interrupted"


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once while modules are imported, and raise KeyboardInterrupt as usual elsewhere.

    Packages turn a KeyboardInterrupt during their import into other errors, or go on without what they could not import.
    """

    def note(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                _end_at_once()
            frame = frame.f_back
        raise KeyboardInterrupt

    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    is_usual = is_usual and threading.current_thread() is threading.main_thread()  # elsewhere signals are the caller's
    if is_usual:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if is_usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once() -> None:
    shown = f"{INTERRUPTED}\n"
    if os.isatty(2):
        shown = "\x1b[?25h" + shown  # the cursor, which a progress display hides
    os.write(2, shown.encode())  # not sys.stderr, which may be redirected while a package is imported
    os._exit(130)
