"""The loss of a network with several outputs: a sum of terms for the main one, cross-entropy for the others.

    L = weight_out * sum_t factor_t * t(out, label) + sum_o weight_o * CE(outputs_o, label)

in float32 also under mixed precision. The terms are CE and those of `segattn.training.terms`:

* CE, focal and boundary have a value at each pixel. The loss is their mean over the pixels that are not ignored; with class
  weights the weighted mean, a pixel having the weight of its class, divided by the sum of the weights, as in torch.
  mmsegmentation divides by all pixels of the crop instead, including ignored and easy ones, so its loss is smaller by the share
  of counted pixels.
* dice and lovasz have a value for each class. The loss is their mean over the classes that occur in the label; with class weights
  the weighted mean.

OHEM picks the pixels of CE, and label smoothing replaces the target of CE by (1 - s) [y = k] + s / K; other terms have neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segattn.config import Optimization
from segattn.model import SegmentationModel
from segattn.training import formula, terms, upsampled
from segattn.training.formula import Term


@dataclass(frozen=True)
class Ohem:
    """Online hard example mining over pixels, on the main output only (as in the recipes of CCNet and mmsegmentation).

    A pixel is kept if the probability of its true class is below `threshold`. If fewer than `least` per image are below it,
    the `least` times batch size hardest pixels of the batch are kept (all, if the batch has fewer). The loss is the mean over
    the kept pixels.
    """

    threshold: float = 0.7
    """Probability in (0, 1]."""
    min_kept: int | None = None
    """Pixels per image, pooled over the batch, as in mmsegmentation; in CCNet's code, pixels per batch of one GPU. None: 100,000,
    or on crops smaller than 512x512 the share that 100,000 is of these, since all pixels of a small crop would be kept."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it is a probability above 0 and at most 1 (usual: 0.7)")
        if self.min_kept is not None and self.min_kept < 1:
            raise ValueError(f"min_kept is {self.min_kept}; at least 1 pixel per image must be kept (usual: 100000)")

    def least(self, height: int, width: int) -> int:
        """Pixels of an image of this size that are kept at least.

        >>> Ohem().least(769, 769), Ohem().least(128, 256)
        (100000, 12500)
        """
        share = min(height * width / 512**2, 1)
        return max(round(100_000 * share), 1) if self.min_kept is None else self.min_kept


CE = (Term("ce"),)


