"""Yin, Yao, Cao, Li, Zhang, Lin, Hu: *Disentangled Non-Local Neural Networks*, ECCV 2020, arXiv 2006.06668.

The non-local affinity mixes what a pair has in common with what makes a position salient to all; here each has its softmax:

    y_i = sum_j [ softmax_j((q_i - mean q)^T (k_j - mean k) / tau') + softmax_j(m_j) ] v_j        z_i = x_i + BN(W y_i)

where x_i in R^C is the feature at position i = 1..N; q, k, v (paper: W_q x, W_k x, g): 1x1 convolutions to D = C/2 channels, v to
V; mean: over positions, per channel; m: 1x1 convolution to one channel (unary term); tau' = sqrt(D) tau; W: 1x1 convolution.

Cost: MACs N C (2 D + V + 1) + N^2 (D + V) + N V, and N V C with W; memory N^2, N (D + V) with the fused product (`fast`). The
unary term is one vector for all positions.

Differences from the paper and from the authors' code: two forms are in use, a preset each; every switch can also be set alone.

                     "mmseg" (default: its checkpoints fit)            "official" (the authors' Cityscapes and ADE20K settings)
    value, W         V = C/2 with bias; W and BN, whose scale          V = C without bias; no W (`out_conv=False`)
                     starts at 0: starts as the identity
    whitening        "channel": as the equation                        "scalar": one mean over channels and positions, which
                                                                       leaves part of the unary term in the pairwise one
    scale, tau       1/sqrt(D), 0.05                                   none, 1: queries and keys learn it, without weight decay
    gamma            none                                              scalar on the pairwise term, starts at 0; the unary
                                                                       term is active from the start

mmsegmentation, too, exempts queries and keys from weight decay (`no_weight_decay`). Some of the authors' configurations ask for
whitening "channel" of a block that does not know it and so, silently, have none: `whitening="none"`.

B batch, C channels, D = C/2 projected, V value channels, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.layers import (
    Implementation,
    Sandwich,
    affinity,
    attend,
    check_option,
    feature_map,
    positions,
    widen,
)

LATEX = r"""
y_i = \sum_j \Bigl[\mathrm{softmax}_j\Bigl(\frac{(q_i - \bar q)^\top (k_j - \bar k)}{\tau'}\Bigr)
+ \mathrm{softmax}_j(m_j)\Bigr] v_j \qquad
z_i = x_i + \mathrm{BN}(W y_i)
"""

Preset = Literal["mmseg", "official"]
Whitening = Literal["channel", "scalar", "none"]


class DisentangledNonLocal(nn.Module):
    """The disentangled non-local block; a switch that is None is as in the preset."""

    def __init__(
        self,
        channels: int,
        *,
        preset: Preset = "mmseg",
        whitening: Whitening | None = None,
        scale: bool | None = None,
        temperature: float | None = None,
        out_conv: bool | None = None,
        value_channels: int | None = None,
        gamma: bool | None = None,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("preset", preset, Preset)
        check_option("implementation", implementation, Implementation)
        mmseg = preset == "mmseg"
        self.whitening = whitening or ("channel" if mmseg else "scalar")
        check_option("whitening", self.whitening, Whitening)
        self.implementation = implementation
        projected = max(channels // 2, 1)
        out_conv = mmseg if out_conv is None else out_conv
        value_channels = value_channels or (projected if out_conv else channels)
        if not out_conv and value_channels != channels:
            raise ValueError(
                f"value_channels={value_channels} needs out_conv=True, or {channels} as the map itself has"
            )
        temperature = (0.05 if mmseg else 1.0) if temperature is None else temperature
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} is not possible; use a positive one (the paper's is 0.05)")
        self.scale = (projected**-0.5 if (mmseg if scale is None else scale) else 1.0) / temperature
        self.query = nn.Conv2d(channels, projected, 1)
        self.key = nn.Conv2d(channels, projected, 1)
        self.value = nn.Conv2d(channels, value_channels, 1, bias=out_conv)
        self.unary = nn.Conv2d(channels, 1, 1)
        self.project = nn.Conv2d(value_channels, channels, 1, bias=False) if out_conv else nn.Identity()
        self.bn = nn.BatchNorm2d(channels) if out_conv else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(())) if (not mmseg if gamma is None else gamma) else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.weight)  # the block starts as the identity

    def whiten(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        """Queries or keys without their mean; a sum over positions would overflow in half precision."""
        if self.whitening == "none":
            return x
        over = (2, 3) if self.whitening == "channel" else (1, 2, 3)
        return (widen(x) - widen(x).mean(dim=over, keepdim=True)).to(x.dtype)

    def pairwise_weights(self, query: Float[Tensor, "B Q D"], key: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """The affinity of whitened queries and keys; rows sum to 1."""
        return affinity(query, key, self.scale)

    def unary_weights(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 N"]:
        """How salient each position is to all others; sums to 1."""
        return widen(self.unary(x)).flatten(2).softmax(dim=2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        query, key = positions(self.whiten(self.query(x))), positions(self.whiten(self.key(x)))  # (B, N, D)
        value = positions(self.value(x))  # (B, N, V)
        y = attend(query, key, value, scale=self.scale, implementation=self.implementation)
        if self.gamma is not None:
            y = self.gamma.to(y.dtype) * y
        y = y + self.unary_weights(x).to(value.dtype) @ value  # (B, N, V) + (B, 1, V)
        return x + self.bn(self.project(feature_map(y, x.shape[-2:])))  # type: ignore[arg-type]

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`pairwise`: the row of the pairwise affinity that belongs to `pixel`; `unary`: the same for every pixel."""
        query = self.whiten(self.query(x))[:, :, pixel[0], pixel[1], None, None]  # (B, D, 1, 1)
        row = self.pairwise_weights(positions(query), positions(self.whiten(self.key(x))))  # (B, 1, N)
        size = x.shape[-2:]
        return {
            "pairwise": row.unflatten(2, size).squeeze(1),
            "unary": self.unary_weights(x).unflatten(2, size).squeeze(1),
        }


def mechanism(
    channels: int,
    num_classes: int,
    *,
    preset: Preset = "mmseg",
    whitening: Whitening | None = None,
    implementation: Implementation = "auto",
) -> nn.Module:
    """The mechanism for the controlled comparison."""
    return DisentangledNonLocal(channels, preset=preset, whitening=whitening, implementation=implementation)


class Head(nn.Module):
    """DNLNet: the disentangled block between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    own_auxiliary = False
    family = "pairwise"
    growth = (2, 2)
    gates = ("gamma",)
    no_weight_decay: ClassVar[tuple[str, ...]] = ("attention.query", "attention.key")

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        preset: Preset = "mmseg",
        whitening: Whitening | None = None,
        scale: bool | None = None,
        temperature: float | None = None,
        out_conv: bool | None = None,
        value_channels: int | None = None,
        gamma: bool | None = None,
        dropout: float = 0.1,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = DisentangledNonLocal(
            channels,
            preset=preset,
            whitening=whitening,
            scale=scale,
            temperature=temperature,
            out_conv=out_conv,
            value_channels=value_channels,
            gamma=gamma,
            implementation=implementation,
        )

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`pairwise` and `unary` (B, H, W): how much `pixel` = (row, column) takes from every position in each term."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)
