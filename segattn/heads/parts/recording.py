"""Whether the network is computed, or recorded as a graph for other batches and sizes; and an operator that every recorder knows.

Recorders are torch.compile, torch.export, torch.jit.trace and both exporters of torch.onnx. Nothing is specific to a mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def recording() -> bool:
    """Whether torch records a graph at the moment.

    A graph keeps the branch, and the number of passes through a loop, of the input that it is recorded with. Code that depends on
    the batch, the size or the gradient mode therefore takes its general form while this is true.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def simulated(x: Tensor) -> bool:
    """Whether `x` is a fake tensor: operators then compute shapes alone, to predict memory, and one piece stands for all."""
    return isinstance(x, FakeTensor)


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`x.unflatten(dim, sizes)`, `dim` from 0 upwards. The TorchScript-based ONNX exporter keeps the sizes of that as constants.

    >>> unflatten(torch.zeros(2, 6, 5), 1, (3, 2)).shape
    torch.Size([2, 3, 2, 5])
    """
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def refuse_frozen_sizes(head: str, *, by_trace: bool = True, by_export: bool = False, instead: str = "") -> None:
    """Raise ValueError while a recorder records that would keep the map's size as a constant of this head.

    That is the TorchScript-based ONNX exporter, with `by_trace` also `torch.jit.trace`, and with `by_export` also `torch.export`
    and the other ONNX exporter. `instead` is the advice, if it is not `torch.export`.
    """
    traced = torch.jit.is_tracing() and (by_trace or torch.onnx.is_in_onnx_export())
    if traced or (by_export and torch.compiler.is_exporting()):
        recorders = ["torch.jit.trace"] * by_trace + ["torch.export"] * by_export
        recorders.append("torch.onnx.export" if by_export else "torch.onnx.export(dynamo=False)")
        raise ValueError(
            f"{head} cannot be recorded by {' or '.join(recorders)}, which would keep the size of its maps as a constant; use "
            + (instead or "torch.export, or torch.onnx.export(dynamo=True)")
        )
