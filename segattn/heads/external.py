"""Guo, Liu, Mu, Hu: *Beyond Self-attention: External Attention using Two Linear Layers for Visual Tasks*, 2021,
arXiv 2105.02358.

Every position reads S vectors that are learnt with the network, the same for all images:

    X = W_i F + b        l_ns = m_s^T x_n        P_ns = softmax_n(l_ns)        A_ns = P_ns / sum_s P_ns
    Y = ReLU(F + BN(W_o sum_s A_ns v_s))

where F in R^{C x N} is the feature map; W_i, W_o: 1x1 convolutions, W_o without bias; m_s, v_s in R^C: the memories of keys
and of values, s = 1..S = 64. First the weights of each slot sum to 1 over the positions, then those of each position over the
slots; other positions enter through these sums only. b has no effect: it cancels in the first softmax.

Cost: MACs 2 N C^2 + 2 N C S; memory N S. `fast` applies both convolutions to the memories, 2 N C S + 2 C^2 S: the block is linear
maps from C to S channels and back, with the normalisation between them.

Differences from the paper and from the authors' code: written from the equations. The second normalisation is a softmax over s of
l_ns - log sum_n exp(l_ns), which is the same without the 1e-9 that is usually added to the denominator. `tied` makes v_s = m_s;
by default they only start equal. Multi-head external attention, for transformers, is left out.

B batch, C channels, S slots, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.layers import Classifier, ConvBnRelu

LATEX = r"""
\begin{aligned} X &= W_i F + b & l_{ns} &= m_s^\top x_n & P_{ns} &= \mathrm{softmax}_n(l_{ns}) &
A_{ns} &= \frac{P_{ns}}{\sum_s P_{ns}} \\
Y_n &= \mathrm{ReLU}\Bigl(F_n + \mathrm{BN}\bigl(W_o \textstyle\sum_s A_{ns} v_s\bigr)\Bigr) \end{aligned}
"""


class ExternalAttention(nn.Module):
    """ReLU(F + BN(W_o sum_s A_ns v_s)). `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"slots": "bases"}

    def __init__(
        self, channels: int, *, num_slots: int = 64, tied: bool = False, implementation: Implementation = "auto"
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if num_slots < 1:
            raise ValueError(f"num_slots={num_slots} is not possible; use 1 or more")
        self.implementation = implementation
        self.embed = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        for conv in (self.embed, self.project):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.memory_key = nn.Parameter(torch.randn(num_slots, channels) * (2 / channels) ** 0.5)
        self.memory_value = None if tied else nn.Parameter(self.memory_key.detach().clone())

    @property
    def values(self) -> Float[Tensor, "S C"]:
        """The memory that is read."""
        return self.memory_key if self.memory_value is None else self.memory_value

    def logits(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B S N"]:
        """l; in float32 also under autocast."""
        if self.implementation != "reference":
            return _logits(self, x)
        embedded = self.embed(x).flatten(2)
        with full_precision(x):
            return widen(self.memory_key) @ widen(embedded)

    def weights(self, logits: Float[Tensor, "B S N"]) -> Float[Tensor, "B S N"]:
        """A: columns sum to 1, whatever the scale of the logits."""
        return (logits - logits.logsumexp(dim=2, keepdim=True)).softmax(dim=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        A = self.weights(self.logits(x)).to(x.dtype)
        if self.implementation != "reference":
            return (x + self.bn(_read(self, A).view_as(x))).relu_()
        y = self.values.to(x.dtype).T @ A  # (B, C, N)
        return (x + self.bn(self.project(y.view_as(x)))).relu_()

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`slot_1`..: P of the slots that `pixel` reads most, sum 1; `slots` (B, 1, S): its row of A."""
        logits = self.logits(x)
        shares, own = logits.softmax(dim=2), self.weights(logits)[..., pixel[0] * x.shape[3] + pixel[1]]  # (B, S)
        maps = {}
        for rank, slot in enumerate(own.topk(min(3, own.shape[1])).indices.T, start=1):
            maps[f"slot_{rank}"] = shares[torch.arange(len(x)), slot].unflatten(1, x.shape[-2:])
        return {**maps, "slots": own.unsqueeze(1)}


# The same, faster


def _logits(block: ExternalAttention, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B S N"]:
    """M (W_i F + b) as (M W_i) F + M b: the convolution is applied to S keys instead of N positions."""
    with full_precision(x):
        keys = widen(block.memory_key)
        weight, bias = widen(block.embed.weight).flatten(1), widen(block.embed.bias)  # type: ignore[arg-type]
        return (keys @ weight) @ widen(x).flatten(2) + (keys @ bias).unsqueeze(1)


def _read(block: ExternalAttention, A: Float[Tensor, "B S N"]) -> Float[Tensor, "B C N"]:
    """W_o (V^T A) as (W_o V^T) A: the convolution is applied to S values instead of N positions."""
    y = (block.project.weight.flatten(1).to(A.dtype) @ block.values.to(A.dtype).T) @ A
    return y if block.project.bias is None else y + block.project.bias.unsqueeze(1)  # where BN is folded into W_o


# The head


class Head(nn.Module):
    """External attention after a 3x3 convolution; a narrower 3x3 after it."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = ExternalAttention
    family = "basis"
    growth = (1, 1)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = ExternalAttention,
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.refine = ConvBnRelu(channels, max(channels // 2, 1))
        self.classify = Classifier(max(channels // 2, 1), num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        return {"out": self.classify(self.refine(self.attention(self.reduce(features[-1]))))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`slot_1` to `slot_3` (B, H, W), `slots` (B, 1, S): which slots `pixel` = (row, column) reads, and who shares them."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
