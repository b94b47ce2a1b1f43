"""What heads share: the convolutions around a mechanism, resizing, and the attention product.

The study's heads differ in their mechanism, and most of them put it into the same surroundings (`Sandwich`). Nothing in this
file knows any mechanism.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Implementation = Literal["auto", "reference", "fast"]
LEAST = -46.0  # logit below the highest, weight 1e-20, from which on weights do not count; see `cut_off`


class ConvBnRelu(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; `same` padding, He initialisation (fan out)."""

    implementation: Implementation = "auto"

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, *maps: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C h w"]:
        """Of one map, or of several joined by channels."""
        if len(maps) > 1 and self.apart(maps):
            return self.relu(self.bn(self.sum_of_convolutions(maps)))
        return self.relu(self.bn(self.conv(maps[0] if len(maps) == 1 else torch.cat(maps, dim=1))))

    def apart(self, maps: Sequence[Tensor]) -> bool:
        """Whether to convolve each map alone: where a joined copy would be several times the copies of the weights' parts."""
        if self.implementation == "reference" or torch.compiler.is_compiling():
            return False
        return sum(x.numel() for x in maps) > 4 * self.conv.weight.numel()

    def sum_of_convolutions(self, maps: Sequence[Tensor]) -> Float[Tensor, "B C h w"]:
        """The convolution of the joined maps without joining them."""
        conv = self.conv
        first, *others = zip(maps, conv.weight.split([x.shape[1] for x in maps], dim=1), strict=True)
        y = F.conv2d(*first, conv.bias, conv.stride, conv.padding)
        for x, weight in others:
            y = y + F.conv2d(x, weight, None, conv.stride, conv.padding)
        return y


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
        context = self.refine(context)
        return self.classify(self.fuse(x, context))


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
    query: Float[Tensor, "*B Q D"], key: Float[Tensor, "*B N D"], scale: float = 1.0, *, cut: bool = False
) -> Float[Tensor, "*B Q N"]:
    """`softmax(scale q k^T)` over the keys: rows sum to 1. In float32 also under autocast, since logits may be unscaled."""
    with full_precision(query):
        logits = (widen(query) * scale) @ widen(key).transpose(-2, -1)
        return (cut_off(logits) if cut else logits).softmax(dim=-1)


def cut_off(logits: Float[Tensor, "*B Q N"]) -> Float[Tensor, "*B Q N"]:
    """Logits below the highest of their row, in place; those by more than 46, a weight of 1e-20 that no sum notices, -inf.

    Softmax of unscaled logits leaves numbers below float32's normal range, 1e-38, and a product that meets some of them is up to
    fifty times slower on a CPU; in the backward pass already weights of 1e-30 make such, with gradients of 1e-9.
    """
    if not logits.is_cuda:
        values = logits.detach()  # nothing to record: with a weight of 0 the softmax's own gradient is 0
        F.threshold(values.sub_(values.amax(dim=-1, keepdim=True)), LEAST, float("-inf"), inplace=True)
    return logits


def attend(
    query: Float[Tensor, "*B Q D"],
    key: Float[Tensor, "*B N D"],
    value: Float[Tensor, "*B N V"],
    *,
    scale: float = 1.0,
    implementation: Implementation = "auto",
) -> Float[Tensor, "*B Q V"]:
    """`softmax(scale q k^T) v`: written out, or so that the Q x N weights are never stored, in training neither.

    The fused product wants query, key and value of one width; where they differ it serves groups of values, at the price of
    computing the weights once for each. In single precision on a CPU that costs more than it saves: there `InBlocks`.
    """
    if writes_out(implementation, pays=_few(query, key)):
        return affinity(query, key, scale, cut=implementation == "auto").to(value.dtype) @ value
    one_width = query.shape[-1] == value.shape[-1]
    if one_width or value.is_cuda or value.dtype.itemsize == 2 or torch.compiler.is_compiling():
        return _fused(query, key, value, scale)
    q, k, v = (x.flatten(0, -3) if x.ndim > 2 else x.unsqueeze(0) for x in (query, key, value))
    return InBlocks.apply(q, k, v, scale).view(*query.shape[:-1], value.shape[-1])


def writes_out(implementation: Implementation, *, pays: bool) -> bool:
    """Whether to take the equation written out: auto does where it pays, but in graphs, which serve all sizes, never."""
    if implementation != "auto" or torch.compiler.is_compiling():
        return implementation == "reference"
    return pays


