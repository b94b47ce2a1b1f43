"""What kernels hold inside themselves for the time of a call, in bytes, as formulas of their arguments.

CPU: oneDNN's convolutions, read off torch's record of allocations for convolutions alone (torch 2.13, oneDNN 3, AVX-512; w, x, y
are the bytes of weight, input and output, g their gradients). Channels-last: the weight is put into blocks for the forward pass
(w); the backward pass holds two more gradients of the weight (2 w). Other layouts: input, weight and output are put into blocks
and the results taken out again: forward max(x + w, y); backward first that of the input, max(y + w, gx), then with it that of
the weight, max(x + y, w).

CUDA: cuDNN chooses its algorithms by what is free, so that its workspace is no property of the arguments: none is counted here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segattn.profile.formulas import bytes_of

aten = torch.ops.aten


def scratch_bytes(device: str, operator: Any, args: Any, out: Any) -> int:
    """Bytes that `operator` holds above its arguments and its output while it runs."""
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
    """As torch's choice of layout for convolutions: channels-last if either is."""
    return any(_in_order(each) and not each.is_contiguous() for each in tensors)


def _in_order(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _copy(tensor: Tensor) -> int:
    return 0 if _in_order(tensor) else bytes_of(tensor)


_FORMULAS = {
    ("cpu", aten.convolution): _convolution,
    ("cpu", aten.convolution_backward): _convolution_backward,
}
