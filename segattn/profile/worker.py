"""Runs a task in a Python process of its own, on request, and returns its time or its memory.

If the task runs out of memory, raises or crashes, only that process is affected: the caller gets an `Outcome` and continues. An
importable target names the task, so the process inherits nothing:

    with Worker("mypkg.cases:block", {"size": 97}) as worker:
        worker.build()         # mypkg.cases.block(size=97) -> Task, and its warm-up
        worker.time()          # seconds of one run

Requests and answers are JSON objects, one per line, on the process's standard input and output. What the task prints goes to a
file, whose last line is quoted if the process dies.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

SAMPLE_SECONDS = 0.05
OK, OUT_OF_MEMORY, REFUSED, FAILED = "ok", "out of memory", "refused", "failed"
_EXHAUSTED = ("can't allocate memory", "out of memory", "bad_alloc", "cannot allocate memory", "failed to allocate")


@dataclass(frozen=True)
class Task:
    """What a target returns: the work to measure, and a warm-up that runs once before it.

    `run` is called without arguments and its result is dropped. `warm_up` should be the same work at a tiny size, so that memory
    which libraries allocate at their start is not attributed to the work.
    """

    run: Callable[[], Any]
    warm_up: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a request ended: `ok`, `out of memory`, `refused` (the task raised a ValueError) or `failed`."""

    kind: str
    message: str = ""
    """One line: why the request did not succeed."""
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.kind == OK


class Worker:
    """A process that builds the task `target` ("module:function", called with `arguments`, which must fit JSON) and runs it.

    `threads` is the number for torch and OpenMP in the process (None: their default); `environment` is added to that of this
    process; `limit_bytes` limits what the process may allocate from the build on, so that a task which is too large ends in an
    error. A process that does not answer for `timeout` seconds is killed.
    """

    def __init__(
        self,
        target: str,
        arguments: Mapping[str, Any],
        *,
        device: str = "cpu",
        threads: int | None = None,
        limit_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 600.0,
    ) -> None:
        if target.count(":") != 1:
            raise ValueError(f"target {target!r} should be 'module:function', such as 'mypkg.cases:block'")
        self.timeout = timeout
        self.build_request = {
            "do": "build",
            "target": target,
            "arguments": dict(arguments),
            "device": device,
            "threads": threads,
            "limit_bytes": limit_bytes,
        }
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from segattn.profile.worker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=_environment(threads, environment or {}),
        )
        self.answers: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def build(self) -> Outcome:
        """Import and call the target, then run its warm-up."""
        return self._ask(self.build_request)

    def time(self) -> Outcome:
        """Time of a run until the device has finished: `seconds` in the outcome's values.

        A run shorter than `SAMPLE_SECONDS` mostly measures waking threads and cold caches; the result is then the mean of as many
        more runs as fill that time.
        """
        return self._ask({"do": "time"})

    def memory(self, runs: int = 1) -> Outcome:
        """The peak of `runs` runs; see `segattn.profile.memory`."""
        return self._ask({"do": "memory", "runs": runs})

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(OSError):  # a request that was not sent
                if pipe is not None:
                    pipe.close()

    def _ask(self, request: Mapping[str, Any]) -> Outcome:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return self._died()
        try:
            line = self.answers.get(timeout=self.timeout)
        except queue.Empty:
            self.close()
            return Outcome(FAILED, f"no answer within {self.timeout:g} s")
        if line is None:
            return self._died()
        answer = json.loads(line)
        return Outcome(answer["kind"], answer["message"], answer["values"])

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed meanwhile
            for line in self.process.stdout:
                self.answers.put(line)
        self.answers.put(None)

    def _died(self) -> Outcome:
        code = self.process.wait()
        if code == -signal.SIGKILL if os.name == "posix" else False:
            return Outcome(OUT_OF_MEMORY, "the process was killed, as the system does when memory is short")
        said = self._last_words()
        if any(word in said.lower() for word in _EXHAUSTED):
            return Outcome(OUT_OF_MEMORY, said)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(FAILED, f"the process ended with {how}" + (f": {said}" if said else ""))

    def _last_words(self) -> str:
        if self.log.closed:
            return ""
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


def _environment(threads: int | None, more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    variables = {**os.environ, "PYTHONPATH": path, **more}
    if threads is not None:
        variables.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    return variables


def serve() -> None:
    """Runs in the process: answers requests until the caller closes the channel."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # so that what the task prints goes to the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process
    served = _Served()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            values = getattr(served, request.pop("do"))(**request)
            answer = {"kind": OK, "message": "", "values": values}
        except BaseException as error:
            answer = {"kind": kind_of(error), "message": first_line(error), "values": {}}
            del error
        channel.write(json.dumps(answer).encode() + b"\n")


class _Served:
    """The requests that a process can answer."""

    task: Task
    device = "cpu"
    start_bytes: int | None = None

    def build(
        self, target: str, arguments: dict[str, Any], device: str, threads: int | None, limit_bytes: int | None
    ) -> dict[str, Any]:
        from segattn.profile import in_use

        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        name, function = target.split(":")
        build = getattr(importlib.import_module(name), function)
        self.device = device
        self.start_bytes = in_use.resident(device)
        if limit_bytes is not None:
            in_use.limit(limit_bytes, device)
        self.task = build(**arguments)
        if self.task.warm_up is not None:
            self.task.warm_up()
        return {}

    def time(self) -> dict[str, Any]:
        seconds = self._seconds()
        if seconds < SAMPLE_SECONDS:
            passes = math.ceil(SAMPLE_SECONDS / max(seconds, 1e-4))
            seconds = sum(self._seconds() for _ in range(passes)) / passes
        return {"seconds": seconds}

    def _seconds(self) -> float:
        synchronize(self.device)
        begun = time.perf_counter()
        self.task.run()
        synchronize(self.device)
        return time.perf_counter() - begun

    def memory(self, runs: int) -> dict[str, Any]:
        from segattn.profile import in_use

        return {"start_bytes": self.start_bytes, **in_use.measure_peak(self.task.run, self.device, runs)}


def synchronize(device: str) -> None:
    """Wait until the device has finished all queued work."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def kind_of(error: BaseException) -> str:
    """The kind of outcome for an exception."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(word in text for word in _EXHAUSTED):
        return OUT_OF_MEMORY
    return REFUSED if isinstance(error, ValueError) else FAILED


def first_line(error: BaseException) -> str:
    """The message of an exception in one line, with its type unless it is a ValueError."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
    asked = re.search(r"can't allocate memory: you tried to allocate (\d+) bytes", said)
    if asked:
        return f"tried to allocate {int(asked[1]) / 2**20:,.1f} MiB at once"
    return said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}".rstrip(": ")
