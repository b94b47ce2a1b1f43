"""What heads share: the convolutions around a mechanism, resizing, and the attention product.

The study's heads differ in their mechanism, and most of them put it into the same surroundings (`Sandwich`). Nothing in this
file knows any mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Implementation = Literal["auto", "reference", "fast"]


class ConvBnRelu(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; `same` padding, He initialisation (fan out)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")


class Classifier(nn.Sequential):
    """Channel dropout and a 1x1 convolution to class logits, initialised N(0, 0.01)."""

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.conv = nn.Conv2d(in_channels, num_classes, 1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]


class Sandwich(nn.Module):
    """The convolutions around a mechanism: 3x3 before it, 3x3 after it, 3x3 over `[X ; context]`, classifier.

    X (B, in_channels, H, W) -> `before` -> F (B, channels, H, W) -> mechanism -> `after` -> logits (B, K, H, W).
    As in the public heads of Non-Local, DNLNet and CCNet, and the surroundings of every mechanism in the controlled study.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels, channels)
        self.refine = ConvBnRelu(channels, channels)
        self.fuse = ConvBnRelu(in_channels + channels, channels)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def before(self, x: Float[Tensor, "B X H W"]) -> Float[Tensor, "B C H W"]:
        """Reduce the backbone's map to the mechanism's width."""
        return self.reduce(x)

    def after(self, x: Float[Tensor, "B X H W"], context: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """Refine the mechanism's output, join it with the backbone's map, classify."""
        return self.classify(self.fuse(torch.cat([x, self.refine(context)], dim=1)))


def resize(x: Float[Tensor, "B C h w"], size: Sequence[int]) -> Float[Tensor, "B C H W"]:
    """Resize bilinearly with aligned corners; no look whether the size is the same, which torch.export could not decide."""
    return F.interpolate(x, list(size), mode="bilinear", align_corners=True)


def positions(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N C"]:
    """Lay a map out as a contiguous sequence of positions (no copy where the map is channels-last)."""
    return x.flatten(2).transpose(1, 2).contiguous()


def feature_map(x: Float[Tensor, "B N C"], size: tuple[int, int]) -> Float[Tensor, "B C H W"]:
    """Undo `positions`."""
    return x.transpose(1, 2).unflatten(2, size)


def widen(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of `x`, for arithmetic that half precision would overflow."""
    available = torch.amp.is_autocast_available(x.device.type)  # not on meta
    return torch.autocast(x.device.type, enabled=False) if available else nullcontext()


def affinity(
    query: Float[Tensor, "*B Q D"], key: Float[Tensor, "*B N D"], scale: float = 1.0
) -> Float[Tensor, "*B Q N"]:
    """`softmax(scale q k^T)` over the keys: rows sum to 1. In float32 also under autocast, since logits may be unscaled."""
    with full_precision(query):
        return ((widen(query) * scale) @ widen(key).transpose(-2, -1)).softmax(dim=-1)


def attend(
    query: Float[Tensor, "*B Q D"],
    key: Float[Tensor, "*B N D"],
    value: Float[Tensor, "*B N V"],
    *,
    scale: float = 1.0,
    fast: bool = True,
) -> Float[Tensor, "*B Q V"]:
    """`softmax(scale q k^T) v`: written out, or fused so that the Q x N weights are never stored.

    The fused product keeps its logits in float32 inside. It needs contiguous inputs: with strided ones torch silently takes
    the slow path.
    """
    if not fast:
        return affinity(query, key, scale).to(value.dtype) @ value
    q, k, v = query.unsqueeze(-3), key.unsqueeze(-3), value.unsqueeze(-3)  # one attention head
    return F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), scale=scale).squeeze(-3)


def check_option(name: str, value: object, allowed: object) -> None:
    """Raise ValueError unless `value` is one of the strings of a `Literal`."""
    if value not in get_args(allowed):
        raise ValueError(f"{name}={value!r} is not known; use one of {', '.join(map(repr, get_args(allowed)))}")
