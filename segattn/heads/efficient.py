"""Shen, Zhang, Zhao, Yi, Li: *Efficient Attention: Attention with Linear Complexities*, WACV 2021, arXiv 1812.01243.

The softmax of queries and keys is taken apart, so that the products can be reordered: keys and values are summed up once for
all positions, in D template maps, and every position reads the sums by its query:

    p_i = softmax_d(q_i)        r_d = softmax_j(k_jd)        G = sum_j r_j v_j^T        z_i = x_i + BN(W G^T p_i)

where x_i in R^C is the feature at position i = 1..N; q, k, v: 1x1 convolutions to D = C/2 channels; p_i in R^D: the softmax of
a query over its channels; r in R^{N x D}: the softmax of each key channel over the positions; G in R^{D x D}; W: 1x1
convolution back to C. With `num_heads` h, channels are split, the softmax of a query runs over D/h. With `normalisation`
"scaling", p and r are q and k over sqrt(N). The implicit map p r^T has rows that sum to 1 and a rank of D at most.

Cost: MACs 4 N C D + 2 N D^2 (with h heads 2 N D^2 / h); memory 2 N D + D^2. `fast` applies v and W to D templates instead of
N positions, 4 N C D + 2 C D^2.

Differences from the paper and from the authors' code: they put the block into detectors, with a plain 1x1 convolution and the
input added; as a segmentation head it stands between 3x3 convolutions, and its output passes BN with a scale that starts at 0,
as in Non-Local. The paper has one head; `num_heads` is of the authors' code.

B batch, C channels, D = C/2 projected, h heads of d = D/h, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import Sandwich, start_small

LATEX = r"""
p_i = \mathrm{softmax}_d(q_i) \qquad r_d = \mathrm{softmax}_j(k_{jd}) \qquad G = \sum_j r_j v_j^\top \qquad
z_i = x_i + \mathrm{BN}(W G^\top p_i)
"""

Normalisation = Literal["softmax", "scaling"]


class EfficientAttention(nn.Module):
    """x + BN(W G^T p). `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"templates": "bases"}

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        num_heads: int = 1,
        normalisation: Normalisation = "softmax",
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("normalisation", normalisation, Normalisation)
        check_option("implementation", implementation, Implementation)
        check_counts(reduction=reduction)
        projected = max(channels // reduction, 1)
        if num_heads < 1 or projected % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide the {projected} projected channels; use a divisor")
        self.num_heads, self.normalisation, self.implementation = num_heads, normalisation, implementation
        self.query = nn.Conv2d(channels, projected, 1)
        self.key = nn.Conv2d(channels, projected, 1)
        self.value = nn.Conv2d(channels, projected, 1)
        self.project = nn.Conv2d(projected, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        start_small(self)

    def heads(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B h d N"]:
        return x.flatten(2).unflatten(1, (self.num_heads, -1))

    def weights(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B h d N"], Float[Tensor, "B h d N"]]:
        """p, whose columns sum to 1, and r, whose rows do; in float32 also under autocast."""
        query, key = widen(self.heads(self.query(x))), widen(self.heads(self.key(x)))
        if self.normalisation == "scaling":
            return query * query.shape[3] ** -0.5, key * key.shape[3] ** -0.5
        return query.softmax(dim=2), key.softmax(dim=3)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if self.implementation != "reference":
            return x + self.bn(_projected_templates(self, x))
        (p, r), value = self.weights(x), self.heads(self.value(x))
        with full_precision(x):
            G = r @ widen(value).transpose(-2, -1)  # (B, h, d, d)
            y = (G.transpose(-2, -1) @ p).flatten(1, 2).to(x.dtype)  # (B, D, N)
        return x + self.bn(self.project(y.unflatten(2, x.shape[-2:])))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`: the row of p r^T, mean over heads; `template_1`..: its strongest rows of r; `templates` (B, 1, D): p."""
        p, r = self.weights(x)
        own = p[..., pixel[0] * x.shape[3] + pixel[1]]  # (B, h, d)
        size, templates = x.shape[-2:], r.flatten(1, 2)
        maps = {"affinity": torch.einsum("bhd,bhdn->bhn", own, r).mean(dim=1).unflatten(1, size)}
        for rank, d in enumerate(own.flatten(1).topk(min(3, templates.shape[1])).indices.T, start=1):
            maps[f"template_{rank}"] = templates[torch.arange(len(x)), d].unflatten(1, size)
        return {**maps, "templates": own.flatten(1).unsqueeze(1)}


# The same, faster


def _projected_templates(block: EfficientAttention, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """W G^T p with v and W applied to D sums instead of N positions: r v = (r x^T) W_v^T + (r 1) b_v^T, since v is linear."""
    p, r = block.weights(x)
    weight = block.value.weight[:, :, 0, 0].unflatten(0, (block.num_heads, -1))  # (h, d, C)
    bias = block.value.bias.unflatten(0, (block.num_heads, 1, -1))  # type: ignore[union-attr]
    with full_precision(x):
        sums = r.flatten(1, 2) @ widen(x).flatten(2).transpose(-2, -1)  # (B, D, C)
        G = sums.unflatten(1, (block.num_heads, -1)) @ widen(weight).transpose(-2, -1) + r.sum(
            dim=3, keepdim=True
        ) * widen(bias)
        out = widen(block.project.weight)[:, :, 0, 0].unflatten(1, (block.num_heads, -1))  # (C, h, d)
        templates = torch.einsum("bhde,che->bchd", G, out).flatten(2)  # (B, C, D)
    y = (templates.to(x.dtype) @ p.flatten(1, 2).to(x.dtype)).unflatten(2, x.shape[-2:])
    return y if block.project.bias is None else y + block.project.bias.view(-1, 1, 1)  # where BN is folded into W


# The head


class Head(nn.Module):
    """Efficient attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = EfficientAttention
    family = "low-rank"
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
        mechanism: Callable[..., nn.Module] = EfficientAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`, `template_1` to `template_3` (B, H, W), `templates` (B, 1, D): what `pixel` = (row, column) reads."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
