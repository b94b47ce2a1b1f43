"""A backbone that sees nothing but its own patch: each position of a map is computed from one square of the image.

Patches are embedded as in vision transformers (Dosovitskiy et al., arXiv 2010.11929), in two steps of 4x4 and 2x2 pixels; all
other convolutions are 1x1. Squares do not overlap, so that no padding tells a position where it lies. Whatever a network knows
beyond a patch is brought by its head, which is what the probes of docs/probes.md measure.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = {8: (4, 2, 1, 1), 16: (4, 2, 2, 1), 32: (4, 2, 2, 2)}
"""Sides of the squares that each stage joins to one position, by output stride."""


class Patches(nn.Module):
    """Maps images (B, C, H, W) to the maps of four stages; `width` is the number of channels of the first, doubled by each."""

    def __init__(self, *, output_stride: int = 8, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        if output_stride not in STRIDES:
            raise ValueError(
                f"output_stride={output_stride} is not possible; use one of {', '.join(map(str, STRIDES))}"
            )
        if width < 1:
            raise ValueError(f"width={width} should be at least 1")
        self.in_channels, self.receptive_field = in_channels, output_stride
        self.channels = tuple(width * 2**stage for stage in range(4))
        self.strides = _products(STRIDES[output_stride])
        before = (in_channels, *self.channels)
        for stage, side in enumerate(STRIDES[output_stride]):
            setattr(self, f"stage{stage + 1}", _Stage(before[stage], before[stage + 1], side))

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Tensor]:
        """The four stages' maps, strides 4, 8, 8, 8 at output stride 8."""
        x, maps = images, []
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            x = stage(x)  # type: ignore[operator]
            maps.append(x)
        return maps


class _Stage(nn.Module):
    """Joins squares of `side` to one position, then a 1x1 convolution; batch norm and ReLU after both."""

    def __init__(self, in_channels: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.join = nn.Conv2d(in_channels, channels, side, side, bias=False)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        for conv in (self.join, self.mix):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, ceil(H / side), ceil(W / side)); incomplete squares are filled with zeros."""
        right, below = (-x.shape[axis] % self.side for axis in (3, 2))
        x = F.pad(x, (0, right, 0, below)) if right or below else x
        return F.relu(self.bn2(self.mix(F.relu(self.bn1(self.join(x))))))


def _products(factors: Sequence[int]) -> tuple[int, ...]:
    """The product of the first, of the first two, and so on."""
    products = [1]
    for factor in factors:
        products.append(products[-1] * factor)
    return tuple(products[1:])
