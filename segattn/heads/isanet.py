"""Huang, Yuan, Guo, Zhang, Chen, Wang: *Interlaced Sparse Self-Attention for Semantic Segmentation*, arXiv 1907.12273 (in the
journal form part of OCNet, IJCV 2021).

Two sparse attentions replace one dense: first among positions P apart (long range), then within blocks of P x P (short range):

    y = ISA(x) = short(long(x))        u_i = W sum_{j in G(i)} softmax_j(q_i^T k_j / sqrt(D)) v_j        Y = CBR1([y ; x])

where x in R^(C x H' x W') is the map, zero-padded on all sides to multiples of P; each attention is u with its own weights; G(i):
in `long` the positions whose row and column are those of i modulo P (P^2 groups of H'W'/P^2), in `short` those of the same block
(H'W'/P^2 groups of P^2); q, k: two CBR1 (1x1 convolution, BN, ReLU) each, to D = C/2; v: 1x1 convolution; W: CBR1. No skip.

Cost, with N' = H'W': MACs 2 N' (2 C D + 2 D^2 + 2 C^2) + N' (N'/P^2 + P^2) (D + C); memory N' (N'/P^2 + P^2).

Differences from the paper and from the authors' code: none known in the function. The authors join [x ; y] and have no bias in v,
mmsegmentation joins [y ; x] (as this file) and has one: the same up to the order of input channels. In both codes, and here,
padded positions take part in both attentions; `mask_padding=True` gives them no weight (they still count in BN's statistics).

B batch, C channels, D = C/2 projected, P partition, H W feature map, H' W' padded map, G groups, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, check_option
from segattn.heads.parts.layers import Classifier, ConvBnRelu, feature_map, positions
from segattn.heads.parts.partition import into_blocks, layout, out_of_blocks
from segattn.heads.parts.recording import unflatten

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

    def weights(self, query: Float[Tensor, "*G Q D"], key: Float[Tensor, "*G n D"], real: Tensor | None) -> Tensor:
        """The affinity of each query with the keys of its group; rows sum to 1. Keys that are not `real` get 0."""
        return affinity(query, key, self.scale, real=real)

    def forward(self, x: Float[Tensor, "G C h w"], real: Tensor | None = None) -> Float[Tensor, "G C h w"]:
        query, key, value = positions(self.query(x)), positions(self.key(x)), positions(self.value(x))  # (G, n, D)
        y = self.weights(query, key, real).to(value.dtype) @ value
        return self.project(feature_map(y, x.shape[-2:]))  # type: ignore[arg-type]


class InterlacedAttention(nn.Module):
    """Long-range, then short-range attention over the interlaced groups of a map. `auto` always is `fast`."""

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
            raise ValueError(f"partition={partition} is not possible; use block sizes of 1 or more, as in (8, 8)")
        self.partition, self.mask_padding, self.implementation = partition, mask_padding, implementation
        self.long, self.short = GroupAttention(channels), GroupAttention(channels)

    def pad(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C Qh Ph Qw Pw"]:
        """Pad with zeros to multiples of the partition (the smaller half above and left) and cut into blocks."""
        return into_blocks(x, self.partition, graph=_in_graph(self))

    def long_groups(self, blocks: Float[Tensor, "B C Qh Ph Qw Pw"]) -> Float[Tensor, "B*Ph*Pw C Qh Qw"]:
        """For each offset within a block the positions that have it."""
        return _joined(self, blocks.permute(0, 3, 5, 1, 2, 4))

    def short_groups(self, blocks: Float[Tensor, "B C Qh Ph Qw Pw"]) -> Float[Tensor, "B*Qh*Qw C Ph Pw"]:
        """The blocks."""
        return _joined(self, blocks.permute(0, 2, 4, 1, 3, 5))

    def attend_long(self, x: Float[Tensor, "B C H W"], real: Tensor | None) -> Float[Tensor, "B C Qh Ph Qw Pw"]:
        """The long-range attention's result, in blocks."""
        y = self.long(self.long_groups(self.pad(x)), real)  # (B*Ph*Pw, C, Qh, Qw)
        return unflatten(y, 0, (-1, *self.partition)).permute(0, 3, 4, 1, 5, 2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        long_real, short_real = _real(self, x)  # which positions are keys: all, unless mask_padding
        y = self.attend_long(x, long_real)
        Qh, Qw = y.shape[2], y.shape[4]
        y = unflatten(self.short(self.short_groups(y), short_real), 0, (-1, Qh, Qw))  # (B, Qh, Qw, C, Ph, Pw)
        return out_of_blocks(y.permute(0, 3, 1, 4, 2, 5), x.shape[-2:], graph=_in_graph(self))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`long`, `short`: what `pixel` takes within its groups; `composed`: through both, its share in every position."""
        return _maps(self, x, pixel)


# The same, faster


def _joined(block: InterlacedAttention, groups: Float[Tensor, "*G C h w"]) -> Float[Tensor, "G C h w"]:
    """The groups as a batch; in `fast` channels-last, so that nothing is transposed between convolution and product."""
    if block.implementation == "reference":
        return groups.flatten(0, 2)
    return groups.permute(0, 1, 2, 4, 5, 3).flatten(0, 2).permute(0, 3, 1, 2)


def _in_graph(block: InterlacedAttention) -> bool:
    """Whether a graph must serve all sizes: see `partition`; in training BN would see the second block."""
    return torch.compiler.is_compiling() and not block.training


def _real(block: InterlacedAttention, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Which positions of the long and of the short groups are keys, None for all: never a block that only a graph has."""
    if not (block.mask_padding or _in_graph(block)):
        return None, None
    (H, W), (Ph, Pw) = x.shape[-2:], block.partition
    size = (H, W) if block.mask_padding else ((H + Ph - 1) // Ph * Ph, (W + Pw - 1) // Pw * Pw)
    keys = block.pad(x.new_ones(x.shape[0], 1, *size))  # (B, 1, Qh, Ph, Qw, Pw)
    return block.long_groups(keys).flatten(1) > 0, block.short_groups(keys).flatten(1) > 0


def _maps(block: InterlacedAttention, x: Tensor, pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
    """The rows of one pixel, from the groups that reach it: those of all pixels would be N' (N'/P^2 + P^2) numbers."""
    long_real, short_real = _real(block, x)
    y = block.attend_long(x, long_real)
    B, _, Qh, Ph, Qw, Pw = y.shape
    _, (top, left) = layout(x.shape[-2:], block.partition)
    row, column = pixel[0] + top, pixel[1] + left
    index, offset = row // Ph * Qw + column // Pw, row % Ph * Pw + column % Pw

    groups = block.short_groups(y).unflatten(0, (B, -1))[:, index]  # (B, C, Ph, Pw): the block of the pixel
    query, key = positions(block.short.query(groups)), positions(block.short.key(groups))  # (B, Ph*Pw, D)
    real = None if short_real is None else short_real.unflatten(0, (B, -1))[:, index]
    short = block.short.weights(query[:, offset, None], key, real).squeeze(1)  # (B, Ph*Pw)

    groups = block.long_groups(block.pad(x))  # (B*Ph*Pw, C, Qh, Qw): each holds one member of that block
    query, key = positions(block.long.query(groups)), positions(block.long.key(groups))  # (B*Ph*Pw, Qh*Qw, D)
    long = block.long.weights(query[:, index, None], key, long_real).unflatten(0, (B, -1)).squeeze(2)

    here = torch.zeros_like(long)  # (B, Ph*Pw, Qh*Qw)
    within_block, within_grid = here.clone(), here
    within_block[:, :, index], within_grid[:, offset] = short, long[:, offset]
    weights = {"long": within_grid, "short": within_block, "composed": short.unsqueeze(2) * long}
    blocks = {
        name: w.unflatten(2, (Qh, Qw)).unflatten(1, (Ph, Pw)).permute(0, 3, 1, 4, 2).unsqueeze(1)
        for name, w in weights.items()
    }  # (B, 1, Qh, Ph, Qw, Pw)
    return {name: out_of_blocks(w, x.shape[-2:]).squeeze(1) for name, w in blocks.items()}


# The head


class Head(nn.Module):
    """ISANet: interlaced attention on a reduced map, joined with it and classified."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = InterlacedAttention
    family = "grouped"
    growth = (2, 2)
    main_map = "composed"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = InterlacedAttention,
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.fuse = ConvBnRelu(2 * channels, channels, 1)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = self.reduce(features[-1])
        return {"out": self.classify(self.fuse(self.attention(x), x))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`long`, `short` and `composed` (B, H, W): what `pixel` = (row, column) takes in each stage and through both."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
