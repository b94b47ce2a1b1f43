"""An exponential moving average of the weights:

    average <- d average + (1 - d) weights,    d = min(decay, (1 + t) / (10 + t)) at iteration t = 1, 2, ...

d is smaller in the first iterations, so that the average forgets the random initial weights, as in TensorFlow. Buffers
(statistics of batch norms, EMANet's bases) are already averages and are taken from the network unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a network's trainable parameters; `values` maps names to averages."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay of the weight average is {decay}; it must be between 0 and 1, such as 0.999")
        self.decay = decay
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.values = {name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Update the average with the weights after `iteration`, counted from 1."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        for name, value in self._parameters.items():
            self.values[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the average as the network's weights inside the context; restore its own weights afterwards."""
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
