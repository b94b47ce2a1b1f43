"""One formula per operator: what it costs as a function of its arguments and its output.

Three columns, never mixed:

* `macs`: multiply-adds of convolutions and matrix products. A product (m, k) x (k, n) has m k n. A convolution has
  H_out W_out C_out (C_in / groups) K^2 per image, padding included; a transposed one H_in W_in C_in (C_out / groups) K^2.
  The bias is not in them. A product with k = 1 (an outer product) has no additions: its multiplications count as `other`.
* `study`: 2 H_out W_out (C_in / groups K^2 + 1) C_out for a convolution; the +1 is always counted, with or without a bias; a
  linear layer is a 1x1 convolution on a one-dimensional grid, 2 n (k + 1) m; a product is 2 m k n.
* `other`: element operations, by rule:

      element-wise maths, comparison, selection, activation function   1 per output element
      addcmul, addcdiv 2, lerp 3, gated linear unit 2                  per output element
      a bias, and the summand of addmm or baddbmm                      1 per output element
      reduction: sum, mean, max, argmax, any, ...                      1 per input element
      norm of a vector 2, variance, logsumexp, pixel-wise losses 3     per input element
      softmax: maximum, subtraction, exp, sum, division                5 per element
      batch norm with running statistics: scale and shift              2 per element
      batch, layer, group norm: mean 1, variance 2, scale and shift    5 per element (4 without weight)
      root-mean-square norm: square, scale, weight                     3 per element (2 without weight)
      resize from t pixels: t multiplications, t - 1 additions         linear 3, bilinear 7, trilinear 15, bicubic 31
      pooling                                                          1 per element of every window
      fold, scatter-add, index-add                                     1 per added element
      sort, top-k                                                      log2(n) per element, rounded up

Attention is counted by its equation, whichever kernel runs, causal or not: two products, 5 per score for the softmax,
1 per score for a mask and 2 for dropout, 1 per element of the query for a scale other than 1.
Views and allocations are free; copies, padding, indexing and nearest resizing cost no operation and are listed with the
bytes that they move. Element-wise operators are known by torch's `pointwise` tag, views by their schema, all others by name.
An operator that torch composes of others (einsum, matmul, interpolate) is counted as those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Work:
    """What one call of an operator costs."""

    macs: int = 0
    study: int | None = None
    """None: 2 per multiply-add."""
    other: int = 0
    bytes_read: int | None = None
    """None: every operand once."""
    moves: bool = True
    """False for a view or an allocation, which neither reads nor writes."""


Formula = Callable[..., Work]
"""`formula(out, *args, **kwargs) -> Work` with the output and the arguments of the call."""


def bytes_of(tensor: Tensor) -> int:
    """Bytes of the distinct elements: elements that an expanded tensor repeats count once."""
    if tensor.layout is not torch.strided:
        return tensor.numel() * tensor.element_size()
    shape = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)
    return math.prod(shape) * tensor.element_size()


def tensors_in(*values: Any) -> list[Tensor]:
    """The tensors among arguments or outputs, also those in lists, each once."""
    tensors: dict[int, Tensor] = {}
    for value in values:
        if isinstance(value, Tensor):
            tensors[id(value)] = value
        elif isinstance(value, (list, tuple)):
            tensors.update((id(tensor), tensor) for tensor in tensors_in(*value))
    return list(tensors.values())


# Rules ---------------------------------------------------------------------------------------------------------------
def unmoved(out: Any, *args: Any, **kwargs: Any) -> Work:
    return Work(moves=False)


def copied(out: Any, *args: Any, **kwargs: Any) -> Work:
    return Work()


def filled(out: Any, *args: Any, **kwargs: Any) -> Work:
    return Work(bytes_read=0)


def copied_onto(out: Any, target: Tensor, *sources: Any, **kwargs: Any) -> Work:
    return Work(bytes_read=sum(map(bytes_of, tensors_in(*sources))))


def gathered(out: Tensor, source: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return Work(bytes_read=bytes_of(out) + sum(map(bytes_of, tensors_in(*rest))))


def added_at(out: Tensor, target: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return Work(other=tensors_in(*rest, *kwargs.values())[-1].numel())


def put(out: Tensor, target: Tensor, indices: Any, values: Tensor, accumulate: bool = False, *rest: Any) -> Work:
    return Work(other=values.numel() if accumulate else 0)


def per_output(weight: int) -> Formula:
    return lambda out, *args, **kwargs: Work(other=weight * tensors_in(out)[0].numel())


def per_input(weight: int) -> Formula:
    return lambda out, *args, **kwargs: Work(other=weight * tensors_in(*args)[0].numel())


# Products ------------------------------------------------------------------------------------------------------------
def _product(batch: int, m: int, k: int, n: int, *, summand: bool = False) -> Work:
    added = batch * m * n if summand else 0
    if k == 1:
        return Work(other=batch * m * n + added)
    return Work(macs=batch * m * k * n, other=added)


def _layer(outputs: int, per_output_macs: int, *, bias: bool) -> Work:
    macs = outputs * per_output_macs
    return Work(macs=macs, study=2 * (macs + outputs), other=outputs if bias else 0)


def mm(out: Tensor, a: Tensor, b: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return _product(1, a.shape[0], a.shape[1], b.shape[1])


def bmm(out: Tensor, a: Tensor, b: Tensor, *rest: Any, **kwargs: Any) -> Work:
    batch, m, k = a.shape
    return _product(batch, m, k, b.shape[2])


def baddbmm(out: Tensor, summand: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, **kwargs: Any) -> Work:
    batch, m, k = a.shape
    return _product(batch, m, k, b.shape[2], summand=beta != 0)


def addbmm(out: Tensor, summand: Tensor, a: Tensor, b: Tensor, **kwargs: Any) -> Work:
    return _product(1, a.shape[1], a.shape[0] * a.shape[2], b.shape[2], summand=True)


def mv(out: Tensor, a: Tensor, *rest: Any) -> Work:
    return _product(1, out.numel(), a.shape[-1], 1)


def addmm(out: Tensor, bias: Tensor, a: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return _layer(out.numel(), a.shape[1], bias=True)


def addmv(out: Tensor, bias: Tensor, a: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return _layer(out.numel(), a.shape[1], bias=True)


def linear(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Work:
    return _layer(out.numel(), weight.shape[-1], bias=bias is not None)


def convolution(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any, **kwargs: Any) -> Work:
    transposed = rest[3]  # after stride, padding, dilation
    if not transposed:
        return _layer(out.numel(), math.prod(weight.shape[1:]), bias=bias is not None)
    macs = x.numel() * math.prod(weight.shape[1:])
    return Work(macs=macs, study=2 * (macs + out.numel()), other=0 if bias is None else out.numel())


def attention(
    out: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    *rest: Any,
    scale: float | None = None,
    **kwargs: Any,
) -> Work:
    d, keys = query.shape[-1], key.shape[-2]
    rows = query.numel() // max(d, 1)
    scores, mixed = _product(rows, 1, d, keys), _product(rows, 1, keys, value.shape[-1])
    per_score = 5 + (attn_mask is not None) + (2 if dropout_p else 0)
    scaled = 0 if scale == 1 else query.numel()
    return Work(macs=scores.macs + mixed.macs, other=scores.other + mixed.other + per_score * rows * keys + scaled)


def fused_attention(
    out: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, attn_mask: Any = None, scale: Any = None, **_: Any
) -> Work:
    masks = tensors_in(*rest, attn_mask)
    return attention(out, query, key, value, masks[0] if masks else None, scale=scale)


# Norms, pooling, resizing --------------------------------------------------------------------------------------------
def batch_norm(out: Any, x: Tensor, weight: Tensor | None, *rest: Any, **kwargs: Any) -> Work:
    training = next(value for value in rest if isinstance(value, bool))
    return Work(other=x.numel() * (2 if not training else 4 + (weight is not None)))


def batch_norm_eval(out: Any, x: Tensor, *rest: Any, **kwargs: Any) -> Work:
    return Work(other=2 * x.numel())


def batch_norm_training(out: Any, x: Tensor, weight: Tensor | None, *rest: Any, **kwargs: Any) -> Work:
    return Work(other=x.numel() * (4 + (weight is not None)))


def layer_norm(out: Any, x: Tensor, shape: Sequence[int], weight: Tensor | None, *rest: Any) -> Work:
    return Work(other=x.numel() * (4 + (weight is not None)))


def group_norm(out: Any, x: Tensor, weight: Tensor | None, *rest: Any) -> Work:
    return Work(other=x.numel() * (4 + (weight is not None)))


def rms_norm(out: Any, x: Tensor, shape: Sequence[int], weight: Tensor | None, *rest: Any) -> Work:
    return Work(other=x.numel() * (2 + (weight is not None)))


def pooling(num_dims: int) -> Formula:
    def windows(out: Any, x: Tensor, kernel_size: Sequence[int], *rest: Any, **kwargs: Any) -> Work:
        area = math.prod(kernel_size) if len(kernel_size) > 1 else kernel_size[0] ** num_dims
        return Work(other=tensors_in(out)[0].numel() * area)

    return windows


def adaptive_pooling(out: Any, x: Tensor, output_size: Sequence[int]) -> Work:
    """Bin i of o over n pixels spans floor(i n / o) to ceil((i + 1) n / o); bins overlap where o does not divide n."""
    num_dims = len(output_size)
    planes = math.prod(x.shape[:-num_dims])
    spans = (
        sum(-(-(i + 1) * n // o) - i * n // o for i in range(o))
        for n, o in zip(x.shape[-num_dims:], output_size, strict=True)
    )
    return Work(other=planes * math.prod(spans))


def resized_from(pixels: int) -> Formula:
    return per_output(2 * pixels - 1)


def resized_antialiased(reach: int) -> Formula:
    """Linear (reach 2) or cubic (4) in both directions, with the window widened by the factor of reduction."""

    def resized(out: Tensor, x: Tensor, *rest: Any, **kwargs: Any) -> Work:
        pixels = math.prod(reach * max(1, -(-n // o)) for n, o in zip(x.shape[-2:], out.shape[-2:], strict=True))
        return Work(other=(2 * pixels - 1) * out.numel())

    return resized


def grid_sampled(out: Tensor, x: Tensor, grid: Tensor, mode: int, *rest: Any) -> Work:
    """Modes of torch: 0 linear, 1 nearest, 2 cubic."""
    pixels = {0: 2, 1: 1, 2: 4}[mode] ** grid.shape[-1]
    return Work(other=(2 * pixels - 1) * out.numel() if pixels > 1 else 0)


def ordered(out: Any, x: Tensor, *args: Any, **kwargs: Any) -> Work:
    """Sort or top-k; `dim` is ignored, the longest dimension is an upper bound."""
    return Work(other=x.numel() * max(1, math.ceil(math.log2(max(x.shape, default=1)))))
