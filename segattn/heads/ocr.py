"""Yuan, Chen, Wang: *Object-Contextual Representations for Semantic Segmentation*, ECCV 2020, arXiv 1909.11065.

A first prediction gathers one vector for each class; every position attends to these:

    M = softmax_n(L)        f_k = sum_n M_kn x_n        A_nk = softmax_k(q_n^T k_k / sqrt(d))        y_n = sum_k A_nk v_k
    Y = CBR([CBR(y) ; F])

where L in R^{K x N} are logits of a first prediction; M: their softmax over the positions, for each class; x_n in R^C the columns
of the feature map F; q, twice CBR, of x_n, k, twice CBR, and v, one CBR, of f_k, all to d = C/2 channels; CBR: 1x1 convolution,
batch norm, ReLU, that of y back to C, the last from 2C to C. The first prediction has a loss of its own, and the main loss passes
through it as well.

Cost: MACs N C K + N (C d + d^2) + K (2 C d + d^2) + 2 N K d + N d C + 2 N C^2; memory 2 N K. `fast` applies the convolution of
CBR(y) to K vectors instead of N positions. Controlled: N C K more, for L from F.

Differences from the paper and from public code: the widths are mmsegmentation's, whose first prediction is an FCN head on stage 3
with 256 channels (the authors' has 512). Their code runs that head twice in a training step; here it runs once. In the controlled
form L is a 1x1 convolution of F. A class that is absent has a vector all the same: nothing masks it.

B batch, C channels, d = C/2, K classes, H W feature map, N = H*W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, check_option, full_precision, widen
from segattn.heads.parts.layers import AuxiliaryHead, Classifier, ConvBnRelu

LATEX = r"""
\begin{aligned} M &= \mathrm{softmax}_n(L) \qquad f_k = \sum_n M_{kn} x_n \qquad
A_{nk} = \mathrm{softmax}_k\Bigl(\frac{q_n^\top k_k}{\sqrt d}\Bigr) \qquad y_n = \sum_k A_{nk} v_k \\
Y &= \mathrm{CBR}\bigl([\mathrm{CBR}(y) ; F]\bigr) \end{aligned}
"""


class ObjectAttention(nn.Module):
    """CBR([CBR(A v) ; F]), with one vector for each class of the first prediction. `auto` always is `fast`."""

    def __init__(self, channels: int, *, implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.implementation = implementation
        d = max(channels // 2, 1)
        self.query = nn.Sequential(ConvBnRelu(channels, d, 1), ConvBnRelu(d, d, 1))
        self.key = nn.Sequential(ConvBnRelu(channels, d, 1), ConvBnRelu(d, d, 1))
        self.value = ConvBnRelu(channels, d, 1)
        self.project = ConvBnRelu(d, channels, 1)
        self.fuse = ConvBnRelu(2 * channels, channels, 1)

    def regions(self, logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B K N"]:
        """M: how much each position counts for a class; rows sum to 1. In float32 also under autocast."""
        return widen(logits).flatten(2).softmax(dim=2)

    def vectors(self, x: Float[Tensor, "B C H W"], regions: Float[Tensor, "B K N"]) -> Float[Tensor, "B C K 1"]:
        """f."""
        with full_precision(x):
            return (widen(x).flatten(2) @ regions.transpose(-2, -1)).unsqueeze(3).to(x.dtype)

    def weights(self, query: Float[Tensor, "B d H W"], key: Float[Tensor, "B d K 1"]) -> Float[Tensor, "B N K"]:
        """A: rows sum to 1."""
        return affinity(query.flatten(2).transpose(-2, -1), key.flatten(2).transpose(-2, -1), query.shape[1] ** -0.5)

    def forward(self, x: Float[Tensor, "B C H W"], logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        f = self.vectors(x, self.regions(logits))
        A, value = self.weights(self.query(x), self.key(f)), self.value(f)
        if self.implementation != "reference":
            return self.fuse(_projected_vectors(self, A, value).unflatten(2, x.shape[-2:]), x)
        y = value.flatten(2) @ A.to(value.dtype).transpose(-2, -1)  # (B, d, N)
        return self.fuse(self.project(y.unflatten(2, x.shape[-2:])), x)

    def maps(self, x: Tensor, logits: Tensor, pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`: the row of A M; `region_1`..: M of the classes that `pixel` attends to most; `regions` (B, 1, K): its A."""
        M = self.regions(logits)
        query = self.query(x[:, :, pixel[0], pixel[1], None, None])
        own = self.weights(query, self.key(self.vectors(x, M)))  # (B, 1, K)
        maps = {"affinity": (own @ M).unflatten(2, x.shape[-2:]).squeeze(1)}
        for rank, region in enumerate(own.squeeze(1).topk(min(3, M.shape[1])).indices.T, start=1):
            maps[f"region_{rank}"] = M[torch.arange(len(x)), region].unflatten(1, x.shape[-2:])
        return {**maps, "regions": own}


# The same, faster


def _projected_vectors(block: ObjectAttention, A: Tensor, value: Float[Tensor, "B d K 1"]) -> Float[Tensor, "B C N"]:
    """CBR(y) with the convolution before the weighted sum, which is linear, and whose weights sum to 1, as a bias needs."""
    projected = block.project.conv(value).flatten(2)  # (B, C, K)
    y = (projected @ A.to(projected.dtype).transpose(-2, -1)).unsqueeze(3)
    return block.project.relu(block.project.bn(y)).squeeze(3)


# The head


class ObjectContext(nn.Module):
    """`ObjectAttention` with a first prediction from `prior` (default: a 1x1 convolution of its input)."""

    loss_weights: ClassVar[dict[str, float]] = {"regions": 0.4}
    map_kinds: ClassVar[dict[str, str]] = {"regions": "bases"}
    without_attention = "mean"

    def __init__(
        self,
        channels: int,
        num_classes: int,
        prior: nn.Module | None = None,
        *,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.prior = Classifier(channels, num_classes, dropout=0.0) if prior is None else prior
        self.attention = ObjectAttention(channels, implementation=implementation)

    def forward(self, x: Float[Tensor, "B C H W"], features: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.prior(x if features is None else features)
        return {"context": self.attention(x, logits), "regions": logits}

    def maps(self, x: Tensor, pixel: tuple[int, int], features: Tensor | None = None) -> dict[str, Tensor]:
        """See `ObjectAttention.maps`."""
        return self.attention.maps(x, self.prior(x if features is None else features), pixel)


class Head(nn.Module):
    """`ObjectContext` after a 3x3 convolution, with a first prediction from stage 3, which is its auxiliary output."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0, "aux": 0.4}
    own_auxiliary = True
    Mechanism = ObjectContext
    family = "basis"
    growth = (1, 1)
    map_kinds: ClassVar[dict[str, str]] = {"regions": "bases"}
    without_attention = "mean"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., ObjectContext] = ObjectContext,
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        prior = AuxiliaryHead(in_channels[2], num_classes, channels=max(channels // 2, 1), dropout=dropout)
        self.context = mechanism(channels, num_classes, prior)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    @property
    def attention(self) -> nn.Module:
        """The mechanism, without the first prediction."""
        return self.context.attention

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W): "out"; in training also "aux", the first prediction."""
        context = self.context(self.reduce(features[-1]), features[2])
        out = {"out": self.classify(context["context"])}
        return {**out, "aux": context["regions"]} if self.training else out

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`, `region_1` to `region_3` (B, H, W), `regions` (B, 1, K) of `pixel` = (row, column)."""
        return self.context.maps(self.reduce(features[-1]), pixel, features[2])
