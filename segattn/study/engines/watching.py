"""Events of jobs that are executed elsewhere, from the files in the study's folder."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from segattn.study.engines import Event, OnEvent
from segattn.study.job import Job
from segattn.study.status import RunStatus, status_of
from segattn.training.run import Progress

EVERY = 2.0
"""Seconds between two looks at the files."""


class Watch:
    """Tells when a job starts, where, and how far it is; whether it has ended is for the engine to know."""

    def __init__(self, jobs: Sequence[Job], on_event: OnEvent) -> None:
        self.jobs, self.on_event = jobs, on_event
        self.looked = 0.0
        self.started: set[int] = set()
        self.told: dict[int, int] = {}
        self.hosts: dict[int, str] = {}

    def look(self, running: Collection[int]) -> None:
        """Look at the files of the jobs with these numbers, unless that was just done."""
        if time.monotonic() - self.looked < EVERY:
            return
        self.looked = time.monotonic()
        for number in running:
            job = self.jobs[number]
            runs = [run for run in status_of(Path(job.out), dict(job.runs)) if run.state == "running"]
            if runs:
                self._tell(number, job, runs)

    def again(self, number: int) -> None:
        """The job with this number is tried again."""
        self.started.discard(number)
        self.told.pop(number, None)

    def _tell(self, number: int, job: Job, runs: Sequence[RunStatus]) -> None:
        self.hosts[number] = runs[0].host
        if number not in self.started:
            self.started.add(number)
            self.on_event(Event(job, "started", runs[0].host))
        iteration = min(run.iteration for run in runs)
        if iteration > self.told.get(number, 0):
            self.told[number] = iteration
            progress = Progress("train", iteration, runs[0].iterations, runs[0].loss)
            self.on_event(Event(job, "progress", runs[0].host, progress))
