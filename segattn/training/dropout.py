"""Dropout whose numbers belong to the samples of the batch, however many processes share it.

`nn.Dropout2d` drops channels with one random number for each sample and channel. Each process draws those of the whole batch, as
one process would, and takes the rows of its samples. So two processes continue the sequence of one, to the last digit.
"""

from __future__ import annotations

from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from segattn.config import Optimization


class SharedDropout:
    """The random numbers that all processes of a run draw alike, for every `nn.Dropout2d` of the network.

    Rank 0 draws from torch's global generator, as a single process does; the others follow it with a generator of their own.
    Their global generators differ, so what a head draws by itself differs between processes.
    """

    def __init__(self, model: nn.Module, *, rank: int, world_size: int, device: torch.device) -> None:
        self.rank, self.world_size = rank, world_size
        self.generator = torch.Generator(device) if rank else None
        for module in model.modules():
            if type(module) is nn.Dropout2d:
                module.forward = partial(self._forward, module)  # type: ignore[method-assign]

    def follow(self, state: dict[str, Tensor]) -> None:
        """Continue as rank 0, whose generators have this state (`folder.random_state`)."""
        if self.generator is not None:
            self.generator.set_state(state["cuda" if self.generator.device.type == "cuda" else "cpu"])

    def _forward(self, module: nn.Dropout2d, x: Tensor) -> Tensor:
        if not module.training or module.p == 0:
            return x
        B, C = x.shape[:2]
        # the same operations as torch's, on the whole batch
        kept = x.new_empty(self.world_size * B, C, 1, 1).bernoulli_(1 - module.p, generator=self.generator)
        scale = kept.div_(1 - module.p)[self.rank * B : (self.rank + 1) * B]  # (B, C, 1, 1)
        return x * scale


def shared(model: nn.Module, optimization: Optimization, accelerator: Accelerator) -> SharedDropout | None:
    """The shared dropout of several processes. None for one, and for compiled networks: inductor draws numbers of its own."""
    if accelerator.num_processes == 1 or optimization.compile:
        return None
    return SharedDropout(
        model, rank=accelerator.process_index, world_size=accelerator.num_processes, device=accelerator.device
    )
