"""Ray: tasks on one machine or on a cluster (`RAY_ADDRESS`), spread over its nodes.

Ray starts the processes and notices when they or their machines are lost. It keeps them between jobs, so what a job has loaded
is there for the next one. Progress comes from the files in the study's folder, which all machines must see.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segattn.study import failures
from segattn.study.engines import ATTEMPTS, Event, OnEvent, OnNotice
from segattn.study.engines.shares import cores_here, gpus_here
from segattn.study.engines.watching import Watch
from segattn.study.folder import CANCEL
from segattn.study.job import Job, Warm, decoded, execute
from segattn.training.interruption import Interrupted, signals

OBJECT_STORE_BYTES = 80 * 2**20
"""Of the embedded Ray: jobs are small, and their results are files."""
_POLL = 0.5
_STARTS = 3
_warm = Warm()


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Tasks of Ray."""

    jobs: int | None = None
    """How many at a time; None for as many as the resources allow."""
    cores_per_run: int | None = None
    gpus_per_run: float | None = None
    device: str = "auto"

    def check(self) -> None:
        """Raise ValueError where Ray is not installed, or a number of cores, GPUs or jobs is none."""
        try:
            import ray  # noqa: F401
        except ImportError:
            raise ValueError("--engine ray needs Ray; install it with pip install 'segattn[ray]'") from None
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"--jobs {self.jobs}: at least 1")
        if self.cores_per_run is not None and self.cores_per_run < 1:
            raise ValueError(f"--cores-per-run {self.cores_per_run}: at least 1")
        if self.gpus_per_run is not None and not 0 <= self.gpus_per_run <= 1:
            raise ValueError(
                f"--gpus-per-run {self.gpus_per_run:g}: a run of this engine is one process, which uses one GPU; give 0 to 1"
            )

    def run(self, jobs: Sequence[Job], *, on_event: OnEvent, on_notice: OnNotice) -> None:
        """As `Engine.run`; a second signal ends all tasks at once."""
        if not jobs:
            return
        received: list[int] = []
        out, token = Path(jobs[0].out), f".seen-{secrets.token_hex(4)}"
        with self._connected() as resources, _file(out / token), signals(received):
            options, threads = self._options(resources)
            jobs = [replace(job, token=token, threads=threads) for job in jobs]
            tasks = _Tasks(jobs, options, self.jobs or len(jobs), on_event, on_notice)
            tasks.work(out, received)
        if tasks.stopping:
            how = f"stopped by {signal.Signals(received[0]).name}" if received else "cancelled"
            raise Interrupted(f"{how}; run the same command again to continue")

    @contextmanager
    def _connected(self) -> Iterator[dict[str, float]]:
        """Ray, embedded unless `RAY_ADDRESS` names a cluster; the resources that it has."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        settings: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        if (address := os.environ.get("RAY_ADDRESS")) is not None:
            settings = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        else:
            wanted = (self.cores_per_run or 1) * (self.jobs or 1)
            settings |= {
                "num_cpus": max(cores_here(), wanted) if self.jobs is None else wanted,
                "num_gpus": len(gpus_here()) if self.device != "cpu" else 0,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        _start(settings, attempts=1 if address else _STARTS)
        try:
            yield ray.cluster_resources()
        finally:
            ray.shutdown()

    def _options(self, resources: dict[str, float]) -> tuple[dict[str, Any], int]:
        """What a task asks for, and its threads.

        Raises:
            ValueError: no machine has that much.
        """
        cpus, gpus = int(resources.get("CPU", 0)), resources.get("GPU", 0.0) if self.device != "cpu" else 0.0
        each = self.gpus_per_run if self.gpus_per_run is not None else min(1.0, gpus)
        if each > gpus:
            raise ValueError(f"--gpus-per-run {each:g}: Ray has {gpus:g} GPUs here; give at most that, or leave it out")
        cores = self.cores_per_run or max(1, min(cpus, int(cpus // gpus)) if each and gpus else 1)
        if cores > cpus:
            raise ValueError(f"--cores-per-run {cores}: Ray has {cpus} cores here; give at most that")
        asked = {"num_cpus": cores, "num_gpus": each, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        return asked, cores


def _start(settings: dict[str, Any], attempts: int) -> None:
    """Start or reach Ray. Its own limit of 15 s for a part of it is short where the cores are busy (ray-project/ray#65983).

    Raises:
        ValueError: it does not start, or nobody answers at the address.
    """
    import ray

    for attempt in range(attempts):
        try:
            ray.init(**settings)
            return
        except Exception as error:  # Ray raises plain ones too
            ray.shutdown()
            if attempt + 1 < attempts:
                continue
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            if "address" in settings:
                advice = f"Ray does not answer at RAY_ADDRESS={settings['address']}; start it there, or leave RAY_ADDRESS out"
            else:
                advice = "Ray does not start on this machine; try again when it is less busy, or use --engine local"
            raise ValueError(f"{advice} ({reason})") from error


def _task(text: str) -> dict[str, Any]:
    """Execute a job in a process of Ray; its outcome. Notices come with it, because nobody listens before."""
    notices: list[str] = []
    outcome: dict[str, Any] = {"kind": "finished", "notices": notices, "host": socket.gethostname(), "text": ""}
    try:
        execute(decoded(text), warm=_warm, on_notice=notices.append)
    except Interrupted as stopped:
        return {**outcome, "kind": "stopped", "text": str(stopped)}
    except ValueError as error:  # a mistake, which another attempt would make again
        return {**outcome, "kind": "failed", "text": str(error), "final": True}
    return outcome


class _Tasks:
    """The jobs as tasks, and the attempts at them."""

    def __init__(
        self, jobs: Sequence[Job], options: dict[str, Any], most: int, on_event: OnEvent, on_notice: OnNotice
    ) -> None:
        import ray

        self.jobs, self.most, self.on_event, self.on_notice = jobs, most, on_event, on_notice
        self.remote = ray.remote(_task).options(**options)
        self.waiting = deque(range(len(jobs)))
        self.running: dict[Any, int] = {}
        self.attempts = [0] * len(jobs)
        self.reached: list[Any] = [None] * len(jobs)
        self.watch = Watch(jobs, on_event)
        self.stopping = False

    def work(self, out: Path, received: Sequence[int]) -> None:
        """Until all jobs have ended, or those in progress have stopped."""
        import ray

        while self.waiting or self.running:
            if not self.stopping and (received or (out / CANCEL).exists()):
                self.stopping = True
                self.waiting.clear()
                (out / CANCEL).touch()  # tasks stop at their next checkpoint, on whatever machine
            while self.waiting and len(self.running) < self.most:
                number = self.waiting.popleft()
                self.attempts[number] += 1
                self.reached[number] = self.jobs[number].reached()
                self.running[self.remote.remote(self.jobs[number].encoded())] = number
            for done in ray.wait(list(self.running), timeout=_POLL)[0]:
                self._ended(self.running.pop(done), done)
            self.watch.look(list(self.running.values()))

    def _ended(self, number: int, reference: Any) -> None:
        import ray

        job, host = self.jobs[number], self.watch.hosts.get(number, "")
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayError as error:  # the process or its machine is lost, or what was raised is no mistake
            self._again(number, _reason(error), host)
            return
        for notice in outcome["notices"]:
            self.on_notice(notice)
        if outcome["kind"] == "finished":
            self.on_event(Event(job, "finished", outcome["host"]))
        elif self.stopping:
            self.on_event(Event(job, "stopped", outcome["host"]))
        elif outcome["kind"] == "stopped":
            self._again(number, outcome["text"], outcome["host"])
        else:
            self._failed(number, outcome["text"], outcome["host"])

    def _again(self, number: int, why: str, host: str) -> None:
        """Try again, unless that was the last attempt; a new checkpoint since the last one makes it the first again."""
        job = self.jobs[number]
        if self.stopping:
            self.on_event(Event(job, "stopped", host))
            return
        if job.reached() != self.reached[number]:
            self.attempts[number] = 1
        if self.attempts[number] >= ATTEMPTS:
            self._failed(number, f"{why} ({self.attempts[number]} attempts)", host)
            return
        self.waiting.appendleft(number)
        self.watch.again(number)
        self.on_event(Event(job, "retried", host, message=why))

    def _failed(self, number: int, why: str, host: str) -> None:
        failures.write(self.jobs[number].folders, why, self.attempts[number], host)
        self.on_event(Event(self.jobs[number], "failed", host, message=why))


def _reason(error: Exception) -> str:
    """An error of Ray in one line: the last one, which holds what was raised in the task."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if type(error).__name__.startswith("RayTaskError") and lines else (lines or [""])[0]
    return f"{type(error).__name__.partition('(')[0]}: {last}"[:500]


@contextmanager
def _file(path: Path) -> Iterator[None]:
    """An empty file, by which other machines see that they share the folder."""
    path.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
