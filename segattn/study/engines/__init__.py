"""What executes the jobs of a study: workers on this machine, Ray, or Slurm.

An engine starts jobs, tells of each what happens, and tries again what died. The records do not depend on the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # status needs no torch
    from segattn.study.job import Job
    from segattn.training.run import Progress

ATTEMPTS = 3
"""Attempts at a job, without a new checkpoint in between, before it counts as failed."""

State = Literal["started", "progress", "finished", "retried", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """What happened to a job."""

    job: Job
    state: State
    host: str = ""
    progress: Progress | None = None
    message: str = ""
    """Why it failed, or is tried again."""


OnEvent = Callable[[Event], object]
OnNotice = Callable[[str], object]


class Engine(Protocol):
    """What executes jobs."""

    def check(self) -> None:
        """Raise ValueError where the engine cannot work here; the message says what to install or to type."""

    def run(self, jobs: Sequence[Job], *, on_event: OnEvent, on_notice: OnNotice) -> None:
        """Execute all jobs; each ends with the event `finished` or `failed`, and a failed one does not keep the others.

        Raises:
            Interrupted: a signal was received or the study was cancelled; the jobs stopped at a checkpoint, or were left.
        """
