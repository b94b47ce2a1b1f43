"""What runs in a task of Slurm: the job, stopped at a checkpoint before the time limit, and requeued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn.study import failures
from segattn.study.engines import distributed
from segattn.study.engines.slurm_queue import FOLDER
from segattn.study.folder import CANCEL
from segattn.study.job import Job, decoded, execute
from segattn.training.interruption import Interrupted


@dataclass(frozen=True)
class Task:
    """What a task of the array calls; `checkpoint` is submitit's hook for a task that has not begun its job yet."""

    nodes: int = 1
    processes: int = 1
    """On each node; more than one process in all are started by torchrun."""

    def __call__(self, text: str) -> str:
        """Execute the job; requeue the task if it was stopped before its end."""
        job, received, torchrun = decoded(text), list[int](), list[subprocess.Popen[bytes]]()

        def stop(number: int, frame: object) -> None:
            received.append(number)
            if torchrun:
                if len(received) == 1:
                    torchrun[0].terminate()  # which passes it on to its processes
            elif signal.getsignal(signal.SIGTERM) is not stop:  # in training, which stops at a checkpoint
                if len(received) == 1:
                    signal.raise_signal(signal.SIGTERM)
            elif len(received) == 1:
                raise Interrupted("stopped before the training began")

        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, stop)
        print(f"segattn: {job.name}, restart {os.environ.get('SLURM_RESTART_COUNT', '0')}", flush=True)
        try:
            if self.nodes * self.processes > 1:
                self._together(job, torchrun, received)
            else:
                execute(job, on_notice=lambda line: print(line, flush=True))
        except Interrupted as stopped:
            print(f"segattn: {stopped}", flush=True)
            for number in (signal.SIGUSR2, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            first = os.environ.get("SLURM_PROCID", "0") == "0"
            if not first or (Path(job.out) / CANCEL).exists() or not _requeue():
                return "stopped"
            sys.exit(0)
        except ValueError as error:  # a mistake, which another attempt would make again
            failures.write(job.folders, str(error), 1)
            return "failed"
        return "finished"

    def _together(self, job: Job, torchrun: list[subprocess.Popen[bytes]], received: Sequence[int]) -> None:
        """Execute the job by torchrun, with the other nodes of the task.

        Raises:
            Interrupted: a signal was received, or the study was cancelled.
            RuntimeError: a process ended with an error.
        """
        words = distributed.command(
            job_file(job),
            nodes=self.nodes,
            processes=self.processes,
            endpoint=distributed.endpoint_of_slurm(),
            identity=os.environ["SLURM_JOB_ID"],
        )
        torchrun.append(subprocess.Popen(words))
        status = torchrun[0].wait()
        if received or (status != 0 and (Path(job.out) / CANCEL).exists()):
            raise Interrupted("stopped; the run goes on from its checkpoint")
        if status != 0 and not any(map(failures.read, job.folders)):
            raise RuntimeError(f"torchrun ended with exit code {status}")

    def checkpoint(self, text: str) -> Any:
        """The same job again: it resumes from its files."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, text)


def job_file(job: Job) -> Path:
    """Where a job lies for the processes of torchrun."""
    return Path(os.path.abspath(job.out)) / FOLDER / f"{job.runs[0][0]}.json"


def _requeue() -> bool:
    """Ask Slurm to requeue this task alone; False if it was cancelled, which is no reason to."""
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{number}" if array else os.environ["SLURM_JOB_ID"]
    state = subprocess.run(["scontrol", "show", "job", "-o", name], capture_output=True, text=True, check=False).stdout
    if "JobState=CANCELLED" in state:
        return False
    return subprocess.run(["scontrol", "requeue", name], check=False).returncode == 0