def _few(query: Tensor, key: Tensor) -> bool:
    """Whether the weights are so few that a CPU's cache holds them, and to write them out is the fastest."""
    if query.is_cuda:
        return False
    training, single = (
        torch.is_grad_enabled(),
        query.dtype.itemsize > 2,
    )  # in half precision the fused product is far ahead
    limit = (2_000_000 if training else 1_250_000) if single else (500_000 if training else 0)
    return query.numel() // query.shape[-1] * key.shape[-2] <= limit


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """By the fused product, which keeps its logits in float32 inside.

    Its kernels want contiguous inputs of one width of at most 256 (else torch silently takes the slow path): values in groups,
    query and key widened by zeros.
    """
    D, V = query.shape[-1], value.shape[-1]
    width = 256 if V % 256 == 0 and D <= 256 < V else max(D, V)
    groups = max(V // width, 1)
    q, k = (F.pad(x, (0, width - D)).unsqueeze(-3).expand(*x.shape[:-2], groups, -1, -1) for x in (query, key))
    v = F.pad(value, (0, groups * width - V)).unflatten(-1, (groups, width)).transpose(-3, -2)  # (*B, groups, N, width)
    y = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous(), scale=scale)
    return y.transpose(-3, -2).flatten(-2)[..., :V]


class InBlocks(torch.autograd.Function):
    """`softmax(scale q k^T) v` a block of queries at a time; the backward pass computes the weights again.

    With P = softmax(scale q k^T), y = P v and g the gradient of y: dv = P^T g, and the logits' gradient is
    P * (g v^T - sum(g * y)), since the rows of P sum to 1 (Dao et al., FlashAttention, arXiv 2205.14135, appendix B).
    """

    BLOCK = 256  # queries at a time: their weights stay in the processor's cache

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(B, Q, D), (B, N, D), (B, N, V) to (B, Q, V)."""
        y = query.new_empty(*query.shape[:2], value.shape[2])
        total = query.new_empty(*query.shape[:2], 1)  # log of the softmax's denominators
        (buffer,) = InBlocks.buffers(query, key, 1)
        for b, block in InBlocks.blocks(query):
            q = query[b, block] * scale
            logits = torch.mm(q, key[b].T, out=buffer[: len(q)])
            highest = logits.amax(1, keepdim=True)
            denominator = logits.sub_(highest).clamp_(LEAST).exp_().sum(1, keepdim=True)
            torch.mm(logits, value[b], out=y[b, block]).div_(denominator)
            total[b, block] = highest + denominator.log_()
        ctx.save_for_backward(query, key, value, y, total)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, y, total = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        gy = (g * y).sum(2, keepdim=True)
        buffer, d_buffer = InBlocks.buffers(query, key, 2)
        for b, block in InBlocks.blocks(query):
            q, g_block = query[b, block] * ctx.scale, g[b, block]
            weights = torch.mm(q, key[b].T, out=buffer[: len(q)]).sub_(total[b, block]).clamp_(LEAST).exp_()
            dv[b].addmm_(weights.T, g_block)
            d_logits = torch.mm(g_block, value[b].T, out=d_buffer[: len(q)]).sub_(gy[b, block]).mul_(weights)
            torch.mm(d_logits, key[b], out=dq[b, block])
            dk[b].addmm_(d_logits.T, q)
        return dq.mul_(ctx.scale), dk, dv, None

    @staticmethod
    def buffers(query: Tensor, key: Tensor, number: int) -> list[Tensor]:
        """Room for the weights of one block, used again for each: to give out fresh memory takes a system long."""
        return [query.new_empty(InBlocks.BLOCK, key.shape[1]) for _ in range(number)]

    @staticmethod
    def blocks(query: Tensor) -> Iterator[tuple[int, slice]]:
        """Every sample's blocks of queries."""
        for b in range(query.shape[0]):
            for start in range(0, query.shape[1], InBlocks.BLOCK):
                yield b, slice(start, start + InBlocks.BLOCK)


def check_option(name: str, value: object, allowed: object) -> None:
    """Raise ValueError unless `value` is one of the strings of a `Literal`."""
    if value not in get_args(allowed):
        raise ValueError(f"{name}={value!r} is not known; use one of {', '.join(map(repr, get_args(allowed)))}")
