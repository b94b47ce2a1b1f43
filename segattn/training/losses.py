"""The loss of a network with several outputs: weighted cross-entropies, with hard example mining as an option.

    L = sum_o weight_o * CE(outputs_o, label)

CE is the mean over the pixels that are not ignored, in float32 also under mixed precision. With class weights it is the weighted
mean, divided by the sum of the weights, as in torch. mmsegmentation divides by all pixels of the crop instead, including ignored
and easy ones, so its loss is smaller by the share of counted pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Ohem:
    """Online hard example mining over pixels, on the main output only (as in the recipes of CCNet and mmsegmentation).

    A pixel is kept if the probability of its true class is below `threshold`. If fewer than `min_kept` per image are below it,
    the `min_kept` times batch size hardest pixels of the batch are kept (all, if the batch has fewer). The loss is the mean over
    the kept pixels.
    """

    threshold: float = 0.7
    """Probability in (0, 1]."""
    min_kept: int = 100_000
    """Pixels per image, pooled over the batch, as in mmsegmentation; in CCNet's code, pixels per batch of one GPU."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it is a probability above 0 and at most 1 (usual: 0.7)")
        if self.min_kept < 1:
            raise ValueError(f"min_kept is {self.min_kept}; at least 1 pixel per image must be kept (usual: 100000)")


def segmentation_loss(
    outputs: Mapping[str, Tensor],
    label: Tensor,
    weights: Mapping[str, float],
    *,
    ignore_index: int = 255,
    ohem: Ohem | None = None,
    class_weights: Tensor | None = None,
    divisor: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the cross-entropies of all outputs, and the unweighted loss of each (detached, for logs).

    `outputs`: logits (B, K, H, W) by name; `label`: int64 (B, H, W); `class_weights`: (K,). If every pixel of the batch is
    ignored, loss and gradients are 0. `divisor` replaces `num_counted` as the divisor of the sum over pixels, for a batch that
    is computed in parts; it cannot be combined with OHEM, which counts its own pixels.

    Raises:
        ValueError: outputs and weights do not have the same names; shapes do not fit; a label is outside the classes
            (checked on the CPU only: on a GPU the check would stall every step).
    """
    _check_names(outputs, weights)
    if ohem is not None and divisor is not None:
        raise ValueError("divisor cannot be combined with OHEM, which counts its own pixels; leave out one of them")
    losses = {}
    for name, logits in outputs.items():
        _check_shapes(name, logits, label, ignore_index, class_weights)
        mining = ohem if name == "out" else None
        losses[name] = _cross_entropy(logits.float(), label, ignore_index, mining, class_weights, divisor)
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return total, {name: loss.detach() for name, loss in losses.items()}


def num_counted(label: Tensor, *, ignore_index: int = 255, class_weights: Tensor | None = None) -> Tensor:
    """The divisor of the mean in `segmentation_loss`: the number of counted pixels, or the sum of their class weights."""
    counted = label != ignore_index
    if class_weights is None:
        return counted.sum()
    return class_weights[label.masked_fill(~counted, 0)].masked_fill(~counted, 0).sum()


def _cross_entropy(
    logits: Tensor,
    label: Tensor,
    ignore_index: int,
    ohem: Ohem | None,
    class_weights: Tensor | None,
    divisor: Tensor | None,
) -> Tensor:
    if ohem is not None:
        label = label.masked_fill(~_hard(logits, label, ignore_index, ohem), ignore_index)
    if class_weights is not None:
        class_weights = class_weights.to(logits)
    if divisor is None:
        divisor = num_counted(label, ignore_index=ignore_index, class_weights=class_weights)
    loss = F.cross_entropy(logits, label, class_weights, ignore_index=ignore_index, reduction="sum")
    return loss / divisor.masked_fill(divisor == 0, 1)  # nothing counted: 0 / 1, with a gradient path


@torch.no_grad()
def _hard(logits: Tensor, label: Tensor, ignore_index: int, ohem: Ohem) -> Tensor:
    """The pixels that OHEM keeps; bool (B, H, W)."""
    # The loss is -log of the true class's probability, so it orders the pixels without a separate softmax map.
    hardness = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
    hardness = hardness.masked_fill(label == ignore_index, -torch.inf)
    kept = min(ohem.min_kept * len(label), label.numel())
    least = hardness.flatten().kthvalue(label.numel() - kept + 1).values  # -inf if fewer pixels count: all are kept
    return (hardness >= least) | ((-hardness).exp() < ohem.threshold)


def _check_names(outputs: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    missing, unexpected = sorted(weights.keys() - outputs.keys()), sorted(outputs.keys() - weights.keys())
    if missing or unexpected:
        parts = [f"missing outputs: {', '.join(missing)}"] if missing else []
        parts += [f"outputs without a weight: {', '.join(unexpected)}"] if unexpected else []
        raise ValueError(
            f"outputs and loss weights differ ({'; '.join(parts)}); a head's loss_weights must name every output that "
            "it returns in training, and no other"
        )
    if not outputs:
        raise ValueError("no outputs: a network returns at least 'out' in training")


def _check_shapes(name: str, logits: Tensor, label: Tensor, ignore_index: int, class_weights: Tensor | None) -> None:
    if logits.ndim != 4 or (logits.shape[0], *logits.shape[2:]) != tuple(label.shape):
        raise ValueError(
            f"output {name!r} has shape {tuple(logits.shape)} and the label {tuple(label.shape)}; logits are "
            "(B, K, H, W) at the label's size, labels (B, H, W)"
        )
    K = logits.shape[1]
    if class_weights is not None and class_weights.shape != (K,):
        raise ValueError(f"class_weights has shape {tuple(class_weights.shape)}; one weight per class is ({K},)")
    if label.device.type == "cpu":
        wrong = label[(label != ignore_index) & ((label < 0) | (label >= K))]
        if len(wrong):
            raise ValueError(f"label holds {int(wrong[0])}; allowed are 0 to {K - 1} and {ignore_index} (ignored)")
