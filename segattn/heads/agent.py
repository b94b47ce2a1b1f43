"""Han, Ye, Han, Xia, Pan, Wan, Song, Huang: *Agent Attention: On the Integration of Softmax and Linear Attention*, ECCV 2024,
arXiv 2312.08874.

A few agents, pooled from the queries, gather from all positions; every position gathers from the agents:

    a = pool(q)        A1 = softmax_j(a_m^T k_j / sqrt(d) + B1_mj)        A2 = softmax_m(q_i^T a_m / sqrt(d) + B2_im)
    y_i = sum_m A2_im sum_j A1_mj v_j + DW(v)_i        z_i = x_i + BN(W y_i)

where x_i in R^C is the feature at position i = 1..N; q, k, v: 1x1 convolutions to C channels, in h heads of d = C/h = 64; pool:
adaptive average pooling to n = 7 x 7 agents; B1, B2: learnt biases, for every head and agent a map of 7 x 7 resized to H x W,
plus one value for each row and one for each column, resized from 56; DW: depthwise 3x3 convolution; W: 1x1 convolution.

Cost: MACs 4 N C^2 + 4 n N C + 9 N C; memory 2 h N n.

Differences from the paper and from the authors' code: written from the equations. The paper puts it into transformer backbones,
with layer norm, and ties the length of the biases of rows and columns to the size of the images; as a segmentation head it
stands between 3x3 convolutions, its output passes BN with a scale that starts at 0, as in Non-Local, and that length is 56.
`position_bias` leaves B1 and B2 out. Bins of the pooling overlap where they do not divide the map, and repeat on smaller maps.

B batch, C channels, h heads of d channels, n agents, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.layers import Sandwich, refuse_frozen_sizes, start_small
from segattn.heads.parts.pooling import adaptive_means

LATEX = r"""
\begin{aligned} a &= \mathrm{pool}(q) \quad A^1_{mj} = \mathrm{softmax}_j\Bigl(\frac{a_m^\top k_j}{\sqrt d} + B^1_{mj}\Bigr) \quad
A^2_{im} = \mathrm{softmax}_m\Bigl(\frac{q_i^\top a_m}{\sqrt d} + B^2_{im}\Bigr) \\
y_i &= \sum_m A^2_{im} \sum_j A^1_{mj} v_j + \mathrm{DW}(v)_i \qquad z_i = x_i + \mathrm{BN}(W y_i) \end{aligned}
"""


class AgentAttention(nn.Module):
    """x + BN(W (A2 A1 v + DW(v))). In `fast` fused products compute both; `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"agents": "bases"}

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        agents: tuple[int, int] = (7, 7),
        position_bias: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        num_heads = max(channels // 64, 1) if num_heads is None else num_heads
        if len(agents) != 2:
            raise ValueError(f"{agents=}: give the rows and columns of agents, such as (7, 7)")
        if num_heads < 1 or channels % num_heads or min(agents) < 1:
            raise ValueError(f"{num_heads=} should divide the {channels} channels, and {agents=} be at least (1, 1)")
        self.num_heads, self.agents, self.implementation = num_heads, (agents[0], agents[1]), implementation
        self.query, self.key, self.value, self.project = (
            nn.Conv2d(channels, channels, 1, bias=i < 3) for i in range(4)
        )
        self.near, self.bn = nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.BatchNorm2d(channels)
        n = agents[0] * agents[1]
        self.bias_1, self.bias_2 = (PositionBias(num_heads, n) if position_bias else None for _ in range(2))
        start_small(self)

    def heads(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h N d"]:
        """In float32 also under autocast."""
        return widen(x).flatten(2).unflatten(1, (self.num_heads, -1)).mT

    def biases(self, size: Sequence[int]) -> tuple[Tensor | float, Tensor | float]:
        """B1 (h, n, N) and B2 (h, N, n), or 0."""
        B1, B2 = (0.0 if bias is None else bias(size) for bias in (self.bias_1, self.bias_2))
        return B1, B2 if isinstance(B2, float) else B2.mT

    def weights(
        self,
        query: Float[Tensor, "B h N d"],
        agents: Float[Tensor, "B h n d"],
        key: Float[Tensor, "B h N d"],
        size: Sequence[int],
    ) -> tuple[Float[Tensor, "B h n N"], Float[Tensor, "B h N n"]]:
        """A1 and A2; rows sum to 1."""
        scale, (B1, B2) = query.shape[3] ** -0.5, self.biases(size)
        return (agents @ key.mT * scale + B1).softmax(dim=3), (query @ agents.mT * scale + B2).softmax(dim=3)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        refuse_frozen_sizes("agent", by_trace=False)
        query, value, size = self.query(x), self.value(x), x.shape[-2:]
        q, a, k, v = map(self.heads, (query, adaptive_means(query, self.agents), self.key(x), value))
        with full_precision(x):
            if self.implementation == "reference":
                A1, A2 = self.weights(q, a, k, size)
                y = A2 @ (A1 @ v)  # (B, h, N, d)
            else:
                y = _fused(self, q, a, k, v, size)
        return x + self.bn(self.project(y.mT.flatten(1, 2).unflatten(2, size).to(x.dtype) + self.near(value)))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`: the row of A2 A1; `agent_1`..: A1 of its strongest agents; `agents` (B, 1, n): A2; means over heads."""
        return _maps(self, x, pixel)


# The same, faster


def _fused(
    block: AgentAttention, q: Tensor, a: Tensor, k: Tensor, v: Tensor, size: Sequence[int]
) -> Float[Tensor, "B h N d"]:
    """Both products by torch's fused kernel, which takes the biases as additive masks and stores neither A1 nor A2."""
    B1, B2 = (bias if isinstance(bias, Tensor) else None for bias in block.biases(size))
    gathered = F.scaled_dot_product_attention(a, k, v, attn_mask=B1)
    return F.scaled_dot_product_attention(q, a, gathered, attn_mask=B2)


