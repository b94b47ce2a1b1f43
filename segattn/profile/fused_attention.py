"""The memory of fused attention: kernels keep the output and one logarithm per query, and never store the weights.

    out = softmax(scale q k^T) v        lse_i = log sum_j exp(scale q_i^T k_j)

Whether torch uses such a kernel depends on shapes and types; otherwise it computes the product step by step, with the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def attend(
    device: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention` in the form that torch uses on `device` ("cpu" or "cuda")."""
    if torch.is_autocast_enabled("cpu"):  # autocast computes the product in the lower precision on both devices
        query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
    if attn_mask is None and not enable_gqa and is_fused(device, query, key, value, dropout_p):
        return _Fused.apply(query, key, value, device)
    return torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]


def is_fused(device: str, query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0) -> bool:
    """Whether torch has a fused kernel for these, by the rules of its `sdp_utils`.

    CPU: queries, keys and values of one width. CUDA: flash attention for half precision, one width of at most 256; the
    memory-efficient kernel for widths that are multiples of 16 bytes.
    """
    widths = {x.shape[-1] for x in (query, key, value)}
    if query.ndim != 4:
        return False
    if device == "cpu":
        return len(widths) == 1 and dropout_p == 0.0 and all(x.stride(-1) == 1 for x in (query, key, value))
    flash = query.element_size() == 2 and len(widths) == 1 and max(widths) <= 256
    return flash or (query.element_size() <= 4 and all(width * query.element_size() % 16 == 0 for width in widths))


class _Fused(torch.autograd.Function):
    """Allocates the same tensors as the kernel."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, device: str) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        logarithms = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, logarithms)
        ctx.device = device
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, logarithms = ctx.saved_tensors
        held = [torch.empty_like(logarithms)]  # the sum of out * grad for each query
        if ctx.device == "cuda" and query.element_size() == 2:
            held.append(query.new_empty(query.shape, dtype=torch.float32))  # gradients of queries add up in float32
        gradients = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        del held
        return (*gradients, None)
