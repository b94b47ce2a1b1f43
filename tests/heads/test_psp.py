"""Pyramid pooling against its equation, written with loops over positions and bins."""

import math

import pytest
import torch
from torch import Tensor, nn

from segattn import heads
from segattn.heads.parts.layers import ConvBnRelu
from segattn.heads.psp import PyramidContext, PyramidPooling

IMPLEMENTATIONS = ["reference", "fast"]
SIZES = [(5, 7), (13, 11), (1, 1), (2, 9)]  # smaller than the bins, and not divisible by them


def layer_oracle(layer: ConvBnRelu, vector: Tensor) -> Tensor:
    """1x1 convolution, batch norm in inference, ReLU."""
    bn, y = layer.bn, layer.conv.weight[:, :, 0, 0] @ vector
    return ((y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias).relu()


def bilinear(b: int, extent: int, at: int, align_corners: bool) -> dict[int, float]:
    """The weights of b values in position `at` of `extent`."""
    if align_corners:
        source = at * (b - 1) / (extent - 1) if extent > 1 else 0.0
    else:
        source = max((at + 0.5) * b / extent - 0.5, 0.0)
    low = min(math.floor(source), b - 1)
    high, share = min(low + 1, b - 1), source - low
    weights = {low: 1 - share}
    weights[high] = weights.get(high, 0.0) + share
    return weights


def interval(b: int, extent: int, index: int) -> range:
    return range(index * extent // b, math.ceil((index + 1) * extent / b))


def levels_oracle(pyramid: PyramidPooling, sample: Tensor) -> Tensor:
    """All levels at every position of a map (C, H, W)."""
    H, W = sample.shape[1:]
    out = []
    for b, level in zip(pyramid.bins, pyramid.levels, strict=True):
        bins = {}
        for i in range(b):
            for j in range(b):
                members = [(r, c) for r in interval(b, H, i) for c in interval(b, W, j)]
                bins[i, j] = layer_oracle(level, sum(sample[:, r, c] for r, c in members) / len(members))
        resized = sample.new_zeros(len(bins[0, 0]), H, W)
        for r in range(H):
            for c in range(W):
                rows, columns = (bilinear(b, n, at, pyramid.align_corners) for n, at in ((H, r), (W, c)))
                resized[:, r, c] = sum(p * q * bins[i, j] for i, p in rows.items() for j, q in columns.items())
        out.append(resized)
    return torch.cat(out)


def oracle(context: PyramidContext, x: Tensor) -> Tensor:
    """CBR1 of [F ; levels]."""
    out = torch.zeros_like(x)
    for b, sample in enumerate(x):
        joined = torch.cat([sample, levels_oracle(context.attention, sample)])
        for r in range(x.shape[2]):
            for c in range(x.shape[3]):
                out[b, :, r, c] = layer_oracle(context.fuse, joined[:, r, c])
    return out


def randomised(channels: int = 7, **options) -> PyramidContext:
    torch.manual_seed(0)
    context = PyramidContext(channels, **options).double().eval()
    for module in context.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return context


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_block_equals_the_equation(size, align_corners, implementation):
    context = randomised(align_corners=align_corners, implementation=implementation)
    x = torch.randn(2, 7, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(context(x), oracle(context, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_level_1_is_the_mean_and_a_constant_map_gives_constant_levels(implementation):
    pyramid = PyramidPooling(5, 3, implementation=implementation).eval()
    x = torch.randn(2, 5, 13, 9)
    torch.testing.assert_close(pyramid.pool(x)[0], x.mean(dim=(2, 3), keepdim=True))
    levels = pyramid(torch.ones(1, 5, 13, 9))
    torch.testing.assert_close(levels, levels[:, :, :1, :1].expand_as(levels))


@pytest.mark.parametrize("align_corners", [True, False])
def test_maps_are_what_the_pixel_reads(align_corners):
    """Their sum with the map is the level at the pixel, for a level that passes its means on."""
    pyramid = PyramidPooling(2, 2, bins=(1, 3, 6), align_corners=align_corners).double().eval()
    for level in pyramid.levels:
        nn.init.dirac_(level.conv.weight)
        level.bn.eps = 0.0
    x = torch.rand(2, 2, 8, 11, dtype=torch.float64)
    levels, pixel = pyramid(x), (5, 2)
    maps = pyramid.maps(x, pixel)
    assert list(maps) == ["level_6", "level_3", "level_1"]
    for index, b in enumerate((1, 3, 6)):
        read = (maps[f"level_{b}"].unsqueeze(1) * x).sum(dim=(2, 3))
        torch.testing.assert_close(read, levels[:, 2 * index : 2 * index + 2, pixel[0], pixel[1]])
        torch.testing.assert_close(maps[f"level_{b}"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
def test_a_single_image_in_training_is_refused_with_what_to_change(mode):
    features = [torch.randn(1, 8, 9, 9) for _ in range(4)]
    with pytest.raises(ValueError, match="at least 2 images per process"):
        heads.create("psp", (8, 8, 8, 8), 3, mode=mode, channels=8)(features)
    head = heads.create("psp", (8, 8, 8, 8), 3, mode=mode, channels=8, bins=(2, 4))
    assert head(features)["out"].isfinite().all()


@pytest.mark.parametrize("bins", [(), (0, 2)])
def test_impossible_bins_are_refused(bins):
    with pytest.raises(ValueError, match=r"bins=.*such as \(1, 2, 3, 6\)"):
        PyramidPooling(4, 2, bins=bins)
