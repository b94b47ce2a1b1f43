"""Where a figure was measured: versions, commit, processor, device. A latency without its machine is an anecdote."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TypedDict

import torch


class Environment(TypedDict):
    """The fields of `segattn.records.Environment` but for the precision, which is the experiment's."""

    segattn: str
    commit: str | None
    python: str
    torch: str
    system: str
    processor: str
    device: str
    threads: int


def environment(
    version: str, *, path: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu"
) -> Environment:
    """Describe this machine and this process.

    `version` is the package's, `path` a folder of its sources (None: no commit is looked up), `device` where the network runs.
    """
    return Environment(
        segattn=version,
        commit=None if path is None else commit(path),
        python=platform.python_version(),
        torch=str(torch.__version__),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor_name(),
        device=device_name(device),
        threads=torch.get_num_threads(),
    )


def commit(path: str | os.PathLike[str]) -> str | None:
    """Commit of the repository that tracks the folder `path`, with "-dirty" after it if tracked files differ from it.

    None without git, outside a repository, and for a folder that the repository around it does not track (such as a package
    installed into a virtual environment).
    """
    if not _git(path, "ls-files", "--", "."):
        return None
    head = _git(path, "rev-parse", "HEAD")
    if not head:
        return None
    changed = _git(path, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if changed else head


def processor_name(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> str:
    """Model name of the processor; what `platform` knows where the system has no `/proc/cpuinfo`."""
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def device_name(device: torch.device | str) -> str:
    """Name of the GPU, or the type of the device (`cpu`, `meta`, `mps`)."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _git(path: str | os.PathLike[str], *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(path), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
