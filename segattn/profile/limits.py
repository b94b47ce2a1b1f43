"""The machine's limits: targets for `segattn.profile.worker` that run only a matrix product, or only a copy."""

from __future__ import annotations

import torch

from segattn.device import DTYPES, set_tf32
from segattn.profile.in_use import available
from segattn.profile.worker import Task


def product(size: int, dtype: str, device: str) -> Task:
    """One product of two `size` x `size` matrices: 2 size^3 FLOPs."""
    set_tf32(dtype == "tf32")
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(size, size, device=device, generator=generator).to(DTYPES[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    return Task(lambda: torch.mm(a, b, out=out))


def copy(size: int, device: str) -> Task:
    """One copy of `size` bytes: twice that is read and written."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source).copy_(source)
    return Task(lambda: target.copy_(source))


def product_size(dtype: str, device: str) -> int:
    """A matrix size at which the rate no longer rises: about 0.1 s on a laptop's processor, 10 ms on a GPU."""
    if device.startswith("cuda"):
        return 8192 if dtype in ("bf16", "fp16", "tf32") else 4096
    return 2048


def copy_size(device: str) -> int:
    """Bytes well above the size of the caches, and at most a sixteenth of what is available."""
    wanted = 2**31 if device.startswith("cuda") else 2**29
    return max(2**22, min(wanted, available(device) // 16) // 2**22 * 2**22)