@dataclass(frozen=True)
class Criterion:
    """`segmentation_loss` with the settings of an experiment: weights of the outputs, terms, class weights (K,)."""

    weights: Mapping[str, float]
    terms: tuple[Term, ...] = CE
    ohem: Ohem | None = None
    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    align_corners: bool | None = None

    @staticmethod
    def of(optimization: Optimization, model: SegmentationModel, class_weights: Tensor | None) -> Criterion:
        """The loss of an experiment; raises ValueError for a formula that is none. Head-only training leaves upsampling to it."""
        ohem, chosen = Ohem() if optimization.ohem else None, formula.parse(optimization.loss)
        corners = model.align_corners if optimization.train == "head" else None
        return Criterion(model.loss_weights, chosen, ohem, class_weights, optimization.label_smoothing, corners)

    def __call__(
        self, outputs: Mapping[str, Tensor], label: Tensor, divisor: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `segmentation_loss`."""
        settings = {name: value for name, value in vars(self).items() if name != "weights"}
        return segmentation_loss(outputs, label, self.weights, **settings, divisor=divisor)


def segmentation_loss(
    outputs: Mapping[str, Tensor],
    label: Tensor,
    weights: Mapping[str, float],
    *,
    ignore_index: int = 255,
    ohem: Ohem | None = None,
    class_weights: Tensor | None = None,
    divisor: Tensor | None = None,
    terms: Sequence[Term] = CE,
    label_smoothing: float = 0.0,
    align_corners: bool | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the losses of all outputs, and the unweighted loss of each (detached, for logs).

    `outputs`: logits (B, K, H, W) by name; `label`: int64 (B, H, W); `class_weights`: (K,). With `align_corners` logits may be
    smaller than the label; they are then upsampled bilinearly, in float32. If every pixel of the batch is
    ignored, loss and gradients are 0. `terms` are those of the output `out`; the others have cross-entropy. `divisor` replaces
    `num_counted` as the divisor of the sum over pixels, for a batch that is computed in parts; it cannot be combined with OHEM,
    which counts its own pixels. dice and lovasz, which have no such sum, are those of each part.

    Raises:
        ValueError: outputs and weights do not have the same names; shapes do not fit; a label is outside the classes
            (checked on the CPU only: on a GPU the check would stall every step).
    """
    _check_names(outputs, weights)
    if ohem is not None and divisor is not None:
        raise ValueError("divisor cannot be combined with OHEM, which counts its own pixels; leave out one of them")
    losses = {}
    for name, logits in outputs.items():
        _check_shapes(name, logits, label, ignore_index, class_weights, any_size=align_corners is not None)
        weights_of_classes = None if class_weights is None else class_weights.to(logits.device).float()
        pixels = _Pixels(label, ignore_index, weights_of_classes, divisor, label_smoothing, bool(align_corners))
        if name == "out":
            losses[name] = pixels.sum_of(terms, logits.float(), ohem)
        else:
            losses[name] = pixels.cross_entropy(logits.float())
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return total, {name: loss.detach() for name, loss in losses.items()}


def num_counted(label: Tensor, *, ignore_index: int = 255, class_weights: Tensor | None = None) -> Tensor:
    """The divisor of the mean in `segmentation_loss`: the number of counted pixels, or the sum of their class weights."""
    counted = label != ignore_index
    if class_weights is None:
        return counted.sum()
    return class_weights[label.masked_fill(~counted, 0)].masked_fill(~counted, 0).sum()


@dataclass(frozen=True)
class _Pixels:
    """The label of one output, and how its pixels count."""

    label: Tensor
    ignore_index: int
    class_weights: Tensor | None
    divisor: Tensor | None
    label_smoothing: float
    align_corners: bool

    def sum_of(self, chosen: Sequence[Term], logits: Tensor, ohem: Ohem | None) -> Tensor:
        if tuple(chosen) != CE or ohem is not None:
            logits = self.full_size(logits)
        needed = any(term.name in ("dice", "lovasz", "boundary") for term in chosen)
        probabilities = logits.softmax(1) if needed else logits
        with torch.autocast(logits.device.type, enabled=False):
            each = [term.factor * self.term(term, logits, probabilities, ohem) for term in chosen]
        return torch.stack(each).sum()

    def term(self, term: Term, logits: Tensor, probabilities: Tensor, ohem: Ohem | None) -> Tensor:
        ignored = {"ignore_index": self.ignore_index}
        if term.name == "ce":
            return self.cross_entropy(logits, ohem)
        if term.name == "focal":
            return self.mean_over_pixels(terms.focal(logits, self.label, term.gamma, **ignored))
        if term.name == "boundary":
            return self.mean_over_pixels(terms.boundary(probabilities, self.label, **ignored))
        of_classes = {"dice": terms.dice, "lovasz": terms.lovasz}[term.name]
        return self.mean_over_classes(of_classes(probabilities, self.label, **ignored))

    def cross_entropy(self, logits: Tensor, ohem: Ohem | None = None) -> Tensor:
        label, divisor = self.label, self.divisor
        if ohem is not None:
            label = label.masked_fill(~_hard(logits, label, self.ignore_index, ohem), self.ignore_index)
        if divisor is None:
            divisor = num_counted(label, ignore_index=self.ignore_index, class_weights=self.class_weights)
        # in bands on the CPU alone: a GPU would wait for each of them
        if logits.shape[2:] != label.shape[1:] and logits.device.type == "cpu" and not self.label_smoothing:
            settings: dict[str, Any] = {"align_corners": self.align_corners, "ignore_index": self.ignore_index}
            loss = upsampled.cross_entropy(logits, label, self.class_weights, **settings)
        else:
            settings = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
            loss = F.cross_entropy(self.full_size(logits), label, self.class_weights, reduction="sum", **settings)
        return loss / divisor.masked_fill(divisor == 0, 1)  # nothing counted: 0 / 1, with a gradient path

    def full_size(self, logits: Tensor) -> Tensor:
        """Logits at the label's size."""
        size = self.label.shape[1:]
        if logits.shape[2:] == size:
            return logits
        return F.interpolate(logits.contiguous(), size=size, mode="bilinear", align_corners=self.align_corners)

    def mean_over_pixels(self, loss: Tensor) -> Tensor:
        """Of a loss (B, H, W) that is 0 where a pixel is ignored."""
        divisor = self.divisor
        if divisor is None:
            divisor = num_counted(self.label, ignore_index=self.ignore_index, class_weights=self.class_weights)
        if self.class_weights is not None:
            loss = loss * self.class_weights[self.label.masked_fill(self.label == self.ignore_index, 0)]
        return loss.sum() / divisor.masked_fill(divisor == 0, 1)

    def mean_over_classes(self, loss: Tensor) -> Tensor:
        """Of a loss (K,) that is 0 for a class that does not occur."""
        weights = torch.ones_like(loss) if self.class_weights is None else self.class_weights
        present = terms.occurring(self.label, len(loss), ignore_index=self.ignore_index)
        weights = weights.masked_fill(~present, 0)
        total = weights.sum()
        return (weights * loss).sum() / total.masked_fill(total == 0, 1)


@torch.no_grad()
def _hard(logits: Tensor, label: Tensor, ignore_index: int, ohem: Ohem) -> Tensor:
    """The pixels that OHEM keeps; bool (B, H, W)."""
    # The loss is -log of the true class's probability, so it orders the pixels without a separate softmax map.
    hardness = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
    hardness = hardness.masked_fill(label == ignore_index, -torch.inf)
    kept = min(ohem.least(*label.shape[1:]) * len(label), label.numel())
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


def _check_shapes(
    name: str, logits: Tensor, label: Tensor, ignore_index: int, class_weights: Tensor | None, *, any_size: bool
) -> None:
    size = label.shape[1:] if any_size else logits.shape[2:]
    if logits.ndim != 4 or (logits.shape[0], *size) != tuple(label.shape):
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
