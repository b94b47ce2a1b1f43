"""Huang, Yuan, Guo, Zhang, Chen, Wang: *Interlaced Sparse Self-Attention for Semantic Segmentation*, arXiv 1907.12273 (in the
journal form part of OCNet, IJCV 2021).

Two sparse attentions replace one dense: first among positions P apart (long range), then within blocks of P x P (short range):

    y = ISA(x) = short(long(x))        u_i = W sum_{j in G(i)} softmax_j(q_i^T k_j / sqrt(D)) v_j        Y = CBR1([y ; x])

where x in R^(C x H' x W') is the map, zero-padded on all sides to multiples of P; each attention is u with its own weights; G(i):
in `long`, the positions whose row and column are those of i modulo P (one of P^2 groups of H'W'/P^2), in `short` those of the
same block (one of H'W'/P^2 groups of P^2); q, k: two 1x1 convolutions with BN and ReLU each, to D = C/2; v: 1x1
convolution, W: 1x1 convolution with BN and ReLU. Every position reaches every other through both. No skip inside.

Cost, with N' = H'W': MACs 2 N' (2 C D + 2 D^2 + 2 C^2) + N' (N'/P^2 + P^2) (D + C); memory N' (N'/P^2 + P^2). `fast` is the same
products on channels-last groups, which need no transposition between convolution and product.

Differences from the paper and from the authors' code: none known in the function. The authors join [x ; y] and have no bias in v,
mmsegmentation joins [y ; x] (ours) and has one: the same up to the order of input channels. Padded positions take part in both
attentions in either code, so also here; `mask_padding=True` gives them no weight (they still count in BN's statistics).

B batch, C channels, D = C/2 projected, P partition, H W feature map, H' W' padded map, G groups, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.layers import (
    Classifier,
    ConvBnRelu,
    Implementation,
    affinity,
    check_option,
    feature_map,
    full_precision,
    positions,
    widen,
)

LATEX = r"""
y = \mathrm{ISA}(x) = \mathrm{short}(\mathrm{long}(x)) \qquad
u_i = W \sum_{j \in G(i)} \mathrm{softmax}_j\Bigl(\frac{q_i^\top k_j}{\sqrt D}\Bigr) v_j \qquad Y = \mathrm{CBR}_1([y ; x])
"""


class GroupAttention(nn.Module):
    """Self-attention within groups, each a small map: W softmax(q k^T / sqrt(D)) v."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        projected = max(channels // 2, 1)
        self.query = nn.Sequential(ConvBnRelu(channels, projected, 1), ConvBnRelu(projected, projected, 1))
        self.key = nn.Sequential(ConvBnRelu(channels, projected, 1), ConvBnRelu(projected, projected, 1))
        self.value = nn.Conv2d(channels, channels, 1)
        self.project = ConvBnRelu(channels, channels, 1)
        self.scale = projected**-0.5

    def weights(
        self, query: Float[Tensor, "*G Q D"], key: Float[Tensor, "*G n D"], real: Bool[Tensor, "*G n"] | None = None
    ) -> Float[Tensor, "*G Q n"]:
        """The affinity of each query with the keys of its group; rows sum to 1. Keys that are not `real` get 0."""
        if real is None:
            return affinity(query, key, self.scale)
        with full_precision(query):
            logits = (widen(query) * self.scale) @ widen(key).transpose(-2, -1)
            # the lowest number instead of -inf: a group of padding only must not become NaN
            return logits.masked_fill(~real.unsqueeze(-2), torch.finfo(logits.dtype).min).softmax(dim=-1)

    def forward(self, x: Float[Tensor, "G C h w"], real: Bool[Tensor, "G n"] | None = None) -> Float[Tensor, "G C h w"]:
        query, key, value = positions(self.query(x)), positions(self.key(x)), positions(self.value(x))  # (G, n, D)
        y = self.weights(query, key, real).to(value.dtype) @ value
        return self.project(feature_map(y, x.shape[-2:]))  # type: ignore[arg-type]


