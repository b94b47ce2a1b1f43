"""Hassani, Walton, Li, Li, Shi: *Neighborhood Attention Transformer*, CVPR 2023, arXiv 2204.07143.

Every position attends to a window around it; at the border the window is moved inwards, so that it keeps its size:

    y_i = sum_{j in rho(i)} softmax_{j in rho(i)}(q_i^T k_j / sqrt(d) + b_{j-i}) v_j        z_i = x_i + BN(W y_i)

where x_i in R^C is the feature at position i; q, k, v: 1x1 convolutions to C channels, in h heads of d = C/h = 32; b: a learnt
table of (2K-1) x (2K-1) values for each head; W: 1x1 convolution; rho(i): K x K positions, K = 7. Along an axis of length L
it starts at min(max(i - floor(K/2), 0), L - K). With `dilation` e (DiNAT, arXiv 2209.15001) the same holds among the
ceil((L - g)/e) positions whose index leaves the remainder g = i mod e. On a map that is smaller, rho(i) is what there is of it.

Cost: MACs 4 N C^2 + 2 N K^2 C; memory h N K^2 for the weights, N K^2 C for the windows of k and v. `fast` attends from tiles of
8 x 8 positions to the (7 + K) x (7 + K) that their windows cover, the others masked; on a CPU it stores neither of the two.

Differences from the paper and from the authors' code: they put it into a transformer backbone, after layer norm; here it is
between 3x3 convolutions, and the scale of BN starts at 0. Later versions have no `bias` and refuse maps smaller than K e.

B batch, C channels, h heads of d channels, K window, H W feature map, N = H*W, K classes in the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.in_tiles import InTiles
from segattn.heads.parts.layers import Sandwich, in_pieces, recording, refuse_frozen_sizes, start_small
from segattn.heads.parts.tiles import attend_in_tiles

LATEX = r"""
y_i = \sum_{j \in \rho(i)} \mathrm{softmax}_{j \in \rho(i)}\Bigl(\frac{q_i^\top k_j}{\sqrt d} + b_{j-i}\Bigr)\, v_j \qquad
z_i = x_i + \mathrm{BN}(W y_i)
"""

Window = tuple[Tensor, Tensor, Tensor]


class NeighborhoodAttention(nn.Module):
    """x + BN(W y). `auto` is `fast`."""

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        dilation: int = 1,
        num_heads: int | None = None,
        bias: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if kernel_size < 1 or dilation < 1:
            raise ValueError(f"{kernel_size=} and {dilation=}: use at least 1 of each")
        num_heads = max(channels // 32, 1) if num_heads is None else num_heads
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide the {channels} channels; use a divisor")
        self.kernel_size, self.dilation, self.num_heads = kernel_size, dilation, num_heads
        self.implementation = implementation
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        start_small(self)
        table = torch.empty(num_heads, 2 * kernel_size - 1, 2 * kernel_size - 1)
        self.table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02)) if bias else None

    def window(self, extent: int, like: Tensor) -> Window:
        """Of every index of an axis: the members (L, K) of its window, which of them exist, and their rows in the table."""
        K, at = self.kernel_size, torch.arange(extent, device=like.device)
        remainder, own = at % self.dilation, at // self.dilation
        length = (extent - remainder + self.dilation - 1) // self.dilation
        start = torch.minimum((own - K // 2).clamp_min(0), (length - K).clamp_min(0))
        slots = start.unsqueeze(1) + torch.arange(K, device=like.device)  # (L, K)
        members = (remainder.unsqueeze(1) + self.dilation * slots).clamp_max(extent - 1)
        return members, slots < length.unsqueeze(1), (slots - own.unsqueeze(1) + K - 1).clamp_max(2 * K - 2)

    def heads(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h d H W"]:
        """In float32 also under autocast."""
        return widen(x).unflatten(1, (self.num_heads, -1))

    def weights(self, query: Tensor, key: Tensor, rows: Window, columns: Window) -> Float[Tensor, "B h I J K K"]:
        """Of queries (B, h, d, I, J) over the members of their windows: they sum to 1."""
        logits = torch.einsum("bhdij,bhdirjc->bhijrc", query * query.shape[2] ** -0.5, _members(key, rows, columns))
        if self.table is not None:
            logits = logits + widen(self.table)[:, rows[2][:, None, :, None], columns[2][:, None, :]]
        exists = rows[1][:, None, :, None] & columns[1][:, None, :]  # (I, J, K, K)
        return logits.masked_fill(~exists, float("-inf")).flatten(4).softmax(dim=4).unflatten(4, (self.kernel_size, -1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        x = _in_layout(self, x)
        query, key, value = (self.heads(layer(x)) for layer in (self.query, self.key, self.value))
        with full_precision(x):
            if self.implementation != "reference":
                y = _tiled(self, query, key, value)
            else:
                windows = self.window(x.shape[2], x), self.window(x.shape[3], x)
                y = torch.einsum("bhijrc,bhdirjc->bhdij", self.weights(query, key, *windows), _members(value, *windows))
        return x + self.bn(self.project(y.flatten(1, 2).to(x.dtype)))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`affinity`: the weights of `pixel`, mean over heads; 0 outside its window."""
        return {"affinity": _affinity(self, x, pixel)}


