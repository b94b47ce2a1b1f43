"""Whether the network is computed, or recorded as a graph for other batches and sizes; and an operator that every recorder knows.

Recorders are torch.compile, torch.export, torch.jit.trace and both exporters of torch.onnx. Nothing is specific to a mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def recording() -> bool:
    """Whether torch records a graph at the moment.

    A graph keeps the branch, and the number of passes through a loop, of the input that it is recorded with. Code that depends on
    the batch, the size or the gradient mode therefore takes its general form while this is true.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`x.unflatten(dim, sizes)`, `dim` from 0 upwards. The TorchScript-based ONNX exporter keeps the sizes of that as constants.

    >>> unflatten(torch.zeros(2, 6, 5), 1, (3, 2)).shape
    torch.Size([2, 3, 2, 5])
    """
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def adaptive_avg_pool2d(x: Float[Tensor, "B C H W"], sizes: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    """`F.adaptive_avg_pool2d`. A recorded graph has two products instead: ONNX has no such operator, and its exporter keeps the
    bins' extents of the map that it records."""
    if not recording():
        return F.adaptive_avg_pool2d(x, sizes)
    rows, columns = (_means(bins, extent, x) for bins, extent in zip(sizes, x.shape[-2:], strict=True))
    return rows @ (x @ columns.mT)


def _means(bins: int, extent: int, like: Tensor) -> Float[Tensor, "b L"]:
    """The weight of each position of an axis in the mean of each bin; rows sum to 1."""
    index, at = (torch.arange(n, device=like.device) for n in (bins, extent))
    first, end = index * extent // bins, ((index + 1) * extent + bins - 1) // bins
    inside = (at >= first.unsqueeze(1)) & (at < end.unsqueeze(1))
    return inside.to(like.dtype) / (end - first).unsqueeze(1).to(like.dtype)


def refuse_frozen_sizes(head: str, *, by_trace: bool = True) -> None:
    """Raise ValueError while a recorder records that would keep the map's size as a constant of this head.

    That is the TorchScript-based ONNX exporter and, with `by_trace`, also `torch.jit.trace`.
    """
    if torch.jit.is_tracing() and (by_trace or torch.onnx.is_in_onnx_export()):
        raise ValueError(
            f"{head} cannot be recorded by {'torch.jit.trace or ' if by_trace else ''}torch.onnx.export(dynamo=False), which "
            "would keep the size of its maps as a constant; use torch.export, or torch.onnx.export(dynamo=True)"
        )
