"""Yin, Yao, Cao, Li, Zhang, Lin, Hu: *Disentangled Non-Local Neural Networks*, ECCV 2020, arXiv 2006.06668.

The non-local affinity mixes what a pair has in common with what makes a position salient to all; here each has a softmax:

    y_i = sum_j [ softmax_j((q_i - mean q)^T (k_j - mean k) / tau') + softmax_j(m_j) ] v_j        z_i = x_i + BN(W y_i)

where x_i in R^C is the feature at position i = 1..N; q, k, v (paper: W_q x, W_k x, g): 1x1 convolutions to D = C/2 channels, v to
V; mean: over positions, per channel; m: 1x1 convolution to one channel (unary term); tau' = sqrt(D) tau; W: 1x1 convolution.

Cost: MACs N C (2 D + V + 1) + N^2 (D + V) + N V, and N V C with W; memory N^2, N (D + V) in `fast`.

Differences from the paper and from the authors' code: two forms are in use, a preset each; every switch can be set alone too.

                     "mmseg" (default: its checkpoints fit)            "official" (the authors' Cityscapes and ADE20K settings)
    value, W         V = C/2 with bias; W, BN with scale 0 at first    V = C without bias; no W (`out_conv=False`)
    whitening        "channel": as the equation                        "scalar": over channels too; part of the unary term stays
    scale, tau       1/sqrt(D), 0.05                                   none, 1: queries and keys learn it, without weight decay
    gamma            none                                              scalar on the pairwise term alone, starts at 0

mmsegmentation too exempts queries and keys from weight decay. Some of the authors' settings silently whiten nothing ("none").

B batch, C channels, D = C/2 projected, V value channels, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, attend, check_option, widen
from segattn.heads.parts.layers import Sandwich, feature_map, positions, start_small

LATEX = r"""
y_i = \sum_j \Bigl[\mathrm{softmax}_j\Bigl(\frac{(q_i - \bar q)^\top (k_j - \bar k)}{\tau'}\Bigr)
+ \mathrm{softmax}_j(m_j)\Bigr] v_j \qquad z_i = x_i + \mathrm{BN}(W y_i)
"""


class DisentangledNonLocal(nn.Module):
    """The disentangled block; a switch that is None is as in the preset. `auto` and `fast` are those of `attend`."""

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
        check_option("implementation", implementation, Implementation)
        self.implementation, projected = implementation, max(channels // 2, 1)
        form = _form(preset, whitening, scale, temperature, out_conv, gamma)
        self.whitening, self.scale = form.whitening, (projected**-0.5 if form.scale else 1.0) / form.temperature
        width = _value_channels(value_channels, channels, projected, out_conv=form.out_conv)
        self.query = nn.Conv2d(channels, projected, 1)
        self.key = nn.Conv2d(channels, projected, 1)
        self.value = nn.Conv2d(channels, width, 1, bias=form.out_conv)
        self.unary = nn.Conv2d(channels, 1, 1)
        self.project = nn.Conv2d(width, channels, 1, bias=False) if form.out_conv else nn.Identity()
        self.bn = nn.BatchNorm2d(channels) if form.out_conv else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(())) if form.gamma else None
        start_small(self)

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
        return widen(self.unary(x).flatten(2)).softmax(dim=2)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        query, key = positions(self.whiten(self.query(x))), positions(self.whiten(self.key(x)))  # (B, N, D)
        value = positions(self.value(x))  # (B, N, V)
        if self.implementation == "reference":
            y = self.pairwise_weights(query, key).to(value.dtype) @ value
        else:
            y = attend(query, key, value, scale=self.scale, implementation=self.implementation)
        y = (y if self.gamma is None else self.gamma.to(y.dtype) * y) + self.unary_weights(x).to(value.dtype) @ value
        return x + self.bn(self.project(feature_map(y, x.shape[-2:])))  # type: ignore[arg-type]

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`pairwise`: the row of the pairwise affinity that belongs to `pixel`; `unary`: the same for every pixel."""
        query = self.whiten(self.query(x))[:, :, pixel[0], pixel[1], None, None]  # (B, D, 1, 1)
        row = self.pairwise_weights(positions(query), positions(self.whiten(self.key(x))))  # (B, 1, N)
        weights = {"pairwise": row, "unary": self.unary_weights(x)}
        return {name: of_all.unflatten(2, x.shape[-2:]).squeeze(1) for name, of_all in weights.items()}


# The head


class Head(nn.Module):
    """DNLNet: the disentangled block between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    no_weight_decay: ClassVar[tuple[str, ...]] = ("attention.query", "attention.key")
    Mechanism = DisentangledNonLocal
    family = "pairwise"
    growth = (2, 2)
    gates = ("gamma", "bn.weight")
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = DisentangledNonLocal,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`pairwise` and `unary` (B, H, W): how much `pixel` = (row, column) takes from every position in each term."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]


# The switches

Preset = Literal["mmseg", "official"]
Whitening = Literal["channel", "scalar", "none"]


class _Form(NamedTuple):
    """What a preset stands for; `out_conv` is W with its BN."""

    whitening: Whitening
    scale: bool
    temperature: float
    out_conv: bool
    gamma: bool


_PRESETS = {
    "mmseg": _Form("channel", scale=True, temperature=0.05, out_conv=True, gamma=False),
    "official": _Form("scalar", scale=False, temperature=1.0, out_conv=False, gamma=True),
}


def _form(preset: Preset, *chosen: Whitening | float | None) -> _Form:
    """The preset's switches, but for those that are chosen.

    Raises:
        ValueError: an unknown preset or whitening, or a temperature that is not positive.
    """
    check_option("preset", preset, Preset)
    values = (default if value is None else value for value, default in zip(chosen, _PRESETS[preset], strict=True))
    switches = _Form(*values)  # type: ignore[arg-type]
    check_option("whitening", switches.whitening, Whitening)
    if switches.temperature <= 0:
        raise ValueError(
            f"temperature={switches.temperature} is not possible; use a positive one (the paper's is 0.05)"
        )
    return switches


def _value_channels(chosen: int | None, channels: int, projected: int, *, out_conv: bool) -> int:
    """V: as chosen, else as many as queries have, or as the map has where no W follows.

    Raises:
        ValueError: without W the values are added to the map, and are of another width.
    """
    width = chosen or (projected if out_conv else channels)
    if not out_conv and width != channels:
        raise ValueError(f"value_channels={width} needs out_conv=True, or {channels} as the map itself has")
    return width