# The same, faster


def _members(x: Float[Tensor, "B h d H W"], rows: Window, columns: Window) -> Float[Tensor, "B h d I K J K"]:
    """The values of every window; K^2 times the map."""
    return x[:, :, :, rows[0]][..., columns[0]]


def _affinity(
    block: NeighborhoodAttention, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]
) -> Float[Tensor, "B H W"]:
    """The window of one pixel alone, put onto a map of zeros: those of all pixels would be N K^2 C numbers."""
    axes = zip(pixel, x.shape[-2:], strict=True)
    windows = [[part[at : at + 1] for part in block.window(extent, x)] for at, extent in axes]
    query = block.heads(block.query(x)[:, :, pixel[0], pixel[1], None, None])
    weights = block.weights(query, block.heads(block.key(x)), *windows)[:, :, 0, 0].mean(dim=1)  # type: ignore[arg-type]
    rows, columns = (
        F.one_hot(window[0][0], extent).to(weights.dtype) for window, extent in zip(windows, x.shape[-2:], strict=True)
    )  # (K, H), (K, W)
    return rows.T @ weights @ columns


def _in_layout(block: NeighborhoodAttention, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Channels-last for the form that cuts tiles out of the map: the layout changes, the numbers do not."""
    return x.contiguous(memory_format=torch.channels_last) if in_pieces(block.implementation, x) else x


def _tiled(block: NeighborhoodAttention, query: Tensor, key: Tensor, value: Tensor) -> Float[Tensor, "B h d H W"]:
    """Dense attention from each tile to what its windows cover, with all else masked: softmax makes it 0."""
    table = None if block.table is None else widen(block.table)
    if in_pieces(block.implementation, query[:, 0]):
        by_position = (x.permute(0, 3, 4, 1, 2).contiguous() for x in (query, key, value))  # (B, H, W, h, d)
        return InTiles.apply(*by_position, table, block.kernel_size, block.dilation).permute(0, 3, 4, 1, 2)
    refuse_frozen_sizes("neighborhood", by_trace=False)
    if recording():  # torch.export makes the strides of channels-last maps a condition on the width
        query, key, value = (x.contiguous() for x in (query, key, value))
    return attend_in_tiles(query, key, value, table, block.kernel_size, block.dilation)


# The head


class Head(nn.Module):
    """Neighborhood attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = NeighborhoodAttention
    family = "window"
    growth = (1, 1)
    gates = ("bn.weight",)
    without_attention = "identity"
    no_weight_decay = ("attention.table",)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = NeighborhoodAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity` (B, H, W): how much `pixel` = (row, column) takes from every position of its window."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
