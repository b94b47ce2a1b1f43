"""He, Zhang, Ren, Sun: *Deep Residual Learning for Image Recognition*, CVPR 2016, arXiv 1512.03385, dilated.

The last stages use dilation instead of a stride (Yu, Koltun, Funkhouser: *Dilated Residual Networks*, arXiv 1705.09914), so that
stage 4 keeps 1/8 of the image's size, or 1/4. The stride of a bottleneck is in its 3x3 convolution, as in torchvision.

Parameter names: torchvision's with `stem="plain"`, mmsegmentation's ResNetV1c with `stem="deep"` (they differ in the stem only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from jaxtyping import Float
from torch import Tensor, nn

DEPTHS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]]
Stem = Literal["deep", "plain"]
# Output stride -> (strides, dilations) of the four stages.
LAYOUTS = {
    4: ((1, 1, 1, 1), (1, 2, 4, 8)),
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


def _conv(in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution of kernel 3 or 1 that keeps the size, up to its stride; a kernel of 1 has no dilation."""
    dilation = dilation if kernel > 1 else 1
    padding = kernel // 2 * dilation
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=padding, dilation=dilation, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions, 3x3 unless `kernels` says otherwise, and a shortcut; only the first is strided and dilated."""

    expansion = 1
    recomputable = True
    """Activation checkpointing recomputes it."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        kernels: Sequence[int] = (3, 3),
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, kernels[0], stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernels[1])
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        nn.init.zeros_(self.bn2.weight)  # each block starts as its shortcut (arXiv 1706.02677, sec. 5.1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided, dilated; 1x1 if `kernels` says so), 1x1 convolution to four times the width, and a shortcut."""

    expansion = 4
    recomputable = True

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        kernels: Sequence[int] = (3,),
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernels[0], stride=stride, dilation=dilation)
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
    """Dilated ResNet; maps images (B, C, H, W) to the maps of its four stages.

    * `in_channels`: C, the bands of the images.
    * `stem`: "deep" is three 3x3 convolutions (mmsegmentation's v1c), "plain" one 7x7.
    * `contract_dilation`: the first block of a stage whose stride is replaced by dilation uses half the dilation, as in
      mmsegmentation and EMANet; the code of FLANet, Denoised NL and CCNet does not.
    * `multi_grid`: factors of the dilation of stage 4's blocks (DeepLabv3, arXiv 1706.05587): (1, 2, 4) gives 4, 8, 16 at
      output stride 8, as in DANet and Denoised NL; with `contract_dilation` 2, 8, 16, as in EMANet.
    * `width`: channels of stage 1 before expansion; 64 in the paper, less for quick experiments.
    * `stem_channels`: output channels of the stem, by default `width`; 128 gives the 64-64-128 stem of several authors' code.
    * `receptive_field`: side in pixels of the square that one position of stage 4 sees, the largest by default: 311, 103 or
      55 for resnet18 at output stride 8. Smaller ones replace 3x3 by 1x1 convolutions as in BagNet (Brendel, Bethge:
      *Approximating CNNs with Bag-of-local-Features Models*, ICLR 2019, arXiv 1904.00760), so that context is left to the head.
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: int = 8,
        in_channels: int = 3,
        stem: Stem = "deep",
        stem_channels: int | None = None,
        width: int = 64,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
        receptive_field: int | None = None,
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
        plans = _plans(name, output_stride, multi_grid, contract_dilation)
        sizes = {_receptive_field(plan, stem): plan for plan in plans}
        if receptive_field is not None and receptive_field not in sizes:
            raise ValueError(
                f"receptive_field={receptive_field} is not possible; with these options {name} has one of "
                f"{', '.join(map(str, sorted(sizes)))} pixels"
            )
        plan = plans[0] if receptive_field is None else sizes[receptive_field]
        self.receptive_field = _receptive_field(plan, stem)
        self.deep = stem == "deep"
        if width < 1:
            raise ValueError(f"width={width} should be at least 1")
        stem_channels = width if stem_channels is None else stem_channels
        if self.deep and (stem_channels < 2 or stem_channels % 2):
            raise ValueError(f"stem_channels={stem_channels} should be even: the deep stem starts with half of them")
        if self.deep:
            self.stem = _deep_stem(in_channels, stem_channels)
        else:
            self.conv1 = nn.Conv2d(in_channels, stem_channels, 7, 2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(stem_channels)
            self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.in_channels, before = in_channels, stem_channels
        for stage, shapes in enumerate(plan):
            layer = _stage(block, before, width * 2**stage, shapes)
            setattr(self, f"layer{stage + 1}", layer)
            before = width * 2**stage * block.expansion
        self.channels = tuple(width * 2**stage * block.expansion for stage in range(4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B C H W"]) -> list[Tensor]:
        """The four stages' maps, strides 4, 8, 8, 8 at output stride 8, all 4 at 4."""
        x = self.maxpool(self.stem(images) if self.deep else self.relu(self.bn1(self.conv1(images))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)  # type: ignore[operator]
            features.append(x)
        return features


def _deep_stem(bands: int, channels: int) -> nn.Sequential:
    """Three 3x3 convolutions, the first strided; indices as in mmsegmentation (0, 1, 3, 4, 6, 7 have parameters)."""
    half = channels // 2
    layers: list[nn.Module] = []
    for in_channels, out_channels, stride in ((bands, half, 2), (half, half, 1), (half, channels, 1)):
        layers += [
            _conv(in_channels, out_channels, stride=stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class _Shape(NamedTuple):
    """Stride and dilation of a block's first spatial convolution, and the kernels of all its spatial convolutions."""

    stride: int
    dilation: int
    kernels: tuple[int, ...]


_Plan = list[list[_Shape]]
"""The blocks of the four stages."""


def _plans(name: str, output_stride: int, multi_grid: Sequence[int] | None, contract_dilation: bool) -> list[_Plan]:
    """The network's possible shapes, from the largest receptive field to the smallest: 3x3 convolutions everywhere, in stages 1
    and 2 only, and there only where BagNet keeps them: the first of a basic block, the first bottleneck of a stage."""
    block, depths = DEPTHS[name]
    strides, dilations = LAYOUTS[output_stride]
    plans: list[_Plan] = [[], [], []]
    for stage, depth in enumerate(depths):
        grid = tuple(multi_grid) if multi_grid is not None and stage == 3 else (1,) * depth
        own = [dilations[stage] * factor for factor in grid]
        if contract_dilation and own[0] > 1:
            own[0] //= 2
        for plan, near in zip(plans, (4, 2, 0), strict=True):
            shapes = []
            for index, dilation in enumerate(own):
                bagnet = (3, 1) if block is BasicBlock else (3 if index == 0 else 1,)
                kernels = bagnet if stage < 2 else (1,) * len(bagnet)
                stride = strides[stage] if index == 0 else 1
                shapes.append(_Shape(stride, dilation, (3,) * len(bagnet) if stage < near else kernels))
            plan.append(shapes)
    return plans


def _receptive_field(plan: _Plan, stem: Stem) -> int:
    """Side in pixels of what a position of stage 4 sees: 1 + the sum of (kernel - 1) * dilation * stride so far."""
    field, stride = 1 + (2 + 2 * 2 + 2 * 2 if stem == "deep" else 6), 2
    field, stride = field + 2 * stride, 2 * stride  # the max pooling
    for shape in (shape for stage in plan for shape in stage):
        field += (shape.kernels[0] - 1) * shape.dilation * stride
        stride *= shape.stride
        field += sum(kernel - 1 for kernel in shape.kernels[1:]) * stride
    return field


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, shapes: Sequence[_Shape]
) -> nn.Sequential:
    out_channels = width * block.expansion
    downsample = None
    if shapes[0].stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, shapes[0].stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    layers = [block(in_channels, width, **shapes[0]._asdict(), downsample=downsample)]
    layers += [block(out_channels, width, **shape._asdict()) for shape in shapes[1:]]
    return nn.Sequential(*layers)
