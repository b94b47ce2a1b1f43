"""Four maps from the one map of a plain transformer: a simple pyramid.

Y. Li, H. Mao, R. Girshick, K. He: *Exploring Plain Vision Transformer Backbones for Object Detection*, ECCV 2022, arXiv
2203.16527, section 3: every map is computed from the last one, by transposed convolutions (2x2, stride 2, half the channels), as
it is, or by 2x2 max pooling. A layer norm over channels and a GELU stand between two transposed convolutions.

Differences from the paper: the 1x1 and 3x3 convolutions to 256 channels after each map are left out, as every head begins with a
convolution of its own. Strides follow the output stride: 4, 8, 8, 8 or 4, 8, 16, 16 or 4, 8, 16, 32. Where the patch size is no
power of two (14), doubling gives 3.5, 7, 14 or 28 pixels, and the map is resized bilinearly to the stride wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = {8: (4, 8, 8, 8), 16: (4, 8, 16, 16), 32: (4, 8, 16, 32)}
"""Strides of the four maps at each output stride."""


class SimplePyramid(nn.Module):
    """Maps of `strides` from one map (B, C, h, w) of `stride`; `channels` of each are C over 2 for each doubling of the size."""

    def __init__(self, channels: int, stride: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        doublings = [round(math.log2(stride / wanted)) for wanted in strides]
        self.scaled = [stride / 2**count for count in doublings]
        self.branches = nn.ModuleList(_branch(channels, count) for count in doublings)
        self.channels = tuple(channels // 2 ** max(count, 0) for count in doublings)

    def forward(self, x: Tensor, size: Sequence[int]) -> list[Tensor]:
        """Four maps (B, C_i, ceil(H / s_i), ceil(W / s_i)) of images of `size` (H, W)."""
        maps = []
        for branch, stride, wanted in zip(self.branches, self.scaled, self.strides, strict=True):
            y = cropped(branch(x), size, stride)
            if stride != wanted:
                shape = [math.ceil(side / wanted) for side in size]
                y = F.interpolate(y, size=shape, mode="bilinear", align_corners=False)
            maps.append(y)
        return maps


def cropped(x: Tensor, size: Sequence[int], stride: float) -> Tensor:
    """The positions of a map (B, C, h, w) that see images of `size`, ceil(size / stride) of them, without those of padding."""
    return x[..., : math.ceil(size[0] / stride), : math.ceil(size[1] / stride)]


def _branch(channels: int, doublings: int) -> nn.Module:
    """Doubles a map's size as many times as said, or halves it."""
    layers: list[nn.Module] = []
    for _ in range(doublings):
        if layers:
            layers += [ChannelNorm(channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels //= 2
    layers += [nn.MaxPool2d(2, ceil_mode=True) for _ in range(-doublings)]
    return nn.Sequential(*layers)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
