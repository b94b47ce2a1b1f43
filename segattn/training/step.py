"""One iteration of training: the batch's loss and gradient, whole or in parts, in one process or several.

With cross-entropy alone the loss is the mean over the counted pixels of the whole batch, wherever its images are: each part's
sum is divided by the mean count of the parts, and the parts are averaged. OHEM chooses its pixels within each part, as the
authors' codes do on each GPU, and the parts' means are averaged. Batch norm sees a part (SyncBN: that part of all processes),
and EMANet's bases move once, by the mean over parts and processes.
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
from segattn.training.losses import Ohem, num_counted, segmentation_loss


class Step:
    """Loss, gradient and the optimiser's step for one batch, then what modules do once a step.

    A module of the network that declares `after_step(reduce)` is called once a step, however many parts the batch has, after
    the weights have moved and without gradient. `reduce(tensor)` is the mean of that tensor over all processes, so all of
    them call it equally often.

    Args:
        network: the model as accelerate prepared it: what is called.
        model: the model itself: its loss weights and modules.
        class_weights: (K,), of the loss; None for 1.
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
        share = optimization.batch_size // accelerator.num_processes
        if share % optimization.accumulation:
            raise ValueError(
                f"each of {accelerator.num_processes} processes has {share} images a batch, which cannot be split into "
                f"{optimization.accumulation} parts; change optimization.accumulation"
            )
        self.accelerator, self.network, self.optimizer, self.model = accelerator, network, optimizer, model
        self.loss_weights, self.parts = model.loss_weights, optimization.accumulation
        self.memory_format = torch.channels_last if optimization.channels_last else torch.contiguous_format
        self.ohem = Ohem() if optimization.ohem else None
        self.class_weights = None if class_weights is None else class_weights.to(accelerator.device)

    def __call__(self, batch: Batch) -> tuple[float, dict[str, float]]:
        """The batch's loss and those of its outputs, over all processes; the weights have moved."""
        device = self.accelerator.device
        images = batch["image"].to(device, memory_format=self.memory_format, non_blocking=True)
        assert batch["label"] is not None
        label = batch["label"].to(device, non_blocking=True)
        divisor = self._divisor(label)
        self.optimizer.zero_grad()
        values: Tensor | None = None
        pairs = list(zip(images.chunk(self.parts), label.chunk(self.parts), strict=True))
        for number, (some_images, some_label) in enumerate(pairs, start=1):
            last = number == self.parts
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                with self.accelerator.autocast():
                    outputs = self.network(some_images)
                total, losses = segmentation_loss(
                    outputs,
                    some_label,
                    self.loss_weights,
                    ohem=self.ohem,
                    class_weights=self.class_weights,
                    divisor=divisor,
                )
                total = total if self.parts == 1 else total / self.parts
                self.accelerator.backward(total)
            part = torch.stack([total.detach(), *(loss / self.parts for loss in losses.values())])
            values = part if values is None else values + part
        self.optimizer.step()
        self.model.after_step(self._mean)
        reduced = self._mean(values).tolist()
        return reduced[0], dict(zip(losses, reduced[1:], strict=True))

    def _mean(self, values: Tensor | None) -> Tensor:
        """Over all processes."""
        mean: Tensor = self.accelerator.reduce(values, "mean")
        return mean

    def _divisor(self, label: Tensor) -> Tensor | None:
        """Mean count of pixels over all parts of all processes; None where each part has its own mean."""
        if self.ohem is not None or (self.parts == 1 and self.accelerator.num_processes == 1):
            return None
        return self._mean(num_counted(label, class_weights=self.class_weights).double()) / self.parts