class InterlacedAttention(nn.Module):
    """Long-range, then short-range attention over the interlaced groups of a map."""

    main_map = "composed"

    def __init__(
        self,
        channels: int,
        *,
        partition: tuple[int, int] = (8, 8),
        mask_padding: bool = False,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if min(partition) < 1:
            raise ValueError(
                f"partition={partition} is not possible; use block sizes of 1 or more (the paper's is (8, 8))"
            )
        self.partition, self.mask_padding, self.implementation = partition, mask_padding, implementation
        self.long = GroupAttention(channels)
        self.short = GroupAttention(channels)

    def pad(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C Qh Ph Qw Pw"]:
        """Pad with zeros to multiples of the partition (the smaller half above and left) and cut into blocks."""
        (H, W), (Ph, Pw) = x.shape[-2:], self.partition
        (Qh, Qw), (top, left) = self.layout((H, W))
        whole = F.pad(x, (left, Qw * Pw - W - left, top, Qh * Ph - H - top))
        return whole.unflatten(3, (Qw, Pw)).unflatten(2, (Qh, Ph))

    def layout(self, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The number of blocks (down, across), and how many rows and columns of padding lie above and left of the map."""
        blocks = [(extent + part - 1) // part for extent, part in zip(size, self.partition, strict=True)]
        top, left = ((n * part - extent) // 2 for n, part, extent in zip(blocks, self.partition, size, strict=True))
        if self.in_graph():  # a second block at least
            blocks = [torch.sym_max(n, 2) for n in blocks]
        return (blocks[0], blocks[1]), (top, left)

    def in_graph(self) -> bool:
        """Whether a graph is made that must serve all sizes: torch ties one to a single block, or to more than one."""
        return (
            torch.compiler.is_compiling() and not self.training
        )  # in training a second block would change BN's statistics

    def group(self, x: Tensor, dims: tuple[int, int, int, int, int, int]) -> Float[Tensor, "G C h w"]:
        """Bring the dims (three that number the groups, channels, rows, columns) into this order and join the first three."""
        *number, channels, rows, columns = dims
        if self.implementation == "reference":
            return x.permute(dims).flatten(0, 2)
        return x.permute(*number, rows, columns, channels).flatten(0, 2).permute(0, 3, 1, 2)  # the same, channels-last

    def long_groups(self, x: Float[Tensor, "B C Qh Ph Qw Pw"]) -> Float[Tensor, "B*Ph*Pw C Qh Qw"]:
        """For each offset within a block the positions that have it."""
        return self.group(x, (0, 3, 5, 1, 2, 4))

    def short_groups(self, x: Float[Tensor, "B C Qh Ph Qw Pw"]) -> Float[Tensor, "B*Qh*Qw C Ph Pw"]:
        """The blocks."""
        return self.group(x, (0, 2, 4, 1, 3, 5))

    def real(self, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Which positions of the long and of the short groups are keys; None means all."""
        if self.mask_padding:
            keys = self.pad(torch.ones_like(x[:, :1]))  # (B, 1, Qh, Ph, Qw, Pw)
        elif self.in_graph():  # all but a second block that only the graph has
            (H, W), (Ph, Pw) = x.shape[-2:], self.partition
            own = x.new_ones(x.shape[0], 1, (H + Ph - 1) // Ph * Ph, (W + Pw - 1) // Pw * Pw)
            keys = self.pad(own)
        else:
            return None, None
        return self.long_groups(keys).flatten(1) > 0, self.short_groups(keys).flatten(1) > 0

    def attend_long(self, x: Float[Tensor, "B C H W"], real: Tensor | None) -> Float[Tensor, "B C Qh Ph Qw Pw"]:
        """The long-range attention's result, in blocks."""
        y = self.long(self.long_groups(self.pad(x)), real)  # (B*Ph*Pw, C, Qh, Qw)
        return y.unflatten(0, (-1, *self.partition)).permute(0, 3, 4, 1, 5, 2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        B, C, H, W = x.shape
        long_real, short_real = self.real(x)
        y = self.attend_long(x, long_real)
        Qh, Qw = y.shape[2], y.shape[4]
        y = self.short(self.short_groups(y), short_real)  # (B*Qh*Qw, C, Ph, Pw)
        y = y.unflatten(0, (B, Qh, Qw)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)  # (B, C, H', W')
        _, (top, left) = self.layout((H, W))
        if not self.in_graph():
            return y[:, :, top : top + H, left : left + W]
        rows, columns = (torch.arange(n, device=x.device) + start for n, start in ((H, top), (W, left)))
        return y.index_select(2, rows).index_select(3, columns)  # a slice would tie the graph to one padding

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`long`, `short`: what `pixel` takes within its groups; `composed`: through both, its share in every position."""
        B, _, H, W = x.shape
        long_real, short_real = self.real(x)
        y = self.attend_long(x, long_real)
        Qh, Ph, Qw, Pw = y.shape[2:]
        _, (top, left) = self.layout((H, W))
        row, column = pixel[0] + top, pixel[1] + left
        block, offset = row // Ph * Qw + column // Pw, row % Ph * Pw + column % Pw

        groups = self.short_groups(y).unflatten(0, (B, -1))[:, block]  # (B, C, Ph, Pw): the block of the pixel
        query, key = positions(self.short.query(groups)), positions(self.short.key(groups))  # (B, Ph*Pw, D)
        real = None if short_real is None else short_real.unflatten(0, (B, -1))[:, block]
        short = self.short.weights(query[:, offset, None], key, real).squeeze(1)  # (B, Ph*Pw)

        groups = self.long_groups(self.pad(x))  # (B*Ph*Pw, C, Qh, Qw): each holds one member of that block
        query, key = positions(self.long.query(groups)), positions(self.long.key(groups))  # (B*Ph*Pw, Qh*Qw, D)
        long = self.long.weights(query[:, block, None], key, long_real).unflatten(0, (B, -1)).squeeze(2)

        here = torch.zeros_like(long)  # (B, Ph*Pw, Qh*Qw)
        within_block, within_grid = here.clone(), here
        within_block[:, :, block], within_grid[:, offset] = short, long[:, offset]
        weights = {"long": within_grid, "short": within_block, "composed": short.unsqueeze(2) * long}
        laid_out = {
            name: w.unflatten(2, (Qh, Qw)).unflatten(1, (Ph, Pw)).permute(0, 3, 1, 4, 2).flatten(3).flatten(1, 2)
            for name, w in weights.items()
        }  # (B, H', W')
        return {name: w[:, top : top + H, left : left + W] for name, w in laid_out.items()}


def mechanism(
    channels: int,
    num_classes: int,
    *,
    partition: tuple[int, int] = (8, 8),
    mask_padding: bool = False,
    implementation: Implementation = "auto",
) -> nn.Module:
    """The mechanism for the controlled comparison."""
    return InterlacedAttention(channels, partition=partition, mask_padding=mask_padding, implementation=implementation)


class Head(nn.Module):
    """ISANet: interlaced attention on a reduced map, joined with it and classified."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    own_auxiliary = False
    family = "sparse"
    growth = (2, 2)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        partition: tuple[int, int] = (8, 8),
        mask_padding: bool = False,
        dropout: float = 0.1,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = InterlacedAttention(
            channels, partition=partition, mask_padding=mask_padding, implementation=implementation
        )
        self.fuse = ConvBnRelu(2 * channels, channels, 1)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = self.reduce(features[-1])
        return {"out": self.classify(self.fuse(self.attention(x), x))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`long`, `short` and `composed` (B, H, W): what `pixel` = (row, column) takes in each stage and through both."""
        return self.attention.maps(self.reduce(features[-1]), pixel)
