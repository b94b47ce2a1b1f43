"""Slurm: the jobs of a study as the tasks of a job array, submitted by submitit.

A task that comes near its time limit, or is preempted, stops at a checkpoint and asks Slurm to requeue it, as often as it takes.
The study's process only watches. What it has submitted is in `slurm/jobs.json` in the study's folder, so that the same command,
started again, watches the tasks that are still queued instead of submitting them twice.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segattn import records
from segattn.study import failures
from segattn.study.engines import ATTEMPTS, Event, OnEvent, OnNotice
from segattn.study.engines.slurm_queue import FOLDER, cancel_pending, in_queue, submitted
from segattn.study.engines.slurm_task import Task, job_file
from segattn.study.engines.watching import Watch
from segattn.study.folder import CANCEL
from segattn.study.job import Job
from segattn.training.interruption import Interrupted, signals

MARGIN_SECONDS = 120
"""How long before its time limit a task is told to stop: longer than a step and a checkpoint take."""
_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
_POLL = 5.0


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """Tasks of a job array."""

    jobs: int | None = None
    """How many at a time; None for as many as the cluster starts."""
    cores_per_run: int | None = None
    gpus_per_run: float | None = None
    """On each node."""
    nodes: int = 1
    """Machines of each run."""
    device: str = "auto"
    minutes: int = 24 * 60
    """Time limit of a task, after which it is requeued."""
    partition: str | None = None
    account: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """More parameters of sbatch by name, such as `qos`; and submitit's `signal_delay_s`."""
    leave: bool = False
    """Whether an interrupted study leaves its tasks in the queue."""
    poll: float = _POLL
    """Seconds between two looks at the queue."""

    def check(self) -> None:
        """Raise ValueError where submitit or Slurm's commands are missing, or a number makes no sense."""
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise ValueError("--engine slurm needs submitit; install it with pip install 'segattn[slurm]'") from None
        missing = [name for name in _COMMANDS if shutil.which(name) is None]
        if missing:
            raise ValueError(
                f"there is no Slurm here (no command {', '.join(missing)}); start the study on a login node of the cluster, "
                "or use --engine local"
            )
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"--jobs {self.jobs}: at least 1")
        if self.cores_per_run is not None and self.cores_per_run < 1:
            raise ValueError(f"--cores-per-run {self.cores_per_run}: at least 1")
        if self.gpus_per_run is not None and (self.gpus_per_run < 0 or self.gpus_per_run % 1):
            raise ValueError(f"--gpus-per-run {self.gpus_per_run:g}: Slurm gives whole GPUs; give 0, 1, 2, ...")
        if self.nodes < 1:
            raise ValueError(f"--nodes {self.nodes}: at least 1")

    def run(self, jobs: Sequence[Job], *, on_event: OnEvent, on_notice: OnNotice) -> None:
        """As `Engine.run`; interrupted with `leave`, the tasks stay in the queue."""
        if not jobs:
            return
        out, received = Path(jobs[0].out), list[int]()
        token = f"{FOLDER}/.seen-{secrets.token_hex(4)}"
        (out / token).parent.mkdir(parents=True, exist_ok=True)
        (out / token).touch()
        array = _Array(
            self, out, [replace(job, token=token, threads=self.cores_per_run) for job in jobs], on_event, on_notice
        )
        with signals(received):
            array.work(received)
        if received or array.stopping:
            how = f"stopped by {signal.Signals(received[0]).name}" if received else "cancelled"
            left = "; its tasks stay in the queue" if received and self.leave else ""
            raise Interrupted(f"{how}{left}; run the same command again to continue")
        for seen in (out / FOLDER).glob(".seen-*"):
            seen.unlink(missing_ok=True)

    @property
    def gpus(self) -> int:
        """GPUs of a task on each node."""
        return 1 if self.gpus_per_run is None and self.device == "cuda" else int(self.gpus_per_run or 0)

    @property
    def processes(self) -> int:
        """Processes of a task on each node."""
        return max(1, self.gpus)

    def parameters(self) -> dict[str, Any]:
        """What submitit passes to sbatch for a task."""
        fixed: dict[str, Any] = {
            "job_name": "segattn",
            "time": self.minutes,
            "nodes": self.nodes,
            "cpus_per_task": self.cores_per_run or self.processes,
            "ntasks_per_node": 1,
            "signal_delay_s": MARGIN_SECONDS,
            "setup": ["export PYTHONSAFEPATH=1"],  # a study's folder may hold a file torch.py
            "additional_parameters": {"requeue": True},
        }
        named: dict[str, Any] = {
            "partition": self.partition,
            "account": self.account,
            "gpus_per_node": self.gpus or None,
        }
        named["array_parallelism"] = self.jobs
        chosen = {**fixed, **{name: value for name, value in named.items() if value is not None}}
        known = set(_known_parameters())
        for name, value in self.options.items():
            if name in known:
                chosen[name] = value
            else:
                chosen["additional_parameters"] = {**chosen["additional_parameters"], name: value}
        return chosen


