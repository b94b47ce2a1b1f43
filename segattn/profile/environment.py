"""The machine and software that a figure was measured with: versions, commit, processor, device, settings."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TypedDict

import torch


class Environment(TypedDict):
    """The fields of `segattn.records.Environment`, except for the precision, which belongs to the experiment."""

    segattn: str
    commit: str | None
    python: str
    torch: str
    system: str
    processor: str
    device: str
    threads: int
    cores: int
    clock_mhz: float | None
    governor: str | None
    settings: dict[str, str]


def environment(
    version: str, *, path: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu"
) -> Environment:
    """Describe this machine and this process.

    `version` is that of the package, `path` a folder of its sources (None: without commit), `device` the one the network runs on.
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
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        clock_mhz=clock_mhz(),
        governor=governor(),
        settings=settings(device),
    )


def commit(path: str | os.PathLike[str]) -> str | None:
    """Commit of the repository that tracks the folder `path`, with "-dirty" after it if tracked files differ from it.

    None without git, outside a repository, and for a folder that its repository does not track, such as a package in a virtual
    environment.
    """
    if not _git(path, "ls-files", "--", "."):
        return None
    head = _git(path, "rev-parse", "HEAD")
    if not head:
        return None
    changed = _git(path, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if changed else head


def processor_name(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> str:
    """Model name of the processor, from `platform` if the system has no `/proc/cpuinfo`."""
    for line in _lines(cpuinfo):
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def clock_mhz(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> float | None:
    """The processor's current clock, the highest of its cores; None if the system does not report it."""
    clocks = [
        float(value)
        for name, _, value in (line.partition(":") for line in _lines(cpuinfo))
        if name.strip() == "cpu MHz" and value.strip().replace(".", "", 1).isdigit()
    ]
    return max(clocks, default=None)


def governor(folder: str | os.PathLike[str] = "/sys/devices/system/cpu/cpu0/cpufreq") -> str | None:
    """The governor of the processor's clock, such as `performance`; None if the system does not report it."""
    return next(iter(_lines(Path(folder) / "scaling_governor")), "").strip() or None


def settings(device: torch.device | str = "cpu") -> dict[str, str]:
    """Settings that affect times: torch's instruction set and libraries, environment variables of OpenMP and of the system's
    allocator, the GPU's driver, power and clock limits."""
    entries = {
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "oneDNN": _yes(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled),
        "MKL": _yes(torch.backends.mkl.is_available()),
        "AMX": _yes(torch.cpu._is_amx_tile_supported()),
    }
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES",
             "KMP_AFFINITY", "ONEDNN_MAX_CPU_ISA", "LD_PRELOAD", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_",
             "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_")  # fmt: skip
    entries |= {name: os.environ[name] for name in names if name in os.environ}
    if torch.device(device).type == "cuda":
        entries |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
        queries = ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.mem", "persistence_mode")
        index = torch.device(device).index or 0
        values = _output("nvidia-smi", f"--id={index}", f"--query-gpu={','.join(queries)}", "--format=csv,noheader")
        entries |= dict(zip(queries, map(str.strip, values.split(",")), strict=False)) if values else {}
    return entries


_FAST = {
    "bf16": ("amx_bf16", "avx512_bf16", "bf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp"),
}
"""Flags of processors whose matrix products in a type are faster than those in fp32: x86, then ARM."""


def fast_types(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> dict[str, list[str]]:
    """The instructions with which this processor multiplies bf16 and int8 faster than fp32; empty lists if it has none.

    Read from `/proc/cpuinfo`; where the system has none, both lists are empty.
    """
    _, present = instructions(cpuinfo)
    return {name: [flag for flag in known if flag in present] for name, known in _FAST.items()}


def instructions(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> tuple[str, frozenset[str]]:
    """The family of the processor, "x86" or "ARM", and its instructions as the system names them; "" and none if it does not."""
    for line in _lines(cpuinfo):
        heading, _, flags = line.partition(":")
        if family := {"flags": "x86", "Features": "ARM"}.get(heading.strip()):
            return family, frozenset(flags.split())
    return "", frozenset()


def cores_in_use(seconds: float = 0.5, stat: str | os.PathLike[str] = "/proc/stat") -> float:
    """How many of the machine's cores are busy, over `seconds` in which this process sleeps; the load average of the last
    minute if the system does not report it."""
    before = _ticks(stat)
    time.sleep(seconds)
    after = _ticks(stat)
    if before is None or after is None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    idle, total = (now - then for now, then in zip(after, before, strict=True))
    return 0.0 if total <= 0 else (os.cpu_count() or 1) * (total - idle) / total


def gpu_in_use(device: torch.device | str) -> float:
    """Share of the last second in which the GPU computed, in [0, 1]; 0 if its driver does not report it."""
    index = torch.device(device).index or 0
    share = _output("nvidia-smi", f"--id={index}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
    return int(share) / 100 if share.isdigit() else 0.0


def _ticks(stat: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Time of all cores that was idle, and all of it, since the machine started."""
    first = next(iter(_lines(stat)), "").split()[1:9]  # the columns after it are in the first two as well
    if len(first) < 5 or not all(map(str.isdigit, first)):
        return None
    ticks = [int(each) for each in first]
    return ticks[3] + ticks[4], sum(ticks)


def device_name(device: torch.device | str) -> str:
    """Name of the GPU, or the type of the device (`cpu`, `meta`, `mps`)."""
    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _git(path: str | os.PathLike[str], *arguments: str) -> str:
    return _output("git", "-C", os.fspath(path), *arguments)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _yes(value: object) -> str:
    return "yes" if value else "no"
