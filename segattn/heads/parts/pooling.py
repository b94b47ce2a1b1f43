"""Adaptive average pooling that a graph can hold at every size: torch's is unrolled by exporters for one size of maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from segattn.heads.parts.attention import full_precision, widen
from segattn.heads.parts.recording import recording


def adaptive_means(x: Float[Tensor, "B C H W"], size: Sequence[int]) -> Float[Tensor, "B C h w"]:
    """`F.adaptive_avg_pool2d`; while a graph is recorded, as two products, of the columns and of the rows.

    >>> adaptive_means(torch.arange(6.0).view(1, 1, 2, 3), (1, 2))
    tensor([[[[2., 3.]]]])
    """
    if not recording():
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    wide = widen(x)
    with full_precision(x):
        rows, columns = (averages(b, extent, wide) for b, extent in zip(size, x.shape[-2:], strict=True))
        return (rows @ (wide @ columns.transpose(-2, -1))).to(x.dtype)


def averages(bins: int, extent: int, like: Tensor) -> Float[Tensor, "b L"]:
    """The weights of an axis' positions in the means of its bins; rows sum to 1."""
    number, at = (torch.arange(n, device=like.device) for n in (bins, extent))
    first, end = number * extent // bins, ((number + 1) * extent + bins - 1) // bins
    inside = ((at >= first.unsqueeze(1)) & (at < end.unsqueeze(1))).to(like.dtype)
    return inside / (end - first).unsqueeze(1).to(like.dtype)