def _maps(block: AgentAttention, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
    """A2 of one pixel alone, before the product with A1: all rows would be N x N."""
    query, size = block.query(x), x.shape[-2:]
    q, a, k = map(block.heads, (query, adaptive_means(query, block.agents), block.key(x)))
    A1, A2 = block.weights(q, a, k, size)
    own = A2[:, :, pixel[0] * size[1] + pixel[1]]  # (B, h, n)
    maps = {"affinity": torch.einsum("bhm,bhmn->bhn", own, A1).mean(dim=1).unflatten(1, size)}
    A1, own = A1.mean(dim=1), own.mean(dim=1)
    for rank, agent in enumerate(own.topk(min(3, own.shape[1])).indices.T, start=1):
        maps[f"agent_{rank}"] = A1[torch.arange(len(x)), agent].unflatten(1, size)
    return {**maps, "agents": own.unsqueeze(1)}


# The head


class PositionBias(nn.Module):
    """B1 or B2: for every head and agent a map of 7 x 7, a row and a column of 56 values, resized and added."""

    def __init__(self, num_heads: int, num_agents: int) -> None:
        super().__init__()
        self.map, self.rows, self.columns = (
            nn.Parameter(nn.init.trunc_normal_(torch.empty(num_heads, num_agents, *size), std=0.02))
            for size in ((7, 7), (56,), (56,))
        )

    def forward(self, size: Sequence[int]) -> Float[Tensor, "h n N"]:
        rows, columns = (
            F.interpolate(widen(v), n, mode="linear") for v, n in zip((self.rows, self.columns), size, strict=True)
        )
        resized = F.interpolate(widen(self.map), list(size), mode="bilinear")
        return (resized + rows.unsqueeze(3) + columns.unsqueeze(2)).flatten(2)


class Head(nn.Module):
    """Agent attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = AgentAttention
    family = "basis"
    growth = (1, 1)
    gates = ("bn.weight",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = AgentAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`, `agent_1` to `agent_3` (B, H, W), `agents` (B, 1, n): what `pixel` = (row, column) reads."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
