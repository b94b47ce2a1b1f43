"""An exponential moving average of the weights:

    average <- d average + (1 - d) weights,    d = min(decay, (1 + t) / (10 + t)) at iteration t = 1, 2, ...

The smaller d of the first iterations lets the average leave the random weights behind, as in TensorFlow's. Buffers (statistics of
batch norms, EMANet's bases) are averages already, and are taken from the network as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a network's trained parameters; `values` by name."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay {decay} of the weights' average should be between 0 and 1, such as 0.999")
        self.decay = decay
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.values = {name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Add the weights after `iteration`, counted from 1, to the average."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        for name, value in self._parameters.items():
            self.values[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from an average that was saved."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the context the network has the average as its weights; afterwards it has its own again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            own = parameter.detach().clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(own)
