"""The losses that `segattn.training.losses` adds up besides cross-entropy, from the equations of their papers. With p the softmax
of the logits, y the label, q a pixel, and sums over the pixels that are not ignored:

    focal     (1 - p_y)^gamma (-log p_y)  at each pixel                     Lin et al., arXiv 1708.02002
    dice      1 - 2 sum_q p_k [y = k] / sum_q (p_k + [y = k])  of class k   Milletari et al., arXiv 1606.04797
    lovasz    the Lovasz extension of the Jaccard loss of class k           Berman et al., arXiv 1705.08790
              at the errors |[y = k] - p_k|
    boundary  sum_k phi_k p_k  at each pixel; phi_k is the distance to      Kervadec et al., arXiv 1812.07032
              the boundary of class k in pixels, negative inside

The alpha of focal is the class weights. dice has no squares in its denominator, as in Sudre et al., arXiv 1707.03237. dice and
lovasz are defined for the pixels of all images together, not for each image. A class that does not occur there has no term in
dice and lovasz, nor in boundary for an image where it does not occur: the label says nothing about it but that it is absent, and
its probability is pushed down anyway, since that of the true class is pushed up.

They are not taken from a library, because none has all four with ignored pixels: in kornia 0.9 dice is 1 where every pixel is
ignored, lovasz has no ignored pixels, and there is no boundary loss. Where kornia defines the same, tests/training/test_terms.py
compares with it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(logits: Tensor, label: Tensor, gamma: float, *, ignore_index: int = 255) -> Tensor:
    """The focal loss of each pixel, (B, H, W); 0 where it is ignored. gamma = 0 is cross-entropy."""
    surprise = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
    # 1 - p, precise near p = 1; the clamp keeps the slope of x^gamma finite at 0, where -log p is 0 too
    wrong = -torch.expm1(-surprise)
    return wrong.clamp(min=torch.finfo(wrong.dtype).tiny) ** gamma * surprise


def dice(probabilities: Tensor, label: Tensor, *, ignore_index: int = 255) -> Tensor:
    """The Dice loss of each class over all pixels, (K,); 0 for a class that does not occur in the label."""
    counted = (label != ignore_index)[:, None]  # (B, 1, H, W)
    classes = torch.arange(probabilities.shape[1], device=label.device)[:, None, None]
    truth = (label[:, None] == classes) & counted  # (B, K, H, W)
    size = truth.sum((0, 2, 3))  # (K,)
    overlap = probabilities.masked_fill(~truth, 0).sum((0, 2, 3))
    predicted = probabilities.masked_fill(~counted, 0).sum((0, 2, 3))
    losses = 1 - 2 * overlap / (predicted + size.clamp(min=1))
    return losses.masked_fill(size == 0, 0)


def lovasz(probabilities: Tensor, label: Tensor, *, ignore_index: int = 255) -> Tensor:
    """The Lovasz-softmax loss of each class over all pixels, (K,); 0 for a class that does not occur in the label."""
    counted = label != ignore_index
    present = occurring(label, probabilities.shape[1], ignore_index=ignore_index).tolist()  # a GPU waits here
    losses = [
        _lovasz_of_class(p, (label == k) & counted, counted) if present[k] else 0 * p[:0].sum()
        for k, p in enumerate(probabilities.unbind(1))
    ]
    return torch.stack(losses)


def _lovasz_of_class(p: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    errors = (truth.to(p.dtype) - p).abs().masked_fill(~counted, 0)
    with torch.no_grad():
        # Pixel by pixel from the largest error on: by how much the Jaccard loss grows. Ignored pixels come last, where they
        # change nothing for the others; float64, since the growth is of the order of 1 / the number of pixels.
        order = errors.masked_fill(~counted, -1).flatten().argsort(descending=True, stable=True)
        hit = truth.flatten()[order]
        size, hits = truth.sum(), hit.cumsum(0)
        jaccard = 1 - (size - hits).double() / (size + (~hit).cumsum(0)).double()
        growth = torch.diff(jaccard, prepend=jaccard.new_zeros(1)).to(p.dtype)
        weights = torch.empty_like(growth).scatter_(0, order, growth).view_as(errors)
    return (errors * weights).sum()


def boundary(probabilities: Tensor, label: Tensor, *, ignore_index: int = 255) -> Tensor:
    """The boundary loss of each pixel, (B, H, W); 0 where it is ignored, negative where the prediction is right."""
    counted = label != ignore_index
    distances = torch.zeros_like(probabilities)  # phi, (B, K, H, W)
    for image, (classes, seen) in enumerate(zip(label, counted, strict=True)):
        occurs = occurring(classes, probabilities.shape[1], ignore_index=ignore_index).tolist()  # a GPU waits here
        present = torch.tensor([k for k, one in enumerate(occurs) if one], device=label.device)
        if len(present) > 1:  # a single class has no boundary
            distances[image, present] = signed_distance(classes == present[:, None, None], seen).to(distances.dtype)
    return (probabilities.masked_fill(~counted[:, None], 0) * distances).sum(1)


@torch.no_grad()
def signed_distance(inside: Tensor, counted: Tensor) -> Tensor:
    """Distance of each pixel to the boundary of a region in pixels, float32 (B, H, W); negative inside.

    The boundary runs half-way between neighbouring pixels of both sides, so a pixel next to it has distance 1/2. 0 where a pixel
    is not counted, and in an image where all or none of the counted pixels are inside.
    """
    inside, outside = inside & counted, ~inside & counted
    to_inside, to_outside = (_distance(region) - 0.5 for region in (inside, outside))
    signed = torch.where(inside, -to_outside, to_inside)
    return signed.masked_fill(~counted | signed.isinf(), 0)


def _distance(region: Tensor) -> Tensor:
    """Euclidean distance of each pixel to the nearest one of the region, float32 (B, H, W); inf where there is none.

    First within each row, then over the rows of each column: d(y, x)^2 = min_y' (y - y')^2 + row(y', x)^2. The second takes
    as many steps as there are rows, or as the largest distance has pixels, so a tall image is turned.
    """
    H, W = region.shape[1:]
    if H > W:
        return _distance(region.mT.contiguous()).mT
    columns = torch.arange(W, device=region.device, dtype=torch.float32)
    left = columns.masked_fill(~region, -torch.inf).cummax(2).values
    right = columns.masked_fill(~region, torch.inf).flip(2).cummin(2).values.flip(2)
    row = torch.minimum(columns - left, right - columns).square()  # (B, H, W)
    nearest, buffer = row.clone(), torch.empty_like(row)
    for shift in range(1, H):
        if shift % 8 == 0 and nearest.max() <= shift**2:
            break
        for rows, sources in (slice(shift, None), slice(-shift)), (slice(-shift), slice(shift, None)):
            moved = torch.add(row[:, sources], shift**2, out=buffer[:, rows])
            torch.minimum(nearest[:, rows], moved, out=nearest[:, rows])
    return nearest.sqrt()


def occurring(label: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """Whether each class occurs in the label; bool (K,)."""
    seen = torch.zeros(num_classes + 1, dtype=torch.bool, device=label.device)
    return seen.index_fill_(0, label.masked_fill(label == ignore_index, num_classes).flatten(), True)[:num_classes]
