"""Workers on this machine: processes that stay alive between jobs, and are replaced when they die."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from segattn.study import failures
from segattn.study.engines import ATTEMPTS, Event, OnEvent, OnNotice
from segattn.study.engines.shares import Share, shares
from segattn.study.folder import CANCEL
from segattn.study.job import Job
from segattn.training.interruption import Interrupted, signals
from segattn.training.run import Progress

_POLL = 0.2
_GRACE = 10.0
"""Seconds that an idle worker has to end."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """Workers on this machine."""

    jobs: int = 1
    """How many jobs run at a time."""
    cores_per_run: int | None = None
    gpus_per_run: float | None = None
    device: str = "auto"

    def check(self) -> None:
        """Raise ValueError if the machine has not what the jobs at a time need, as `shares`."""
        self._shares()

    def _shares(self) -> list[Share]:
        return shares(self.jobs, cores_per_run=self.cores_per_run, gpus_per_run=self.gpus_per_run, device=self.device)

    def run(self, jobs: Sequence[Job], *, on_event: OnEvent, on_notice: OnNotice) -> None:
        """As `Engine.run`; a second signal ends all workers at once."""
        if not jobs:
            return
        received: list[int] = []
        pool = _Pool(self._shares()[: len(jobs)], jobs, on_event, on_notice)
        try:
            with signals(received):
                pool.work(received)
        finally:
            pool.close()
        if received or pool.is_cancelled():
            how = f"stopped by {signal.Signals(received[0]).name}" if received else "cancelled"
            raise Interrupted(f"{how}; run the same command again to continue")


@dataclass
class _Task:
    """A job and the attempts at it."""

    job: Job
    attempts: int = 0
    reached: object = None
    """The checkpoints before the last attempt."""
    host: str = ""


@dataclass
class _Worker:
    """The other side of `segattn.study.engines.worker`."""

    share: Share
    log: Path
    messages: queue.Queue[tuple[_Worker, dict[str, Any] | None]]
    process: subprocess.Popen[str] | None = None
    task: _Task | None = None
    host: str = field(default="", init=False)
    leaving: bool = field(default=False, init=False)
    """Whether the process said that it ends; the next job is for the one after it."""

    def give(self, task: _Task) -> None:
        """Hand the worker a job; start it if it does not live."""
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.task = task
        with suppress(OSError):  # it has died: its output ends too
            self.process.stdin.write(task.job.encoded() + "\n")
            self.process.stdin.flush()

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(self.share.threads)
        if self.share.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.share.gpus)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "segattn.study.engines.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the study, which stops its workers
            )
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()

    def _listen(self, output: IO[str]) -> None:
        with suppress(OSError, ValueError):
            for line in output:
                with suppress(json.JSONDecodeError):  # cut off by a kill
                    self.messages.put((self, json.loads(line)))
        self.messages.put((self, None))

    def ended(self) -> str:
        """Why the process has ended, in words; another one can be started then."""
        assert self.process is not None
        status, self.process = self.process.wait(), None
        if status < 0:
            name = signal.Signals(-status).name
            return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"its process ended with exit code {status}; see {self.log}"

    def end(self, *, now: bool) -> None:
        """End the process: `now`, or when its job is done."""
        if self.process is None:
            return
        if now:
            self.process.kill()
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Pool:
    """The workers and the jobs that wait for them."""

    def __init__(self, each: Sequence[Share], jobs: Sequence[Job], on_event: OnEvent, on_notice: OnNotice) -> None:
        self.out = Path(jobs[0].out)
        self.waiting = deque(_Task(job) for job in jobs)
        self.on_event, self.on_notice = on_event, on_notice
        self.messages: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        logs = [self.out / "logs" / f"worker-{number}.log" for number in range(len(each))]
        self.workers = [_Worker(share, log, self.messages) for share, log in zip(each, logs, strict=True)]
        self.stopping = False

    def is_cancelled(self) -> bool:
        """Whether `segattn study cancel` was called."""
        return (self.out / CANCEL).exists()

    def work(self, received: Sequence[int]) -> None:
        """Until all jobs have ended, or those in progress have stopped."""
        while self.waiting or any(worker.task for worker in self.workers):
            if not self.stopping and (received or self.is_cancelled()):
                self._stop(ask=bool(received))
            for worker in self.workers:
                if worker.task is None and not worker.leaving and self.waiting:
                    self._begin(worker, self.waiting.popleft())
            with suppress(queue.Empty):
                self._take(*self.messages.get(timeout=_POLL))

    def _begin(self, worker: _Worker, task: _Task) -> None:
        task.attempts, task.reached = task.attempts + 1, task.job.reached()
        worker.give(task)
        self.on_event(Event(task.job, "started", worker.host))

    def _stop(self, *, ask: bool) -> None:
        """Start nothing more. Jobs that are to be asked get a signal; those of a cancelled study stop by themselves."""
        self.stopping = True
        self.waiting.clear()
        for worker in self.workers if ask else ():
            if worker.task is not None and worker.process is not None:
                worker.process.terminate()

    def _take(self, worker: _Worker, message: dict[str, Any] | None) -> None:
        if message is None:
            why, task, worker.task, worker.leaving = worker.ended(), worker.task, None, False
            if task is not None:
                self._died(task, worker, why)
            return
        kind = message.pop("kind")
        if kind == "ready":
            worker.host = message["host"]
        elif kind == "notice":
            self.on_notice(message["text"])
        elif worker.task is not None:
            task = worker.task
            if kind == "progress":
                self.on_event(Event(task.job, "progress", worker.host, Progress(**message)))
                return
            worker.task, worker.leaving = None, kind == "stopped" or (kind == "failed" and not message["final"])
            if kind == "finished":
                self.on_event(Event(task.job, "finished", worker.host))
            else:
                self._died(task, worker, message["text"], final=message.get("final", False))

    def _died(self, task: _Task, worker: _Worker, why: str, *, final: bool = False) -> None:
        """Try again, unless that was the last attempt; a new checkpoint since the last one makes it the first again."""
        if (self.stopping or self.is_cancelled()) and not final:
            self.on_event(Event(task.job, "stopped", worker.host))
            return
        if task.job.reached() != task.reached:
            task.attempts = 1
        if final or task.attempts >= ATTEMPTS:
            times = "" if final else f" ({task.attempts} attempts)"
            failures.write(task.job.folders, why, task.attempts, worker.host)
            self.on_event(Event(task.job, "failed", worker.host, message=f"{why}{times}"))
        else:
            self.waiting.appendleft(task)
            self.on_event(Event(task.job, "retried", worker.host, message=why))

    def close(self) -> None:
        """End the workers: at once those that still work, because of an error or a second signal."""
        for worker in self.workers:
            worker.end(now=worker.task is not None)
        for worker in self.workers:
            with suppress(OSError):
                if worker.log.stat().st_size == 0:
                    worker.log.unlink()
        with suppress(OSError):
            (self.out / "logs").rmdir()
