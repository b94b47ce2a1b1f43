"""Peak memory of a task, measured in a process of its own.

CUDA: the allocator's own statistics (peak of bytes allocated and of bytes reserved), which do not depend on the system.
CPU on Linux: the highest resident set (`VmHWM`, reset by writing 5 to /proc/self/clear_refs) minus the resident set
just before the run, when module and inputs exist and the task's warm-up has started the libraries. glibc is told to return freed
memory at once; otherwise a run could reuse it and appear to need less. Elsewhere: the highest resident set since the process
began (getrusage), which is too low for a run that needs less than building did; `method` says so.

    memory = measure("mypkg.cases:block", {"size": 97}, threads=2)
    memory.extra_bytes     # what the run needed above module and inputs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segattn.profile.in_use import available
from segattn.profile.worker import Worker

_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The memory that a task needed; the figures are None unless the outcome is `ok`."""

    outcome: str
    """`ok`, `out of memory`, `refused` (the task raised a ValueError) or `failed`."""
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
    """CUDA: the most that the allocator reserved on the device, including fragmentation."""

    @property
    def extra_bytes(self) -> int | None:
        """What the run needed above module and inputs."""
        return _difference(self.peak_bytes, self.baseline_bytes)

    @property
    def total_bytes(self) -> int | None:
        """What building and running needed above Python and the libraries: weights, inputs, and the extra."""
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
    libraries (None: 90 % of what is available); a run that needs more is `out of memory`.

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


def _difference(upper: int | None, lower: int | None) -> int | None:
    return None if upper is None or lower is None else max(0, upper - lower)
