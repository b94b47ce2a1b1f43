"""Huang, Wang, Wei, Huang, Shi, Liu, Huang: *CCNet: Criss-Cross Attention for Semantic Segmentation*, ICCV 2019 and TPAMI
2020, arXiv 1811.11721.

Every position attends to its own column and row; applied R times with the same weights, R = 2 reaches every position:

    a_uv = softmax_{v in cross(u)}(q_u^T k_v)        F^(r)_u = F^(r-1)_u + gamma sum_{v in cross(u)} a_uv g(F^(r-1)_v)

where F^(0) = F is the feature map; cross(u) the H + W - 1 positions of u's column and row, u itself once; q, k: 1x1 convolutions
of F^(r-1) to D = C/8 channels; g: a 1x1 convolution to C channels (`value`); gamma a scalar that starts at 0. Logits are not
scaled.

Cost: MACs R N (C (2D + C) + (H + W) (D + C)); memory N (H + W) for the weights of one recurrence.

Differences from the paper and from the authors' code: the authors put InPlaceABN with a leaky ReLU around the block; here it is
batch norm and ReLU, as in mmsegmentation. The category-consistent loss of the journal version is left out: the authors' code
lacks it too, and it needs labels, which a head never sees.

B batch, C channels, D = C/8 projected, H W feature map, N = H*W, K classes.
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
from segattn.heads.parts.recording import recording

LATEX = r"""
a_{uv} = \mathrm{softmax}_{v \in \mathrm{cross}(u)}(q_u^\top k_v) \qquad
F^{(r)}_u = F^{(r-1)}_u + \gamma \sum_{v \in \mathrm{cross}(u)} a_{uv}\, g\bigl(F^{(r-1)}_v\bigr)
"""


class CrissCross(nn.Module):
    """Recurrent criss-cross attention: F + gamma sum over the cross, `recurrence` times with shared weights.

    `fast` computes the same products on channels-last maps; `auto` always is `fast`.
    """

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

    def weights(
        self, query: Float[Tensor, "B D H W"], key: Float[Tensor, "B D H W"]
    ) -> tuple[Float[Tensor, "B H W H"], Float[Tensor, "B H W W"]]:
        """Each position's weights over its column and its row, which sum to 1 together; in float32 also under autocast.

        A position meets itself in both; it is masked in the column and kept in the row, so that H = 1 or W = 1 leaves one weight.
        """
        H, W = query.shape[2:]
        rows = torch.arange(H, device=query.device)  # torch.eye would bound the sizes of an exported graph
        itself = (rows.unsqueeze(1) == rows).unsqueeze(1)  # (H, 1, H)
        with full_precision(query):
            column = torch.einsum("bdhw,bdiw->bhwi", widen(query), widen(key)).masked_fill(itself, float("-inf"))
            row = torch.einsum("bdhw,bdhj->bhwj", widen(query), widen(key))
            return torch.cat([column, row], dim=3).softmax(dim=3).split([H, W], dim=3)

    def gather(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The weighted sum of the values over the cross."""
        value = self.value(x)
        column, row = (a.to(value.dtype) for a in self.weights(self.query(x), self.key(x)))
        return torch.einsum("bhwi,bciw->bchw", column, value) + torch.einsum("bhwj,bchj->bchw", row, value)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if self.implementation != "reference":
            return _channels_last(self, x)
        for _ in range(self.recurrence):
            x = x + self.gamma * self.gather(x)
        return x

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`cross`: the first recurrence's weights of `pixel`; `composed`: what it takes through all recurrences."""
        passes = [self.weights(self.query(x), self.key(x))]
        for _ in range(self.recurrence - 1):
            x = x + self.gamma * self.gather(x)
            passes.append(self.weights(self.query(x), self.key(x)))

        def passed_on(share: Tensor, column: Tensor, row: Tensor) -> Tensor:  # keeps the total
            return torch.einsum("bhw,bhwi->biw", share, column) + torch.einsum("bhw,bhwj->bhj", share, row)

        start = torch.zeros_like(passes[0][0][..., 0])  # (B, H, W)
        start[:, pixel[0], pixel[1]] = 1.0
        composed = start
        for column, row in reversed(passes):
            composed = passed_on(composed, column, row)
        return {"cross": passed_on(start, *passes[0]), "composed": composed}


# The same, faster


def _channels_last(block: CrissCross, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """The recurrences on a map whose channels lie together: the layout changes, the numbers do not."""
    x = x.contiguous(memory_format=torch.channels_last)
    for _ in range(block.recurrence):
        x = torch.addcmul(x, block.gamma.to(x.dtype), _gather(block, x))
    return x


def _weights(query: Tensor, key: Tensor) -> tuple[Float[Tensor, "B H W H"], Float[Tensor, "B H W W"]]:
    """The weights by matrix products of whole columns and rows: the sums of the einsums, without their copies."""
    H, W = query.shape[2:]
    rows = torch.arange(H, device=query.device)
    with full_precision(query):
        q, k = widen(query), widen(key)
        column = q.permute(0, 3, 2, 1) @ k.permute(0, 3, 1, 2)  # (B, W, H, H)
        column = column.masked_fill(rows.unsqueeze(1) == rows, float("-inf")).transpose(1, 2)  # (B, H, W, H)
        row = q.permute(0, 2, 3, 1) @ k.permute(0, 2, 1, 3)  # (B, H, W, W)
        logits = torch.cat([column, row], dim=3)
        return cut_off(logits).softmax(dim=3).split([H, W], dim=3)


def _gather(block: CrissCross, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """The sum over the row plus that over the column, the second added in place where no gradient needs the first."""
    column, row = _weights(block.query(x), block.key(x))
    value = block.value(x).permute(0, 2, 3, 1)  # (B, H, W, C)
    y = row.to(value.dtype) @ value
    weights, values = column.transpose(1, 2).to(value.dtype), value.transpose(1, 2)  # (B, W, H, H), (B, W, H, C)
    if torch.is_grad_enabled() or recording():
        y += (weights @ values).transpose(1, 2)
    else:
        for b in range(len(y)):
            y[b].transpose(0, 1).baddbmm_(weights[b], values[b])
    return y.permute(0, 3, 1, 2)


# The head


class Head(nn.Module):
    """Recurrent criss-cross attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = CrissCross
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
        mechanism: Callable[..., nn.Module] = CrissCross,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`cross` and `composed` (B, H, W): what `pixel` = (row, column) takes in one and in all recurrences."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
