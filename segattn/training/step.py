"""One training iteration: loss and gradient of a batch, whole or in parts (gradient accumulation), in one process or several.

Without OHEM the loss is the mean over the counted pixels of the whole batch, however its images are distributed: each part's sum
is divided by the mean number of counted pixels per part, and the results are averaged. OHEM selects its pixels within each part,
as the authors' code does on each GPU, and the means of the parts are averaged; so are the parts' dice and lovasz. Batch norm
computes its statistics per part (SyncBN: per part over all processes). EMANet's bases are updated once per step, by the mean over
parts and processes.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from segattn.config import Optimization
from segattn.data.loader import Batch
from segattn.model import SegmentationModel
from segattn.training.checks import check_parts
from segattn.training.losses import Criterion, num_counted


class Step:
    """Loss, gradient and optimiser step for one batch, then `after_step` of the network's modules.

    `after_step(reduce)` of every module that defines it is called once per step, however many parts the batch has, after the
    weights have been updated and without gradient. `reduce(tensor)` returns the mean of the tensor over all processes, so all
    processes must call it equally often.

    Args:
        network: the model as prepared by accelerate, for the forward pass.
        model: the model itself, for its loss weights and modules.
        class_weights: (K,), weights of the loss; None if all are 1.
    """

    def __init__(
        self,
        optimization: Optimization,
        accelerator: Accelerator,
        network: nn.Module,
        optimizer: Any,
        model: SegmentationModel,
        class_weights: Tensor | None = None,
    ) -> None:
        check_parts(optimization, accelerator.num_processes)
        self.accelerator, self.network, self.optimizer, self.model = accelerator, network, optimizer, model
        self.parts, self.clip_norm = optimization.accumulation, optimization.clip_norm
        self.memory_format = torch.channels_last if optimization.channels_last else torch.contiguous_format
        class_weights = None if class_weights is None else class_weights.to(accelerator.device)
        self.criterion = Criterion.of(optimization, model, class_weights)

    def __call__(self, batch: Batch) -> tuple[float, dict[str, float]]:
        """Update the weights; returns the loss of the batch and of each output, averaged over all processes."""
        device = self.accelerator.device
        samples = batch["features"] if "features" in batch else [batch["image"]]
        inputs = [x.to(device, memory_format=self.memory_format, non_blocking=True) for x in samples]
        assert batch["label"] is not None
        label = batch["label"].to(device, non_blocking=True)
        divisor = self._divisor(label)
        self.optimizer.zero_grad()
        values: Tensor | None = None
        parts = list(zip(*(x.chunk(self.parts) for x in (*inputs, label)), strict=True))
        for number, (*some_inputs, some_label) in enumerate(parts, start=1):
            last = number == self.parts
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                with self.accelerator.autocast():
                    outputs = self.network(*some_inputs)
                total, losses = self.criterion(outputs, some_label, divisor)
                total = total if self.parts == 1 else total / self.parts
                self.accelerator.backward(total)
            part = torch.stack([total.detach(), *(loss / self.parts for loss in losses.values())])
            values = part if values is None else values + part
        if self.clip_norm:  # of the whole batch's gradient, without the scale of fp16, the same in all processes
            trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            self.accelerator.clip_grad_norm_(trained, self.clip_norm)
        self.optimizer.step()
        self.model.after_step(self._mean)
        reduced = self._mean(values).tolist()
        return reduced[0], dict(zip(losses, reduced[1:], strict=True))

    def _mean(self, values: Tensor | None) -> Tensor:
        """Mean over all processes."""
        mean: Tensor = self.accelerator.reduce(values, "mean")
        return mean

    def _divisor(self, label: Tensor) -> Tensor | None:
        """Mean number of counted pixels per part, over all processes; None if each part's loss is its own mean."""
        if self.criterion.ohem is not None or (self.parts == 1 and self.accelerator.num_processes == 1):
            return None
        return self._mean(num_counted(label, class_weights=self.criterion.class_weights).double()) / self.parts
