"""Memory that kernels allocate internally for the duration of a call, in bytes, as formulas of their arguments.

CPU: oneDNN's convolutions, derived from torch's allocation records of single convolutions (torch 2.13, oneDNN 3, AVX-512; w, x, y
are the bytes of weight, input and output, g their gradients). Channels-last: the weight is reordered for the forward pass (w);
the backward pass holds two more gradients of the weight (2 w). Other layouts: input, weight and output are reordered, and so
are the results: forward max(x + w, y); backward first the gradient of the input, max(y + w, gx), then, with it in memory, that
of the weight, max(x + y, w).

CUDA: cuDNN chooses its algorithms by the memory that is free, so its workspace does not follow from the arguments: none is
counted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segattn.profile.formulas import bytes_of

aten = torch.ops.aten


def scratch_bytes(device: str, operator: Any, args: Any, out: Any) -> int:
    """Bytes that `operator` allocates while it runs, besides its arguments and its output."""
    formula = _FORMULAS.get((device, operator.overloadpacket))
    return 0 if formula is None else formula(args, out)


def _convolution(args: Any, out: Tensor) -> int:
    x, w, y = args[0], bytes_of(args[1]), bytes_of(out)
    if _is_channels_last(args[0], args[1]):
        return w + _copy(x)
    return max(bytes_of(x) + w, y)


def _convolution_backward(args: Any, out: Any) -> int:
    grad, x, weight = args[:3]
    w, y, outputs = bytes_of(weight), bytes_of(grad), sum(bytes_of(each) for each in out if each is not None)
    if _is_channels_last(x, weight):
        return 2 * w + _copy(x) + _copy(grad)
    of_input, gradient = (bytes_of(x), bytes_of(out[0])) if out[0] is not None else (0, 0)
    first = max(y + w + of_input, 2 * of_input) if out[0] is not None else 0
    second = gradient + max(bytes_of(x) + y + w, 2 * w)
    return max(first, second) - outputs


def _is_channels_last(*tensors: Tensor) -> bool:
    """Whether torch runs a convolution channels-last: if either tensor is."""
    return any(_in_order(each) and not each.is_contiguous() for each in tensors)


def _in_order(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _copy(tensor: Tensor) -> int:
    return 0 if _in_order(tensor) else bytes_of(tensor)


_FORMULAS = {
    ("cpu", aten.convolution): _convolution,
    ("cpu", aten.convolution_backward): _convolution_backward,
}
