"""Chen, Papandreou, Schroff, Adam: *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017, arXiv 1706.05587.

No attention: every position reads itself, three rings of eight positions at fixed distances, and the mean of the map.

    A_0 = CBR1(X)        A_d = CBR3_d(X), d in (12, 24, 36)        G = CBR1(mean(X)) at every position
    Y   = CBR3([G ; A_0 ; A_12 ; A_24 ; A_36])

where X is the backbone's last map with X channels; CBRk: k x k convolution, batch norm, ReLU; CBR3_d: with dilation d, so that
its taps are d positions apart, with zeros outside the map; each branch has w = C channels, CBR3 maps 5w to C.

Cost: MACs X w + 28 N X w of the branches; no attention map. The head 9 N 5w C + N C K more. Controlled, on F with C channels,
w = C/4 and CBR1 in the place of CBR3: C w + 28 N C w + 5 N w C.

Differences from the paper and from public code: width, order of the branches and the 3x3 fusion are mmsegmentation's (DeepLabV3
has w = 256 and a 1x1 fusion); its dilations are (12, 24, 36) at output stride 8 and (6, 12, 18) at 16. The controlled form,
with its width C/4 and CBR1, is ours. On maps smaller than 2d + 1 some taps of a position, on maps smaller than d + 1 all but the
centre, fall outside.

B batch, X backbone channels, C channels, w channels of a branch, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option
from segattn.heads.parts.layers import Classifier, ConvBnRelu

LATEX = r"""
\begin{aligned}
A_0 &= \mathrm{CBR}_1(X) \qquad A_d = \mathrm{CBR}_{3,d}(X),\; d \in (12, 24, 36) \qquad G = \mathrm{CBR}_1(\mathrm{mean}(X)) \\
Y &= \mathrm{CBR}_3\bigl([G ; A_0 ; A_{12} ; A_{24} ; A_{36}]\bigr)
\end{aligned}
"""


class AtrousPyramid(nn.Module):
    """The branches [G ; A_0 ; A_12 ; A_24 ; A_36] side by side. A dilation of 1 is the 1x1 convolution."""

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        dilations: Sequence[int] = (1, 12, 24, 36),
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations={tuple(dilations)}: give those of the branches, such as (1, 12, 24, 36)")
        self.dilations, self.implementation = tuple(dilations), implementation
        self.pool = ConvBnRelu(channels, width, 1)
        self.branches = nn.ModuleList(
            ConvBnRelu(channels, width, 1 if d == 1 else 3, dilation=d) for d in self.dilations
        )

    def pooled(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B w 1 1"]:
        """G, from the mean of the map."""
        if self.training and len(x) == 1:
            raise ValueError(
                "aspp: batch norm over the mean of a single image; train with at least 2 images per process"
            )
        return self.pool(F.adaptive_avg_pool2d(x, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B V H W"]:
        everywhere = self.pooled(x).expand(-1, -1, *x.shape[-2:])
        return torch.cat([everywhere, *(branch(x) for branch in self.branches)], dim=1)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`taps`: how often the branches read each position for `pixel`, as a share; fixed, the same for every image."""
        H, W = x.shape[-2:]
        taps = x.new_full((H, W), 1 / (H * W))  # the mean of the map
        for d in self.dilations:
            for row, column in ((pixel[0] + i * d, pixel[1] + j * d) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                is_read = d > 1 or (row, column) == tuple(pixel)
                if is_read and 0 <= row < H and 0 <= column < W:
                    taps[row, column] += 1
        return {"taps": (taps / taps.sum()).expand(len(x), -1, -1)}


# The same, faster


def _pooled_as_bias(context: AtrousContext, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """CBR1 with the product of G once an image instead of at every position, where it is the same."""
    pyramid, fuse = context.attention, context.fuse
    width = pyramid.pool.conv.out_channels
    of_pooled, others = fuse.conv.weight.split([width, fuse.conv.in_channels - width], dim=1)
    y = F.conv2d(torch.cat([branch(x) for branch in pyramid.branches], dim=1), others, fuse.conv.bias)
    return fuse.relu(fuse.bn(y + F.conv2d(pyramid.pooled(x), of_pooled)))


# The head


class AtrousContext(nn.Module):
    """CBR(5w -> out) of the branches: alone w = C/4, out = C and a 1x1 convolution; in the head 3x3."""

    without_attention = "mean"

    def __init__(
        self,
        channels: int,
        width: int | None = None,
        out_channels: int | None = None,
        kernel_size: int = 1,
        *,
        dilations: Sequence[int] = (1, 12, 24, 36),
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        width = max(channels // 4, 1) if width is None else width
        self.attention = AtrousPyramid(channels, width, dilations=dilations, implementation=implementation)
        self.fuse = ConvBnRelu(width * (1 + len(dilations)), out_channels or channels, kernel_size)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B V H W"]:
        if self.attention.implementation != "reference" and self.fuse.conv.kernel_size == (1, 1):
            return _pooled_as_bias(self, x)
        return self.fuse(self.attention(x))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        return self.attention.maps(x, pixel)


class Head(nn.Module):
    """The branches on the backbone's last map, joined by a 3x3 convolution."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = AtrousContext
    family = "pyramid"
    growth = (1, 1)
    without_attention = "mean"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., AtrousContext] = AtrousContext,
    ) -> None:
        super().__init__()
        self.context = mechanism(in_channels[-1], channels, channels, 3)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    @property
    def attention(self) -> nn.Module:
        """The mechanism: the branches, without the convolution that joins them."""
        return self.context.attention

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        return {"out": self.classify(self.context(features[-1]))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`taps` (B, H, W): the share of each position in what the branches read for `pixel` = (row, column)."""
        return self.context.maps(features[-1], pixel)