def _known_parameters() -> list[str]:
    import submitit

    return list(submitit.SlurmExecutor._valid_parameters())


class _Array:
    """The jobs as tasks of arrays, and the attempts at them."""

    def __init__(self, engine: Slurm, out: Path, jobs: Sequence[Job], on_event: OnEvent, on_notice: OnNotice) -> None:
        self.engine, self.out, self.jobs = engine, out, jobs
        self.on_event, self.on_notice = on_event, on_notice
        self.running: dict[int, str] = {}
        """Slurm's name of each job's task, such as 12_3, by the job's number."""
        self.attempts = [0] * len(jobs)
        self.reached: list[Any] = [None] * len(jobs)
        self.watch = Watch(jobs, on_event)
        self.stopping = False

    def work(self, received: Sequence[int]) -> None:
        """Until all tasks have ended, or those in progress have stopped or are left."""
        self._attach()
        self._submit([number for number in range(len(self.jobs)) if number not in self.running])
        looked = time.monotonic()
        while self.running:
            if not self.stopping and (received or (self.out / CANCEL).exists()):
                if received and self.engine.leave:
                    return
                self.stopping = True
                (self.out / CANCEL).touch()
                cancel_pending(list(self.running.values()))
            self.watch.look(list(self.running))
            if time.monotonic() - looked >= self.engine.poll:
                looked = time.monotonic()
                queued = in_queue(list(self.running.values()))
                again = [
                    number for number, task in list(self.running.items()) if task not in queued and self._ended(number)
                ]
                self._submit(again)
            time.sleep(min(0.5, self.engine.poll))

    def _attach(self) -> None:
        """Watch the tasks that an earlier process submitted for the same jobs and that are still queued."""
        tasks = submitted(self.out)
        queued = in_queue(list(tasks.values())) if tasks else set()
        for number, job in enumerate(self.jobs):
            if (task := tasks.get(job.name)) in queued and task is not None:
                self.running[number] = task
                self.attempts[number], self.reached[number] = 1, job.reached()
        if self.running:
            self.on_notice(f"{len(self.running)} tasks of this study are in Slurm's queue already")

    def _submit(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        import submitit

        executor = submitit.SlurmExecutor(self.out / FOLDER, max_num_timeout=10**6)
        executor.update_parameters(**self.engine.parameters())
        for number in numbers if self.engine.nodes * self.engine.processes > 1 else ():
            records.write_bytes(self.jobs[number].encoded().encode(), job_file(self.jobs[number]))
        try:
            task = Task(self.engine.nodes, self.engine.processes)
            tasks = executor.map_array(task, [self.jobs[number].encoded() for number in numbers])
        except Exception as error:  # submitit's own, and what sbatch says
            reason = str(error).strip().splitlines()
            raise ValueError(
                f"Slurm does not take the jobs: {reason[-1] if reason else type(error).__name__}"
            ) from error
        for number, submitted_task in zip(numbers, tasks, strict=True):
            self.attempts[number] += 1
            failures.clear(self.jobs[number].folders)
            self.reached[number] = self.jobs[number].reached()
            self.running[number] = submitted_task.job_id
            self.watch.again(number)
        names = {self.jobs[number].name: task for number, task in self.running.items()}
        content = json.dumps({**submitted(self.out), **names}, indent=1).encode()
        records.write_bytes(content + b"\n", self.out / FOLDER / "jobs.json")

    def _ended(self, number: int) -> bool:
        """Tell how a task that is no longer queued has ended; returns whether it is to be submitted again."""
        job, task = self.jobs[number], self.running.pop(number)
        host = self.watch.hosts.get(number, "")
        noted = next(filter(None, map(failures.read, job.folders)), None)
        if all(reached == -1 for reached in job.reached()):
            self.on_event(Event(job, "finished", host))
        elif self.stopping:
            self.on_event(Event(job, "stopped", host))
        elif noted is not None:
            self.on_event(Event(job, "failed", noted.host, message=noted.message))
        else:
            why = f"task {task} of Slurm ended; see {self.out / FOLDER}/{task}_0_log.err"
            if job.reached() != self.reached[number]:
                self.attempts[number] = 1
            if self.attempts[number] < ATTEMPTS:
                self.on_event(Event(job, "retried", host, message=why))
                return True
            failures.write(job.folders, why, self.attempts[number], host)
            self.on_event(Event(job, "failed", host, message=f"{why} ({self.attempts[number]} attempts)"))
        return False
