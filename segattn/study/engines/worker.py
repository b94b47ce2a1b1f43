"""A worker: a process that executes jobs one after the other, and keeps what is loaded and open in between.

    python -P -m segattn.study.engines.worker

It reads a job from each line of its standard input and writes messages, lines of JSON, to its standard output. It ends when its
input does: after its last job, or when the process that started it has died; a run in progress then stops at a checkpoint.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, TextIO

PATIENCE = 600.0
"""Seconds until a worker ends that is alone and does not come to a checkpoint."""
_PROGRESS_EVERY = 0.2


def main() -> int:
    """Execute the jobs of the standard input; returns the exit code."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints, prints into the log
    lines: queue.Queue[str | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(lines, busy), daemon=True).start()
    from segattn.study.job import Warm, decoded  # torch: seconds

    warm = Warm()
    _tell(channel, kind="ready", host=socket.gethostname(), pid=os.getpid())
    while (line := lines.get()) is not None:
        busy.set()
        usable = _execute(decoded(line), warm, channel)
        busy.clear()
        if not usable:
            return 1
    return 0


def _read(lines: queue.Queue[str | None], busy: threading.Event) -> None:
    """Pass the lines on; at their end, stop the job in progress as SIGTERM does, because nobody waits for it."""
    with suppress(OSError, ValueError):
        for line in sys.stdin:
            lines.put(line)
    lines.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)


def _execute(job: Any, warm: Any, channel: TextIO) -> bool:
    """Execute a job and tell its outcome; returns whether this process can execute another."""
    from segattn.study.job import execute
    from segattn.training.interruption import Interrupted

    told = ("", 0.0)

    def report(progress: Any) -> None:
        nonlocal told
        now = time.monotonic()
        if progress.stage != told[0] or progress.done == progress.total or now - told[1] > _PROGRESS_EVERY:
            told = progress.stage, now
            _tell(channel, kind="progress", **vars(progress))

    try:
        execute(job, warm=warm, on_progress=report, on_notice=lambda text: _tell(channel, kind="notice", text=text))
    except Interrupted as stopped:
        _tell(channel, kind="stopped", text=str(stopped))
        return False
    except ValueError as error:  # a mistake, which another attempt would make again
        _tell(channel, kind="failed", text=str(error), final=True)
        return True
    except Exception as error:
        traceback.print_exc()
        _tell(channel, kind="failed", text=f"{type(error).__name__}: {error}".splitlines()[0][:500], final=False)
        return False
    _tell(channel, kind="finished")
    return True


def _tell(channel: TextIO, **message: Any) -> None:
    with suppress(BrokenPipeError):  # nobody reads: the end of the input says so too
        channel.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # threads of libraries do not keep a worker
