"""How the cores and GPUs of one machine are shared by the jobs that run at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What one job may use."""

    threads: int
    gpus: tuple[str, ...] | None
    """Names for CUDA_VISIBLE_DEVICES; None where that is left as it is."""


def shares(
    jobs: int, *, cores_per_run: int | None = None, gpus_per_run: float | None = None, device: str = "auto"
) -> list[Share]:
    """The shares of `jobs` jobs at a time.

    Args:
        cores_per_run: threads of each; by default an equal share of those that torch would use.
        gpus_per_run: 1, or a fraction such as 0.5 where several jobs share a GPU; by default 1 where there are GPUs.

    Raises:
        ValueError: fewer than one job, or more cores or GPUs than there are.
    """
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: at least 1")
    cores = cores_here()
    if cores_per_run is not None and not 1 <= cores_per_run <= cores:
        raise ValueError(f"--cores-per-run {cores_per_run}: this machine has {cores}; give 1 to {cores}")
    threads = cores_per_run or max(1, _usual_threads() // jobs)
    names = gpus_here() if device != "cpu" else []
    if gpus_per_run is None:
        gpus_per_run = 1.0 if names else 0.0
    return [Share(threads, gpus) for gpus in _gpus(jobs, gpus_per_run, names, device)]


def _gpus(jobs: int, each: float, names: list[str], device: str) -> list[tuple[str, ...] | None]:
    if each < 0:
        raise ValueError(f"--gpus-per-run {each:g}: 0 or more")
    if each == 0:
        if device == "cuda":
            raise ValueError("--gpus-per-run 0 leaves no GPU for --device cuda; leave it out, or give --device cpu")
        return [() if names else None] * jobs
    if each > len(names):
        there = f"this machine has {len(names)}" if device != "cpu" else "--device cpu uses none"
        raise ValueError(f"--gpus-per-run {each:g}: {there}; give at most that, or leave it out")
    if each > 1:
        raise ValueError(
            f"--gpus-per-run {each:g}: a run of this engine is one process, which uses one GPU; give 1 or less, or train on "
            "several with torchrun -m segattn study (docs/training.md)"
        )
    places = [name for name in names for _ in range(int(1 / each + 1e-9))]
    if jobs > len(places):
        raise ValueError(
            f"--jobs {jobs} with --gpus-per-run {each:g} needs more than the {len(names)} GPUs of this machine; give --jobs "
            f"{len(places)}, or a smaller --gpus-per-run such as {len(names) / jobs:.2g}"
        )
    spread = [
        places[i :: int(1 / each + 1e-9)] for i in range(int(1 / each + 1e-9))
    ]  # one job on each GPU before two on any
    return [(name,) for name in [name for row in spread for name in row][:jobs]]


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _usual_threads() -> int:
    import torch

    return min(torch.get_num_threads(), cores_here())


def gpus_here() -> list[str]:
    """Names of the GPUs that this process sees, as CUDA_VISIBLE_DEVICES takes them."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    count = torch.cuda.device_count()
    return [str(number) for number in range(count)] if names is None else names[:count]
