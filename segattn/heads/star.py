"""segattn: *Star Attention: Criss-Cross Attention over Both Diagonals*, 2026, after CCNet, arXiv 1811.11721.

Each position attends to its row, its column and both diagonals (docs/findings.md has the evidence for it):

    a_uv = softmax_{v in star(u)}(q_u^T k_v)        F^(r)_u = F^(r-1)_u + gamma sum_{v in star(u)} a_uv g(F^(r-1)_v)

where F^(0) = F is the feature map; r = 1..R; star(u) the positions of u's row, column and both diagonals, u itself once; q, k:
1x1 convolutions of F^(r-1) to D = C/8 channels; g: a 1x1 convolution to C channels (`value`); gamma a scalar that starts at 0.
Logits are not scaled. R = 1 sees the star, R = 2 every position. Diagonals are columns of a sheared map (`parts/shear.py`).

Cost: MACs R N (C (2D + C) + (3H + W) (D + C)); memory N (3H + W) for the weights of one recurrence.

Differences from the paper of CCNet: the diagonals. Each is counted as H positions; on a square map a third of them are masked.

B batch, C channels, D = C/8 projected, H W feature map, N = H*W, K classes, I = H rows of a column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, check_option, cut_off, full_precision, widen
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import Sandwich
from segattn.heads.parts.shear import ShearedColumns, off_line, shear

LATEX = r"""
a_{uv} = \mathrm{softmax}_{v \in \mathrm{star}(u)}(q_u^\top k_v) \qquad
F^{(r)}_u = F^{(r-1)}_u + \gamma \sum_{v \in \mathrm{star}(u)} a_{uv}\, g\bigl(F^{(r-1)}_v\bigr)
"""
STEPS = (0, 1, -1)  # columns that a line moves on from row to row: columns, falling diagonals, rising diagonals


class Star(nn.Module):
    """F + gamma sum over the star, `recurrence` times with shared weights; `auto` is always `fast`, on channels-last maps."""

    main_map = "composed"

    def __init__(
        self, channels: int, *, recurrence: int = 2, reduction: int = 8, implementation: Implementation = "auto"
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        check_counts(recurrence=recurrence, reduction=reduction)
        self.recurrence, self.implementation = recurrence, implementation
        projected = max(channels // reduction, 1)
        self.query = nn.Conv2d(channels, projected, 1)
        self.key = nn.Conv2d(channels, projected, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))  # the block starts as the identity

    def weights(self, query: Float[Tensor, "B D H W"], key: Float[Tensor, "B D H W"]) -> list[Float[Tensor, "B _ H W"]]:
        """Each position's weights over three lines, (B, I, H, W), and its row, (B, W, H, W), which sum to 1 together.

        A position meets itself in all four and is masked in three. In float32 also under autocast.
        """
        H, W = query.shape[2:]
        with full_precision(query):
            q, k = widen(query), widen(key)
            logits = []
            for step in STEPS:
                line = torch.einsum("bdhw,bdiw->bihw", shear(q, step), shear(k, step))
                logits.append(shear(line.masked_fill(off_line(H, W, step, q.device), float("-inf")), -step))
            logits.append(torch.einsum("bdhw,bdhj->bjhw", q, k))
            return list(torch.cat(logits, dim=1).softmax(dim=1).split([H, H, H, W], dim=1))

    def gather(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The weighted sum of the values over the star."""
        value = self.value(x)
        *lines, row = (a.to(value.dtype) for a in self.weights(self.query(x), self.key(x)))
        y = torch.einsum("bjhw,bchj->bchw", row, value)
        for a, step in zip(lines, STEPS, strict=True):
            y = y + shear(torch.einsum("bihw,bciw->bchw", shear(a, step), shear(value, step)), -step)
        return y

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if self.implementation != "reference":
            return _channels_last(self, x)
        for _ in range(self.recurrence):
            x = x + self.gamma * self.gather(x)
        return x

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`star`: the first recurrence's weights of `pixel`; `composed`: what it takes through all recurrences."""
        passes = [self.weights(self.query(x), self.key(x))]
        for _ in range(self.recurrence - 1):
            x = x + self.gamma * self.gather(x)
            passes.append(self.weights(self.query(x), self.key(x)))
        start = composed = torch.zeros_like(passes[0][0][:, 0])  # (B, H, W)
        start[:, pixel[0], pixel[1]] = 1.0
        for weights in reversed(passes):
            composed = self.passed_on(composed, weights)
        return {"star": self.passed_on(start, passes[0]), "composed": composed}

    @staticmethod
    def passed_on(share: Float[Tensor, "B H W"], weights: list[Tensor]) -> Float[Tensor, "B H W"]:
        """What each position gives if `share` is taken from all by their weights; keeps the total."""
        taken = torch.einsum("bhw,bjhw->bhj", share, weights[-1])
        for a, step in zip(weights[:-1], STEPS, strict=True):
            line = torch.einsum("bxhw,bihw->bxiw", shear(share.unsqueeze(1), step), shear(a, step))
            taken = taken + shear(line, -step).squeeze(1)
        return taken


# The same, faster


def _channels_last(block: Star, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """The recurrences on a map whose channels lie together: the layout changes, the numbers do not."""
    x = x.contiguous(memory_format=torch.channels_last)
    lines = [ShearedColumns(x.shape[2], x.shape[3], step, x.device) for step in STEPS]
    for _ in range(block.recurrence):
        x = torch.addcmul(x, block.gamma.to(x.dtype), _gather(block, x, lines))
    return x


def _weights(query: Tensor, key: Tensor, lines: list[ShearedColumns]) -> list[Float[Tensor, "B H W _"]]:
    """The weights by matrix products of whole sheared columns and rows: the sums of the einsums, without their copies."""
    H, W = query.shape[2:]
    with full_precision(query):
        q, k = (widen(x).permute(0, 2, 3, 1) for x in (query, key))
        logits = []
        for line in lines:
            logits.append(line.restored(line.masked(line.sheared(q) @ line.sheared(k).transpose(1, 2))))
        logits.append(q @ k.transpose(2, 3))
        return list(cut_off(torch.cat(logits, dim=3)).softmax(dim=3).split([H, H, H, W], dim=3))


def _gather(block: Star, x: Float[Tensor, "B C H W"], lines: list[ShearedColumns]) -> Float[Tensor, "B C H W"]:
    """The sum over the rows plus those over the sheared columns."""
    *weights, row = _weights(block.query(x), block.key(x), lines)
    value = block.value(x).permute(0, 2, 3, 1)  # (B, H, W, C)
    y = row.to(value.dtype) @ value
    for a, line in zip(weights, lines, strict=True):
        y = y + line.restored(line.sheared(a.to(value.dtype)) @ line.sheared(value))
    return y.permute(0, 3, 1, 2)


# The head


class Head(nn.Module):
    """Recurrent star attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = Star
    family = "criss-cross"
    growth = (1.5, 1.5)
    gates = ("gamma",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = Star,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`star` and `composed` (B, H, W): what `pixel` = (row, column) takes in one and in all recurrences."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
