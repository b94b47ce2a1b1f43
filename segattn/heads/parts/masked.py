"""Recurrent attention over a chosen set of positions, written out with a mask: which positions are worth attending to?

The head `segattn.heads.parts.masked` is criss-cross attention (`segattn/heads/ccnet.py`) with a set S in place of the cross:

    F^(r)_u = F^(r-1)_u + gamma sum_{v in S(u)} softmax_{v in S(u)}(q_u^T k_v) g(F^(r-1)_v)        r = 1..R

    cross           u's row and column, which is CCNet
    diagonals       both diagonals through u
    window          the `window` x `window` positions around u
    cross_window    cross and window
    star            cross and diagonals
    all             every position

All N x N logits are computed, and those outside S(u) masked: time and memory are those of `all`, whatever the set. It is for
studies on small maps, such as those of docs/findings.md; `pairs` counts what a form without masked logits would compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from segattn.heads.parts.attention import check_option, full_precision, widen
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import Sandwich

Positions = Literal["cross", "diagonals", "window", "cross_window", "star", "all"]


class MaskedAttention(nn.Module):
    """F + gamma sum over S, `recurrence` times with shared weights; gamma starts at 0."""

    def __init__(
        self,
        channels: int,
        *,
        positions: Positions = "cross",
        window: int = 7,
        recurrence: int = 2,
        reduction: int = 8,
    ) -> None:
        super().__init__()
        check_option("positions", positions, Positions)
        check_counts(recurrence=recurrence, reduction=reduction, window=window)
        if window % 2 == 0:
            raise ValueError(f"{window=} is not possible; use an odd one")
        self.positions, self.window, self.recurrence = positions, window, recurrence
        projected = max(channels // reduction, 1)
        self.query = nn.Conv2d(channels, projected, 1)
        self.key = nn.Conv2d(channels, projected, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def chosen(self, height: int, width: int, device: torch.device | None = None) -> Bool[Tensor, "N N"]:
        """Whether position v, the column, is in S(u), u the row; positions in row-major order."""
        rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
        down = (rows[:, None] - rows)[:, None, :, None].abs()  # (H, 1, H, 1)
        right = (columns[:, None] - columns)[None, :, None, :].abs()  # (1, W, 1, W)
        reach = self.window // 2
        sets: dict[str, Callable[[], Tensor]] = {
            "cross": lambda: (down == 0) | (right == 0),
            "diagonals": lambda: down == right,
            "window": lambda: (down <= reach) & (right <= reach),
            "cross_window": lambda: sets["cross"]() | sets["window"](),
            "star": lambda: sets["cross"]() | sets["diagonals"](),
            "all": lambda: (down >= 0) & (right >= 0),
        }
        assert tuple(sets) == get_args(Positions)
        return sets[self.positions]().broadcast_to(height, width, height, width).reshape(height * width, height * width)

    def pairs(self, height: int, width: int) -> int:
        """Pairs (u, v) with v in S(u): the logits of one recurrence that are not masked."""
        return int(self.chosen(height, width).sum())

    def weights(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N N"]:
        """Each position's weights over all positions, 0 outside its set; in float32 also under autocast."""
        height, width = x.shape[2:]
        query, key = self.query(x).flatten(2), self.key(x).flatten(2)
        with full_precision(query):
            logits = torch.einsum("bdu,bdv->buv", widen(query), widen(key))
            return logits.masked_fill(~self.chosen(height, width, x.device), float("-inf")).softmax(2)

    def gather(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The weighted sum of the values over the set."""
        value = self.value(x).flatten(2)
        return torch.einsum("buv,bcv->bcu", self.weights(x).to(value.dtype), value).unflatten(2, x.shape[2:])

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        for _ in range(self.recurrence):
            x = x + self.gamma * self.gather(x)
        return x

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`affinity`: the first recurrence's weights of `pixel`."""
        return {"affinity": self.weights(x)[:, pixel[0] * x.shape[3] + pixel[1]].unflatten(1, x.shape[2:])}


class Head(nn.Module):
    """Attention over the chosen positions between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = MaskedAttention
    family = "other"
    growth = (2, 2)
    gates = ("gamma",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = MaskedAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity` (B, H, W): how much `pixel` = (row, column) takes from every position."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
