"""One job of a study: a run, or the heads of a seed side by side; in plain JSON types, so that any process can execute it.

The process may be the study's own, a worker on this machine, or one on another machine that shares the study's folder. Whatever
process executes it, the records are the same: a job says everything that can change a result.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from segattn import __version__
from segattn import config as configuration
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import StoredFeatures
from segattn.data.splits import open_data
from segattn.study import failures
from segattn.study.features import Splits
from segattn.study.folder import CANCEL
from segattn.training.features import compute, plan_features
from segattn.training.folder import ended
from segattn.training.interruption import Interrupted
from segattn.training.run import Progress
from segattn.training.snapshots import latest_iteration
from segattn.training.together import train_side_by_side
from segattn.training.train import OnNotice, train

_LOOKED_EVERY = 1.0

OnProgress = Callable[[Progress], object]


@dataclass(frozen=True, kw_only=True)
class Features:
    """The maps of a frozen backbone that a job reads, and computes where they are missing."""

    root: str
    heads: list[dict[str, Any]]
    """The experiments, of one seed, whose heads share the maps, in `config.to_dict`'s form."""
    splits: Splits = "both"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to execute."""

    runs: list[tuple[str, dict[str, Any]]]
    """The folder, relative to `out`, and the experiment of each run; several are trained side by side."""
    out: str
    device: str = "auto"
    num_workers: int = 0
    track: list[str] | None = None
    """Trackers, as in `segattn.training.trackers.check`."""
    features: Features | None = None
    folder: str = field(default_factory=os.getcwd)
    """The working directory, from which paths start and modules of the user are imported."""
    version: str = __version__
    """Of segattn, which all machines must have."""
    token: str = ""
    """Name of a file in `out` that the executing machine must see; "" where it is this machine."""
    threads: int | None = None
    """Of torch; None for its default."""

    @property
    def name(self) -> str:
        """The run's name; of several, how many and the first."""
        first = self.runs[0][0]
        return first if len(self.runs) == 1 else f"{len(self.runs)} heads side by side, {first} first"

    @property
    def folders(self) -> list[Path]:
        """The runs' folders."""
        return [Path(self.out) / folder for folder, _ in self.runs]

    def reached(self) -> list[int]:
        """How far each run is: the iteration of its newest checkpoint, -1 where it is finished."""
        done = [(folder / "record.json").exists() for folder in self.folders]
        return [-1 if ended else latest_iteration(run) or 0 for ended, run in zip(done, self.folders, strict=True)]

    def encoded(self) -> str:
        """As one line of JSON."""
        return json.dumps(msgspec.to_builtins(self))


def decoded(text: str) -> Job:
    """A job from `encoded`'s form."""
    return msgspec.json.decode(text, type=Job)


@dataclass
class Warm:
    """What a process keeps between jobs: data that are open and maps that are complete."""

    opened: dict[str, tuple[Dataset, Dataset]] = field(default_factory=dict)
    stored: dict[str, StoredFeatures] = field(default_factory=dict)

    def data(self, config: Experiment) -> tuple[Dataset, Dataset]:
        """The splits of the experiment, opened once."""
        key = json.dumps(configuration.to_dict(config.data))
        if key not in self.opened:
            self.opened[key] = open_data(config.data)
        return self.opened[key]

    def maps(self, job: Job, opened: tuple[Dataset, Dataset], on_progress: OnProgress) -> StoredFeatures | None:
        """The maps that a job reads; what is missing is computed, and a process that needs the same part waits for it."""
        wanted = job.features
        if wanted is None:
            return None
        key = json.dumps(msgspec.to_builtins(wanted))
        if key not in self.stored:
            heads = [configuration.from_dict(raw, allow_modules=None) for raw in wanted.heads]
            plan = plan_features(heads, opened, wanted.root, device=job.device)
            plan = plan if wanted.splits == "both" else plan.without_train()
            if wanted.splits == "none" or not plan.layouts:
                self.stored[key] = StoredFeatures(plan.folder, None, None)
            else:
                self.stored[key] = compute(
                    plan, on_sample=lambda done, total: on_progress(Progress("features", done, total))
                )
        return self.stored[key]


