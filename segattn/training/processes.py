"""Several processes that end together: what fails in one of them is raised in all, and a lost one is waited for so long.

A process whose error the others must learn raises it in `agreed`. One that was killed or stopped says nothing: on the CPU (gloo)
the others notice a killed one at once, and a stopped one when it has not answered for `PATIENCE`. On GPUs, NCCL's watchdog ends
the others after the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed
from accelerate import Accelerator
from accelerate.utils import gather_object

from segattn import records

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others at a point where they meet."""


@contextmanager
def agreed(accelerator: Accelerator) -> Iterator[None]:
    """All processes do the block, which contains no exchange between them, and wait for each other at its end.

    Raises:
        ValueError: the block raised in this process or in another one; all raise the same kind.
    """
    failed: ValueError | None = None
    try:
        yield
    except (ValueError, OSError) as error:
        if accelerator.num_processes == 1:
            raise
        failed = error if isinstance(error, ValueError) else ValueError(str(error))
    if accelerator.num_processes == 1:
        return
    told = [None if failed is None else (_kind(failed), str(failed))]
    for rank, reason in enumerate(gather_object(told)):
        if failed is None and reason is not None:
            failed = reason[0](f"process {rank} ended: {reason[1]}")
    if failed is not None:
        raise failed


def _kind(error: ValueError) -> type[ValueError]:
    return type(error) if isinstance(error, records.Held | records.LeaseLost) else ValueError


@contextmanager
def naming_the_lost() -> Iterator[None]:
    """Raise ValueError where an exchange failed because another process of the group ended or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_the_group(error):
            raise
        raise ValueError(
            f"another process of this run was killed, ended with an error, or did not answer for "
            f"{PATIENCE.total_seconds():g} s; this one ends too. Run the same command again; a training continues from its last "
            f"checkpoint ({str(error).splitlines()[0]})"
        ) from error


def _is_of_the_group(error: RuntimeError) -> bool:
    """Whether torch.distributed raised it; gloo's errors have no type of their own."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
