"""Zhao, Shi, Qi, Wang, Jia: *Pyramid Scene Parsing Network*, CVPR 2017, arXiv 1612.01105.

No attention: every position gets the means of the map over the bins of four grids, the baseline of context by pooling.

    P_b = resize(CBR1(pool_b(X)))        Y = CBR3([X ; P_1 ; P_2 ; P_3 ; P_6])

where X is the backbone's last map with X channels; pool_b the mean over each of b x b bins, of which bin i holds the rows
floor(i H / b) to ceil((i + 1) H / b) - 1, so that bins overlap where b does not divide H; resize: bilinear to H x W; CBRk: k x k
convolution, batch norm, ReLU, in CBR1 from X to w = C channels, in CBR3 from X + 4w to C.

Cost: MACs 50 X w of the levels; no attention map. The head 9 N (X + 4w) C + N C K more. Controlled, on F with C channels,
w = C/4 and CBR1 in the place of CBR3: 50 C w + N (C + 4w) C.

Differences from the paper and from public code: none known for the head. `align_corners` of the resizing is an option, since
mmsegmentation resizes with aligned corners in its configurations of 769x769 and without in the others. The controlled form, with
its width C/4 and CBR1, is ours. Bins are relative to the map: on larger images than in training they are larger.

B batch, X backbone channels, C channels, w channels of a level, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.layers import Classifier, ConvBnRelu
from segattn.heads.parts.pooling import adaptive_means, averages

LATEX = r"""
P_b = \mathrm{resize}\bigl(\mathrm{CBR}_1(\mathrm{pool}_b(X))\bigr) \qquad
Y = \mathrm{CBR}_3\bigl([X ; P_1 ; P_2 ; P_3 ; P_6]\bigr)
"""


class PyramidPooling(nn.Module):
    """The levels [P_1 ; P_2 ; ...] side by side. In `fast` one product sums the rows of all bins; `auto` is `fast`."""

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
        align_corners: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if not bins or min(bins) < 1:
            raise ValueError(f"bins={tuple(bins)}: give the bins per side of each level, such as (1, 2, 3, 6)")
        self.bins, self.align_corners, self.implementation = tuple(bins), align_corners, implementation
        self.levels = nn.ModuleList(ConvBnRelu(channels, width, 1) for _ in bins)

    def pool(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B C b b"]]:
        """The mean of every bin, a map for each level."""
        if self.implementation != "reference":
            return _pooled_by_products(x, self.bins)
        return [adaptive_means(x, (b, b)) for b in self.bins]

    def project(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B w b b"]]:
        """CBR1 of the means, a map for each level."""
        if self.training and len(x) == 1 and 1 in self.bins:
            raise ValueError(
                "psp: batch norm over the mean of a single image; train with at least 2 images per process, or bins without 1"
            )
        return [level(means) for level, means in zip(self.levels, self.pool(x), strict=True)]

    def resize(self, level: Float[Tensor, "B w b b"], size: Sequence[int]) -> Float[Tensor, "B w H W"]:
        return F.interpolate(level, list(size), mode="bilinear", align_corners=self.align_corners)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B V H W"]:
        return torch.cat([self.resize(level, x.shape[-2:]) for level in self.project(x)], dim=1)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`level_6`, ...: the share of each position in the means that `pixel` reads; fixed, the same for every image."""
        shares = {}
        for b in sorted(self.bins, reverse=True):
            bins = torch.eye(b, dtype=x.dtype, device=x.device).view(1, b, b, 1)
            read = [
                self.resize(bins, (extent, 1))[0, :, at, 0] @ averages(b, extent, x)
                for at, extent in zip(pixel, x.shape[-2:], strict=True)
            ]  # (H,), (W,)
            shares[f"level_{b}"] = (read[0].unsqueeze(1) * read[1]).expand(len(x), -1, -1)
        return shares


# The same, faster


def _pooled_by_products(x: Float[Tensor, "B C H W"], bins: Sequence[int]) -> list[Float[Tensor, "B C b b"]]:
    """Means over columns, of all levels in one product that reads x once, then over rows: a bin is a product of intervals."""
    (H, W), wide = x.shape[-2:], widen(x)
    with full_precision(x):
        columns = wide @ torch.cat([averages(b, W, wide) for b in bins]).transpose(-2, -1)  # (B, C, H, sum of b)
        means = [averages(b, H, wide) @ part for b, part in zip(bins, columns.split(list(bins), dim=3), strict=True)]
    return [level.to(x.dtype) for level in means]


def _fused_before_resizing(context: PyramidContext, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """CBR1 with the convolution of each level before its resizing, on b x b positions: resizing mixes no channels."""
    pyramid, fuse, C = context.attention, context.fuse, x.shape[1]
    own, of_levels = fuse.conv.weight.split([C, fuse.conv.in_channels - C], dim=1)
    y = F.conv2d(x, own, fuse.conv.bias)
    for weight, level in zip(of_levels.chunk(len(pyramid.bins), dim=1), pyramid.project(x), strict=True):
        y = y + pyramid.resize(F.conv2d(level, weight), x.shape[-2:])
    return fuse.relu(fuse.bn(y))


# The head


class PyramidContext(nn.Module):
    """CBR(C + 4w -> out) of [F ; levels]: alone w = C/4, out = C and a 1x1 convolution; in the head as the paper has it."""

    without_attention = "mean"

    def __init__(
        self,
        channels: int,
        width: int | None = None,
        out_channels: int | None = None,
        kernel_size: int = 1,
        *,
        bins: Sequence[int] = (1, 2, 3, 6),
        align_corners: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        width = max(channels // 4, 1) if width is None else width
        self.attention = PyramidPooling(
            channels, width, bins=bins, align_corners=align_corners, implementation=implementation
        )
        self.fuse = ConvBnRelu(channels + width * len(bins), out_channels or channels, kernel_size)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B V H W"]:
        if self.attention.implementation != "reference" and self.fuse.conv.kernel_size == (1, 1):
            return _fused_before_resizing(self, x)
        return self.fuse(x, self.attention(x))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        return self.attention.maps(x, pixel)


class Head(nn.Module):
    """The pyramid on the backbone's last map, joined with it by a 3x3 convolution."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = PyramidContext
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
        mechanism: Callable[..., PyramidContext] = PyramidContext,
    ) -> None:
        super().__init__()
        self.context = mechanism(in_channels[-1], channels, channels, 3)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    @property
    def attention(self) -> nn.Module:
        """The mechanism: the levels, without the convolution that joins them with the map."""
        return self.context.attention

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        return {"out": self.classify(self.context(features[-1]))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`level_6` to `level_1` (B, H, W): the shares of all positions in what `pixel` = (row, column) reads."""
        return self.context.maps(features[-1], pixel)
