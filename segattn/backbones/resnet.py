"""He, Zhang, Ren, Sun: *Deep Residual Learning for Image Recognition*, CVPR 2016, arXiv 1512.03385, dilated.

The last stages use dilation instead of a stride (Yu, Koltun, Funkhouser: *Dilated Residual Networks*, arXiv 1705.09914), so that
stage 4 keeps 1/8 of the image's size. The stride of a bottleneck is in its 3x3 convolution, as in torchvision.

Parameter names: torchvision's with `stem="plain"`, mmsegmentation's ResNetV1c with `stem="deep"` (they differ in the stem only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

DEPTHS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]]
Stem = Literal["deep", "plain"]
# Output stride -> (strides, dilations) of the four stages.
LAYOUTS = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


def _conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; only the first is strided and dilated."""

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        nn.init.zeros_(self.bn2.weight)  # each block starts as its shortcut (arXiv 1706.02677, sec. 5.1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided, dilated), 1x1 convolution to four times the width, and a shortcut."""

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, dilation: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        nn.init.zeros_(self.bn3.weight)  # each block starts as its shortcut (arXiv 1706.02677, sec. 5.1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


DEPTHS = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """Dilated ResNet; maps images (B, 3, H, W) to the maps of its four stages.

    * `stem`: "deep" is three 3x3 convolutions (mmsegmentation's v1c), "plain" one 7x7.
    * `contract_dilation`: the first block of a stage whose stride is replaced by dilation uses half the dilation, as in
      mmsegmentation and EMANet; the code of FLANet, Denoised NL and CCNet does not.
    * `multi_grid`: factors of the dilation of stage 4's blocks (DeepLabv3, arXiv 1706.05587): (1, 2, 4) gives 4, 8, 16 at
      output stride 8, as in DANet and Denoised NL; with `contract_dilation` 2, 8, 16, as in EMANet.
    * `width`: channels of stage 1 before expansion; 64 in the paper, less for quick experiments.
    * `stem_channels`: output channels of the stem, by default `width`; 128 gives the 64-64-128 stem of several authors' code.
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: int = 8,
        stem: Stem = "deep",
        stem_channels: int | None = None,
        width: int = 64,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
    ) -> None:
        super().__init__()
        if output_stride not in LAYOUTS:
            raise ValueError(
                f"output_stride={output_stride} is not possible; use one of {', '.join(map(str, LAYOUTS))}"
            )
        if stem not in get_args(Stem):
            raise ValueError(f"stem={stem!r} is not known; use one of {', '.join(get_args(Stem))}")
        block, depths = DEPTHS[name]
        if multi_grid is not None and len(multi_grid) != depths[3]:
            raise ValueError(
                f"multi_grid={tuple(multi_grid)} should have {depths[3]} factors, one a block of stage 4 of {name}"
            )
        self.deep = stem == "deep"
        if width < 1:
            raise ValueError(f"width={width} should be at least 1")
        stem_channels = width if stem_channels is None else stem_channels
        if self.deep and (stem_channels < 2 or stem_channels % 2):
            raise ValueError(f"stem_channels={stem_channels} should be even: the deep stem starts with half of them")
        if self.deep:
            self.stem = _deep_stem(stem_channels)
        else:
            self.conv1 = nn.Conv2d(3, stem_channels, 7, 2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(stem_channels)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        in_channels = stem_channels
        strides, dilations = LAYOUTS[output_stride]
        for stage, depth in enumerate(depths):
            grid = tuple(multi_grid) if multi_grid is not None and stage == 3 else (1,) * depth
            block_dilations = [dilations[stage] * factor for factor in grid]
            if contract_dilation and block_dilations[0] > 1:
                block_dilations[0] //= 2
            layer = _stage(block, in_channels, width * 2**stage, stride=strides[stage], dilations=block_dilations)
            setattr(self, f"layer{stage + 1}", layer)
            in_channels = width * 2**stage * block.expansion
        self.channels = tuple(width * 2**stage * block.expansion for stage in range(4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The four stages' maps, strides 4, 8, 8, 8 at output stride 8."""
        x = self.maxpool(self.stem(images) if self.deep else self.relu(self.bn1(self.conv1(images))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)  # type: ignore[operator]
            features.append(x)
        return features


def _deep_stem(channels: int) -> nn.Sequential:
    """Three 3x3 convolutions, the first strided; indices as in mmsegmentation (0, 1, 3, 4, 6, 7 have parameters)."""
    half = channels // 2
    layers: list[nn.Module] = []
    for in_channels, out_channels, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
        layers += [
            _conv3x3(in_channels, out_channels, stride=stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, *, stride: int, dilations: Sequence[int]
) -> nn.Sequential:
    out_channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    layers = [block(in_channels, width, stride=stride, dilation=dilations[0], downsample=downsample)]
    layers += [block(out_channels, width, dilation=dilation) for dilation in dilations[1:]]
    return nn.Sequential(*layers)
