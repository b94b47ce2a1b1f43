"""Pretrained weights for images of another number of bands: only the first convolution is changed.

Its kernel W has the shape (outputs, N, height, width) in the file and takes M bands here. The first min(N, M) bands keep their
weights; the new ones, if M > N, start with

    mean      the mean of the N known ones
    repeat    the known ones again, in order
    zero      zero: as long as nothing is trained, the response is that of the N known bands alone

With mean and repeat all weights are then scaled, so that the response keeps its size: an image whose M normalised bands are equal
gets the response of an image whose N bands are equal. With fewer bands than the file has, M < N, the kernel of each band is the
mean (mean) or its own (repeat), scaled in the same way; zero is refused there, since nothing is new.

The factor is N / M. For mean that is exact, and for repeat where M is a multiple of N; for other M, repeat weighs the first bands
more than the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

FirstLayer = Literal["mean", "repeat", "zero"]


def converted(weight: Float[Tensor, "O N h w"], bands: int, how: FirstLayer) -> Float[Tensor, "O M h w"]:
    """The kernel of a first convolution for `bands` bands.

    >>> rgb = torch.ones(1, 3, 1, 1)
    >>> [converted(rgb, 4, how).flatten().tolist() for how in ("mean", "zero")]
    [[0.75, 0.75, 0.75, 0.75], [1.0, 1.0, 1.0, 0.0]]

    Raises:
        ValueError: another `how`, or zero for fewer bands than there are.
    """
    known = weight.shape[1]
    if how not in get_args(FirstLayer):
        raise ValueError(f"model.first_layer is {how!r}; give one of {', '.join(get_args(FirstLayer))}")
    if how == "zero" and bands < known:
        raise ValueError(
            f"model.first_layer=zero fills new bands, but the weights take {known} bands and the network {bands}; give mean"
        )
    mean = weight.double().mean(1, keepdim=True).to(weight.dtype)
    if how == "repeat":
        wide = weight[:, torch.arange(bands) % known]
    elif bands < known:
        wide = mean.expand(-1, bands, -1, -1)
    else:
        filled = mean if how == "mean" else torch.zeros_like(mean)
        wide = torch.cat([weight, filled.expand(-1, bands - known, -1, -1)], dim=1)
    return wide.contiguous() if how == "zero" else wide * (known / bands)


def fitted(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], how: FirstLayer
) -> tuple[Mapping[str, Tensor], str]:
    """The weights, the first convolution converted if only its bands differ from those of `own`, and what was done, in words.

    It is the one tensor of another shape, of which only the second axis differs; otherwise nothing is converted.

    Raises:
        ValueError: as `converted`.
    """
    other = [name for name, value in weights.items() if name in own and value.shape != own[name].shape]
    if len(other) != 1:
        return weights, ""
    (name,) = other
    before, after = weights[name].shape, own[name].shape
    is_convolution = len(before) == len(after) == 4 and weights[name].is_floating_point() and weights[name].numel() > 0
    if not is_convolution or before[0] != after[0] or before[2:] != after[2:]:
        return weights, ""
    words = f" (first layer {name}: {before[1]} bands to {after[1]}, {how}"
    words += ")" if how == "zero" else f", scaled by {before[1] / after[1]:.4g})"
    return {**weights, name: converted(weights[name], after[1], how)}, words
