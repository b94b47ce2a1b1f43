"""Song, Li, Guo, Huang: *Fully Attentional Network for Semantic Segmentation*, AAAI 2022, arXiv 2112.04108.

One similarity map for channels and positions: channels attend to each other within every column and every row of the map,
against a prior that has seen the whole map:

    p_h = mean_w F[:, h, w]      Q = A p + a           for every row h, in R^C        (and Q' = A' p' + a' for every column w)
    O[:, :, w] = softmax_d(F[:, :, w] Q) F[:, :, w]    for every column w, (C x H)(H x C)(C x H)
               + the same along every row h with Q'    (C x W)(W x C)(C x W)
    Y = CBR3(gamma O + F)

where F in R^{C x H x W} is the feature map; p the mean of each row and p' of each column; A, a, A', a' two linear layers on C;
softmax_d runs over the channels d that a channel attends to; gamma a scalar that starts at 0; CBR3 a 3x3 convolution, batch norm
and ReLU. Logits are not scaled. Each slice is attention among C tokens of H (or W) numbers: queries and values F, keys Q.

Cost of `attention` = gamma O + F: MACs 4 N C^2 + (H + W) C^2; memory (H + W) C^2 for the maps, N C in `fast`.

Differences from the paper and from the authors' code: the authors' code tiles the prior with the batch as the fast index and the
slices with it as the slow one, so that samples of one GPU attend to each other's prior; here samples never mix. The paper joins
both directions into one (H + W) x C x C map of square inputs; the code, and this file, keep them apart, so that any size works.
The authors' classifiers double the map (nearest) before a 3x3 on 2560 channels, which triples the cost of the whole network;
here that is `upsample_classifier`, off by default so that the study compares attention and not classifiers. The auxiliary losses
have the usual weight 0.4; the code publishes none.

B batch, C channels, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, affinity, check_option
from segattn.heads.parts.layers import Classifier, ConvBnRelu
from segattn.heads.parts.recording import recording

LATEX = r"""
\begin{aligned}
Q &= A p + a, \quad p_h = \mathrm{mean}_w F_{:,h,w} & Q' &= A' p' + a', \quad p'_w = \mathrm{mean}_h F_{:,h,w} \\
O_{:,h,w} &= \mathrm{softmax}_d(F_{:,:,w} Q)\, F_{:,h,w} + \mathrm{softmax}_d(F_{:,h,:} Q')\, F_{:,h,w}
& Y &= \mathrm{CBR}_3(\gamma O + F)
\end{aligned}
"""


class FullyAttentional(nn.Module):
    """The fully attentional block without its trailing 3x3 convolution: F + gamma O. `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"column": "channels", "row": "channels"}

    def __init__(self, channels: int, *, implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.implementation = implementation
        self.row_prior = nn.Linear(channels, channels)
        self.column_prior = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))  # the block starts as the identity

    def priors(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B H C"], Float[Tensor, "B W C"]]:
        """Q of the rows, shared by all columns, and Q' of the columns, shared by all rows."""
        return self.row_prior(x.mean(3).transpose(1, 2)), self.column_prior(x.mean(2).transpose(1, 2))

    def similarity(self, slices: Float[Tensor, "B S C L"], prior: Float[Tensor, "B L C"]) -> Float[Tensor, "B S C C"]:
        """R: how much each channel of a slice attends to each channel; rows sum to 1. Slices are columns or rows."""
        return affinity(slices, _keys(prior, slices))

    def attended(self, slices: Float[Tensor, "B S C L"], prior: Float[Tensor, "B L C"]) -> Float[Tensor, "B S C L"]:
        """R times the slice, for every slice."""
        return self.similarity(slices, prior).to(slices.dtype) @ slices

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        columns, rows = x.permute(0, 3, 1, 2), x.permute(0, 2, 1, 3)  # (B, W, C, H), (B, H, C, W)
        of_rows, of_columns = self.priors(x)
        if self.implementation != "reference":
            return _by_slices(x, self.gamma.to(x.dtype), columns, rows, of_rows, of_columns)
        y = self.attended(columns, of_rows).permute(0, 2, 3, 1) + self.attended(rows, of_columns).permute(0, 2, 1, 3)
        return torch.addcmul(x, self.gamma.to(x.dtype), y)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B C C"]]:
        """The channel affinities of the pixel's column and of its row, (B, C, C): channels attend, not positions."""
        of_rows, of_columns = self.priors(x)
        column, row = x[:, None, :, :, pixel[1]], x[:, None, :, pixel[0], :]  # (B, 1, C, H), (B, 1, C, W)
        return {
            "column": self.similarity(column, of_rows).squeeze(1),
            "row": self.similarity(row, of_columns).squeeze(1),
        }


# The same, faster

SLICES = 24  # columns or rows at a time


def _keys(prior: Float[Tensor, "B L C"], slices: Float[Tensor, "B S C L"]) -> Float[Tensor, "B S C L"]:
    """The prior as the keys of every slice of the same sample, which needs one copy of it for all slices."""
    return prior.to(slices.dtype).transpose(1, 2).contiguous().unsqueeze(1).expand_as(slices)


def _attended(slices: Float[Tensor, "B S C L"], prior: Float[Tensor, "B L C"]) -> Float[Tensor, "B S C L"]:
    """`attended` by the fused product: slices take the place of attention heads, so that R is never stored."""
    slices = slices.contiguous()
    return F.scaled_dot_product_attention(slices, _keys(prior, slices), slices, scale=1.0)


def _by_slices(
    x: Tensor, gamma: Tensor, columns: Tensor, rows: Tensor, of_rows: Tensor, of_columns: Tensor
) -> Float[Tensor, "B C H W"]:
    """x + gamma (columns' sum + rows' sum); without gradient some slices at a time, each added to its part of the map."""
    if torch.is_grad_enabled() or recording():
        y = _attended(columns, of_rows).permute(0, 2, 3, 1)
        y = y + _attended(rows, of_columns).permute(0, 2, 1, 3)
        return torch.addcmul(x, gamma, y)
    y = x.clone()
    for into, slices, prior in (
        (y.permute(0, 3, 1, 2), columns, of_rows),
        (y.permute(0, 2, 1, 3), rows, of_columns),
    ):
        for part, some in zip(into.split(SLICES, dim=1), slices.split(SLICES, dim=1), strict=True):
            part.addcmul_(gamma, _attended(some, prior))
    return y


# The head


class Head(nn.Module):
    """Two 3x3 convolutions, the block with its own, and a classifier on `[X ; Y]`; auxiliary classifiers on stages 2 and 3."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0, "aux1": 0.4, "aux2": 0.4}
    own_auxiliary = True
    Mechanism = FullyAttentional
    family = "channel"
    growth = (1, 0.5)
    gates = ("gamma",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        auxiliary_channels: int = 64,
        upsample_classifier: bool = False,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = FullyAttentional,
    ) -> None:
        super().__init__()
        self.reduce = nn.Sequential(ConvBnRelu(in_channels[-1], channels), ConvBnRelu(channels, channels))
        self.attention = mechanism(channels)
        self.refine = ConvBnRelu(channels, channels)

        def classifier(width: int, hidden: int) -> nn.Sequential:
            enlarge = [nn.Upsample(scale_factor=2, mode="nearest")] if upsample_classifier else []
            return nn.Sequential(*enlarge, ConvBnRelu(width, hidden), Classifier(hidden, num_classes, dropout=dropout))

        self.classify = classifier(in_channels[-1] + channels, channels)
        self.classify1 = classifier(in_channels[1], auxiliary_channels)
        self.classify2 = classifier(in_channels[2], auxiliary_channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W), twice that size with `upsample_classifier`; in training "aux1" and "aux2" of stages 2 and 3."""
        x = features[-1]
        y = self.refine(self.attention(self.reduce(x)))
        *enlarge, join, classify = self.classify
        for layer in enlarge:
            x, y = layer(x), layer(y)
        outputs = {"out": classify(join(x, y))}
        if self.training:
            outputs |= {"aux1": self.classify1(features[1]), "aux2": self.classify2(features[2])}
        return outputs

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`column` and `row` (B, C, C): the affinities between channels in the column and row of `pixel` = (row, column)."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
