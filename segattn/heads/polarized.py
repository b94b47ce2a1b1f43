"""Liu, Liu, Fan, Xu, Zhang: *Polarized Self-Attention: Towards High-quality Pixel-wise Mapping*, Neurocomputing 2022,
arXiv 2107.00782.

Two gates, each at full resolution along one axis of the map and collapsed along the other:

    a_c = sigmoid(W_z (V softmax_n(q)^T))        channel gate: one vector, pooled over all positions
    a_s = sigmoid(g^T V')                        position gate: one mixture of channels, g = softmax_d(mean_n(Q'))
    Y   = a_c * F + a_s * F

where F in R^{C x N} is the feature map; q in R^{1 x N}, V, Q', V' in R^{D x N}: 1x1 convolutions of F without bias, D = C/2; W_z:
1x1 convolution from D back to C, without bias; * multiplies every position, or every channel. `layout` "sequential" applies the
position gate, computed from it, to a_c * F.

Cost: MACs N C (1 + 3C/2) + N C + C^2/2; memory N + C. `fast` pools before it projects, 3 N C + 2 C^2, a small part of the
equation's; not so for V' with `spatial_softmax` "before".

Differences from the paper and from the authors' code: their softmax of the position gate is elsewhere. `spatial_softmax` "paper"
is g above; "after" is their parallel code, a softmax over positions of the product; "before" their sequential code, a softmax
over positions of V' before it. Both keep the gate close to 0.5. Their sequential code also has a bottleneck with layer norm in
the place of W_z, left out here. They put the gates into the blocks of a backbone; as a segmentation head they stand between 3x3
convolutions. Not PSANet, which mmsegmentation calls PSA.

B batch, C channels, D = C/2 projected, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, check_option, full_precision
from segattn.heads.parts.layers import Sandwich

LATEX = r"""
\begin{aligned} a_c &= \sigma\bigl(W_z V\, \mathrm{softmax}_n(q)^\top\bigr) \qquad
a_s = \sigma\bigl(\mathrm{softmax}_d(\mathrm{mean}_n Q')^\top V'\bigr) \\
Y &= a_c \odot F + a_s \odot F \end{aligned}
"""

Layout = Literal["parallel", "sequential"]
SpatialSoftmax = Literal["paper", "after", "before"]


class PolarizedAttention(nn.Module):
    """a_c * F + a_s * F, in the precision of the weights also under autocast. `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"channel": "bases"}

    def __init__(
        self,
        channels: int,
        *,
        layout: Layout = "parallel",
        spatial_softmax: SpatialSoftmax = "paper",
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("layout", layout, Layout)
        check_option("spatial_softmax", spatial_softmax, SpatialSoftmax)
        check_option("implementation", implementation, Implementation)
        self.layout, self.spatial_softmax, self.implementation = layout, spatial_softmax, implementation
        projected = max(channels // 2, 1)
        self.channel_query = nn.Conv2d(channels, 1, 1, bias=False)
        self.channel_value, self.query, self.value = (nn.Conv2d(channels, projected, 1, bias=False) for _ in range(3))
        self.project = nn.Conv2d(projected, channels, 1, bias=False)
        for conv in (self.channel_query, self.channel_value, self.query, self.value):
            nn.init.kaiming_normal_(conv.weight)

    def pooling(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 N"]:
        """softmax_n(q): what the channel gate takes from each position."""
        return self.channel_query(x).flatten(2).softmax(dim=2)

    def channel_gate(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 1 1"]:
        """a_c."""
        pooled = self.channel_value(x).flatten(2) @ self.pooling(x).transpose(-2, -1)  # (B, D, 1)
        return self.project(pooled.unsqueeze(3)).sigmoid()

    def position_gate(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H W"]:
        """a_s."""
        g, value = self.query(x).mean(dim=(2, 3)).unsqueeze(2), self.value(x).flatten(2)  # (B, D, 1), (B, D, N)
        if self.spatial_softmax == "paper":
            logits = g.softmax(dim=1).transpose(-2, -1) @ value
        elif self.spatial_softmax == "after":
            logits = (g.transpose(-2, -1) @ value).softmax(dim=2)
        else:
            logits = g.transpose(-2, -1) @ value.softmax(dim=2)
        return logits.sigmoid().unflatten(2, x.shape[-2:])

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        channel_gate, position_gate = _gates(self)
        with full_precision(x):
            wide = x.to(self.project.weight.dtype)
            y = channel_gate(wide) * wide
            y = position_gate(y) * y if self.layout == "sequential" else y + position_gate(wide) * wide
        return y.to(x.dtype)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`spatial`: a_s; `pooled`: softmax_n(q), sum 1; `channel` (B, 1, C): a_c. All are the same for every pixel."""
        gated = self.channel_gate(x) * x if self.layout == "sequential" else x
        pooled = self.pooling(x).unflatten(2, x.shape[-2:])
        maps = {"spatial": self.position_gate(gated).squeeze(1), "pooled": pooled.squeeze(1)}
        return {**maps, "channel": self.channel_gate(x).flatten(1).unsqueeze(1)}


# The same, faster


def _gates(block: PolarizedAttention) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Both gates in the form of `implementation`: the block's methods, or the functions below, which are the same."""
    if block.implementation == "reference":
        return block.channel_gate, block.position_gate
    return partial(_channel_gate, block), partial(_position_gate, block)


def _channel_gate(block: PolarizedAttention, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 1 1"]:
    """V softmax_n(q)^T as W_v (F softmax_n(q)^T): the convolution is applied to one pooled vector."""
    pooled = x.flatten(2) @ block.pooling(x).transpose(-2, -1)  # (B, C, 1)
    return block.project(block.channel_value(pooled.unsqueeze(3))).sigmoid()


def _position_gate(block: PolarizedAttention, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H W"]:
    """The mean before Q', and g^T (W_v' F) as (W_v'^T g)^T F; the softmax of `before` needs V' at every position."""
    g = block.query(x.mean(dim=(2, 3), keepdim=True)).flatten(2)  # (B, D, 1)
    if block.spatial_softmax == "before":
        logits = g.transpose(-2, -1) @ block.value(x).flatten(2).softmax(dim=2)
    else:
        g = g.softmax(dim=1) if block.spatial_softmax == "paper" else g
        logits = (block.value.weight.flatten(1).T @ g).transpose(-2, -1) @ x.flatten(2)
        logits = logits.softmax(dim=2) if block.spatial_softmax == "after" else logits
    return logits.sigmoid().unflatten(2, x.shape[-2:])


# The head


class Head(nn.Module):
    """Polarized self-attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = PolarizedAttention
    family = "gate"
    growth = (1, 1)
    without_attention = "mean"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = PolarizedAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`spatial` and `pooled` (B, H, W), `channel` (B, 1, C): both gates and the pooling, whatever the pixel."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
