"""The attention product, as its equation is written and without storing the weights. Nothing is specific to a mechanism."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from segattn.heads.parts.in_blocks import LEAST, InBlocks
from segattn.heads.parts.recording import recording

Implementation = Literal["auto", "reference", "fast"]


def attend(
    query: Float[Tensor, "*B Q D"],
    key: Float[Tensor, "*B N D"],
    value: Float[Tensor, "*B N V"],
    *,
    scale: float = 1.0,
    implementation: Implementation = "auto",
) -> Float[Tensor, "*B Q V"]:
    """`softmax(scale q k^T) v`. `fast` never stores the Q x N weights; `auto` is `fast`, except for few weights on a CPU."""
    if writes_out(implementation, pays=_few(query, key)):
        return affinity(query, key, scale, cut=implementation == "auto").to(value.dtype) @ value
    return _without_weights(query, key, value, scale)


def affinity(
    query: Float[Tensor, "*B Q D"],
    key: Float[Tensor, "*B N D"],
    scale: float = 1.0,
    *,
    real: Bool[Tensor, "*B N"] | None = None,
    cut: bool = False,
) -> Float[Tensor, "*B Q N"]:
    """`softmax(scale q k^T)` over the keys, or over those marked `real`: rows sum to 1.

    Computed in float32 also under autocast, because logits may be unscaled. `cut` applies `cut_off` to the logits.
    """
    with full_precision(query):
        logits = (widen(query) * scale) @ widen(key).transpose(-2, -1)
        if real is not None:  # the lowest number instead of -inf: a row without a real key must not become NaN
            logits = logits.masked_fill(~real.unsqueeze(-2), torch.finfo(logits.dtype).min)
        return (cut_off(logits) if cut else logits).softmax(dim=-1)


def widen(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of `x`, for arithmetic that would overflow in half precision."""
    available = torch.amp.is_autocast_available(x.device.type)  # not on meta
    return torch.autocast(x.device.type, enabled=False) if available else nullcontext()


def check_option(name: str, value: object, allowed: object) -> None:
    """Raise ValueError unless `value` is one of the strings of a `Literal`."""
    if value not in get_args(allowed):
        raise ValueError(f"{name}={value!r} is not known; use one of {', '.join(map(repr, get_args(allowed)))}")


# The same, faster


def writes_out(implementation: Implementation, *, pays: bool) -> bool:
    """Whether to compute the equation as written: `auto` does if it `pays`, but not in a graph, which must work at all sizes."""
    if implementation != "auto" or recording():
        return implementation == "reference"
    return pays


def cut_off(logits: Float[Tensor, "*B Q N"]) -> Float[Tensor, "*B Q N"]:
    """Logits relative to the highest of their row, in place; -inf below -46, because a weight of 1e-20 changes no sum.

    Softmax of unscaled logits produces numbers below float32's normal range, 1e-38, which a CPU multiplies up to fifty times more
    slowly. In the backward pass, weights of 1e-30 times gradients of 1e-9 produce them too.
    """
    if not logits.is_cuda:
        values = logits.detach()  # autograd need not see this: where a weight is 0, softmax's gradient is 0
        F.threshold(values.sub_(values.amax(dim=-1, keepdim=True)), LEAST, float("-inf"), inplace=True)
    return logits


def _few(query: Tensor, key: Tensor) -> bool:
    """Whether the weights fit into a CPU's cache; then the written-out product is the fastest."""
    if query.is_cuda:
        return False
    training, single = torch.is_grad_enabled(), query.dtype.itemsize > 2  # in half precision the fused product wins
    limit = (2_000_000 if training else 1_250_000) if single else (500_000 if training else 0)
    return query.numel() // query.shape[-1] * key.shape[-2] <= limit


def _without_weights(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The same product by kernels that hold only part of the weights at a time.

    The fused product needs query, key and value of one width. If the widths differ, it recomputes the weights for each group of
    values, which costs more than it saves in single precision on a CPU; there `InBlocks` computes the product.
    """
    one_width = query.shape[-1] == value.shape[-1]
    if one_width or value.is_cuda or value.dtype.itemsize == 2 or recording():
        return _fused(query, key, value, scale)
    q, k, v = (x.flatten(0, -3) if x.ndim > 2 else x.unsqueeze(0) for x in (query, key, value))
    return InBlocks.apply(q, k, v, scale).view(*query.shape[:-1], value.shape[-1])


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """torch's fused product, which keeps its logits in float32; zeros appended to query and key change no logit.

    Its kernels need contiguous inputs of one width of at most 256 (otherwise torch silently takes the slow path).
    """
    D, V = query.shape[-1], value.shape[-1]
    width = 256 if V % 256 == 0 and D <= 256 < V else max(D, V)
    groups = max(V // width, 1)
    q, k = (F.pad(x, (0, width - D)).unsqueeze(-3).expand(*x.shape[:-2], groups, -1, -1) for x in (query, key))
    v = F.pad(value, (0, groups * width - V)).unflatten(-1, (groups, width)).transpose(-3, -2)  # (*B, groups, N, width)
    y = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), scale=scale)
    return y.transpose(-3, -2).flatten(-2)[..., :V]