def execute(
    job: Job,
    *,
    warm: Warm | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_notice: OnNotice = lambda notice: None,
) -> None:
    """Execute a job; what is finished is left alone, what was interrupted resumes.

    The working directory becomes the job's.

    Raises:
        ValueError: as `train`; another version of segattn here, or this machine does not see the study's folder.
        Interrupted: SIGINT or SIGTERM was received, or the study was cancelled; the same job continues the run.
    """
    _check_machine(job)
    os.chdir(job.folder)
    _check_folder(job)
    warm, out = warm or Warm(), Path(job.out)
    runs = [(configuration.from_dict(raw, allow_modules=None), out / folder) for folder, raw in job.runs]
    if (out / CANCEL).exists():
        raise Interrupted("cancelled; run the same command again to continue")
    failures.clear(job.folders)
    if all(ended(folder) is not None for _, folder in runs):
        return
    if job.threads is not None:
        import torch

        torch.set_num_threads(job.threads)
    report = unless_cancelled(out, on_progress)
    opened = warm.data(runs[0][0])
    train_job(
        runs,
        device=job.device,
        num_workers=job.num_workers,
        opened=opened,
        stored=warm.maps(job, opened, report),
        track=job.track,
        on_progress=report,
        on_notice=on_notice,
    )


def train_job(
    runs: Sequence[tuple[Experiment, Path]],
    *,
    device: str,
    num_workers: int,
    opened: tuple[Dataset, Dataset] | None,
    stored: StoredFeatures | None,
    track: Sequence[str] | None = None,
    on_progress: OnProgress,
    on_notice: OnNotice,
) -> None:
    """Train a run; several side by side, whose progress is that of all. Errors as `execute`."""
    settings: dict[str, Any] = {
        "device": device,
        "num_workers": num_workers,
        "opened": opened,
        "stored": stored,
        "track": track,
        "on_notice": on_notice,
    }
    count = len(runs)
    on_progress(Progress("train", 0, runs[0][0].optimization.iterations))
    if count == 1 and (stored is None or stored.train is not None):
        train(*runs[0], **settings, on_progress=on_progress)
        return

    def report(index: int, progress: Progress) -> None:
        done, total = progress.done, progress.total
        if progress.stage == "evaluate":  # one head after the other
            done, total = index * total + done, count * total
        on_progress(Progress(progress.stage, done, total))

    train_side_by_side(runs, **settings, on_progress=report)


def unless_cancelled(out: Path, on_progress: OnProgress) -> OnProgress:
    """`on_progress`, which also stops this process as SIGTERM does when the study in `out` has been cancelled."""
    looked = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal looked
        on_progress(progress)
        if time.monotonic() - looked > _LOOKED_EVERY:
            looked = time.monotonic()
            if (out / CANCEL).exists():
                signal.raise_signal(signal.SIGTERM)
                looked += 3600  # a second signal would end the process before its checkpoint

    return report


def _check_machine(job: Job) -> None:
    if job.version != __version__:
        raise ValueError(
            f"{socket.gethostname()} has segattn {__version__}, and the study was started with {job.version}; install the same "
            "version on all machines"
        )
    if not os.path.isdir(job.folder):
        raise ValueError(
            f"{socket.gethostname()} has no folder {job.folder}, the study's working directory; start the study from a folder "
            "that all machines share"
        )


def _check_folder(job: Job) -> None:
    if job.token and not (Path(job.out) / job.token).exists():
        raise ValueError(
            f"{socket.gethostname()} does not see the study's folder {os.path.abspath(job.out)} as it is on the machine that "
            "started it; give an --out on a file system that all machines share"
        )
