"""Peak memory of a piece of work, in a process of its own.

CUDA: the allocator's own statistics (most bytes allocated; most bytes it had reserved), which do not depend on the system.
CPU on Linux: the highest resident set (`VmHWM`, reset by writing 5 to /proc/self/clear_refs) over the resident set just before
the run, when module and inputs stand and the task's warm-up has started the libraries. glibc is told to give freed memory back
at once, so that what the work needs is not hidden in what was freed before. Elsewhere the process's highest resident set ever
(getrusage), which hides a run that needs less than building did: `method` says so.

    memory = measure("mypkg.cases:block", {"size": 97}, threads=2)
    memory.extra_bytes     # what the run needed above module and inputs
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn.profile.worker import Worker

RESIDENT = "highest resident set (VmHWM)"
EVER = "highest resident set since the process began (getrusage): too low where building needed more than the run"
ALLOCATOR = "CUDA allocator"
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a piece of work needed; the figures are None unless the outcome is `ok`."""

    outcome: str
    """`ok`, `out of memory`, `refused` (the message of the work's ValueError) or `failed`."""
    message: str = ""
    method: str = ""
    """How it was measured."""
    start_bytes: int | None = None
    """In use before the target was called: Python and the libraries (CUDA: 0)."""
    baseline_bytes: int | None = None
    """In use before the run: that, module and inputs."""
    peak_bytes: int | None = None
    """The most in use during the run."""
    reserved_bytes: int | None = None
    """CUDA: the most that the allocator had taken from the device, with its own fragmentation."""

    @property
    def extra_bytes(self) -> int | None:
        """What the run needed above module and inputs."""
        return _difference(self.peak_bytes, self.baseline_bytes)

    @property
    def total_bytes(self) -> int | None:
        """What building and run needed above Python and the libraries: weights, inputs, and the extra."""
        return _difference(self.peak_bytes, self.start_bytes)


def measure(
    target: str,
    arguments: Mapping[str, Any],
    *,
    device: str = "cpu",
    threads: int | None = None,
    limit_bytes: int | None = None,
    runs: int = 1,
    timeout: float = 600.0,
) -> Memory:
    """Peak memory of `runs` runs of the task that `target` ("module:function", called with `arguments`) returns.

    The target returns a `segattn.profile.worker.Task`; arguments must fit JSON. The steady state of a training step, whose
    optimiser allocates its buffers in the first, needs two runs. `limit_bytes` is what the process may allocate above its
    libraries (None: nine tenths of what is available); a run that needs more is `out of memory`.

    Raises:
        ValueError: the target is not of that form.
    """
    allowed = int(0.9 * available(device)) if limit_bytes is None else limit_bytes
    with Worker(
        target,
        arguments,
        device=device,
        threads=threads,
        limit_bytes=allowed,
        environment=_GIVE_BACK,
        timeout=timeout,
    ) as worker:
        outcome = worker.build()
        if outcome.ok:
            outcome = worker.memory(runs)
    return Memory(outcome=outcome.kind, message=outcome.message, **outcome.values)


def available(device: str = "cpu") -> int:
    """Bytes that can be had now on `device` without swapping (8 GB where the system does not say)."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    found = [_kilobytes("/proc/meminfo", "MemAvailable") or 8 * 10**9]
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit_text, used_text = _read(limit_file).strip(), _read(used_file).strip()
        if limit_text.isdigit() and used_text.isdigit():
            found.append(int(limit_text) - int(used_text))
    return max(0, min(found))


def resident(device: str) -> int | None:
    """Bytes in use by this process now: allocated on CUDA, resident elsewhere; None where the system does not say."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_allocated(device))
    _trim()
    return _kilobytes("/proc/self/status", "VmRSS") or _highest_ever()


def limit(limit_bytes: int, device: str) -> None:
    """Bound what this process may allocate from now on; more is an allocation error. Without effect where there is no way."""
    if device.startswith("cuda"):
        import torch

        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), device)
        return
    data = _kilobytes("/proc/self/status", "VmData")
    if data is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (data + limit_bytes, resource.RLIM_INFINITY))


def peak(run: Callable[[], Any], device: str, runs: int = 1) -> dict[str, Any]:
    """Baseline and peak of `runs` runs in this process, as fields of `Memory`."""
    if device.startswith("cuda"):
        return _peak_on_cuda(run, device, runs)
    baseline = resident(device)
    reset = _reset_highest()
    for _ in range(runs):
        run()
    highest = _kilobytes("/proc/self/status", "VmHWM") if reset else _highest_ever()
    return {"baseline_bytes": baseline, "peak_bytes": highest, "method": RESIDENT if reset else EVER}


def _peak_on_cuda(run: Callable[[], Any], device: str, runs: int) -> dict[str, Any]:
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
    """Set the highest resident set to the present one; False where that cannot be done."""
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
    """Let glibc give free memory back to the system."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _kilobytes(path: str, name: str) -> int | None:
    """A line such as `VmRSS:  123 kB` in bytes."""
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


def _difference(upper: int | None, lower: int | None) -> int | None:
    return None if upper is None or lower is None else max(0, upper - lower)
