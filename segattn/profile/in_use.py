"""Memory in use by this process, available to it, and its peak while something runs; see `segattn.profile.memory`."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESIDENT = "highest resident set (VmHWM)"
EVER = "highest resident set since the process began (getrusage): too low where building needed more than the run"
ALLOCATOR = "CUDA allocator"


def available(device: str = "cpu") -> int:
    """Bytes that can be allocated now on `device` without swapping (8 GB if the system does not report it)."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    limits = [_kilobytes("/proc/meminfo", "MemAvailable") or 8 * 10**9]
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit_text, used_text = _read(limit_file).strip(), _read(used_file).strip()
        if limit_text.isdigit() and used_text.isdigit():
            limits.append(int(limit_text) - int(used_text))
    return max(0, min(limits))


def resident(device: str) -> int | None:
    """Bytes in use by this process now: allocated on CUDA, resident elsewhere; None if the system does not report it."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_allocated(device))
    _trim()
    return _kilobytes("/proc/self/status", "VmRSS") or _highest_ever()


def limit(limit_bytes: int, device: str) -> None:
    """Limit what this process may allocate from now on; more raises. No effect if the system has no such limit."""
    if device.startswith("cuda"):
        import torch

        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), device)
        return
    data = _kilobytes("/proc/self/status", "VmData")
    if data is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (data + limit_bytes, resource.RLIM_INFINITY))


def measure_peak(run: Callable[[], Any], device: str, runs: int = 1) -> dict[str, Any]:
    """Baseline and peak of `runs` runs in this process, as fields of `Memory`."""
    if device.startswith("cuda"):
        return _measure_on_cuda(run, device, runs)
    baseline = resident(device)
    reset = _reset_highest()
    for _ in range(runs):
        run()
    highest = _kilobytes("/proc/self/status", "VmHWM") if reset else _highest_ever()
    return {"baseline_bytes": baseline, "peak_bytes": highest, "method": RESIDENT if reset else EVER}


def _measure_on_cuda(run: Callable[[], Any], device: str, runs: int) -> dict[str, Any]:
    import torch

    baseline = resident(device)
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    for _ in range(runs):
        run()
    torch.cuda.synchronize(device)
    return {
        "baseline_bytes": baseline,
        "peak_bytes": int(torch.cuda.max_memory_allocated(device)),
        "reserved_bytes": int(torch.cuda.max_memory_reserved(device)),
        "method": ALLOCATOR,
    }


def _reset_highest() -> bool:
    """Set the highest resident set to the present one; False if the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _highest_ever() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _trim() -> None:
    """Let glibc return free memory to the system."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _kilobytes(path: str, name: str) -> int | None:
    """The value of a line such as `VmRSS:  123 kB` in bytes, None if there is no such line."""
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
