"""Atrous spatial pyramid pooling against its equation, written with loops over positions and taps."""

import pytest
import torch
from torch import Tensor, nn

from segattn import heads
from segattn.heads.aspp import AtrousContext, AtrousPyramid
from tests.heads.test_psp import layer_oracle

IMPLEMENTATIONS = ["reference", "fast"]
DILATIONS = (1, 2, 3, 5)


def branch_oracle(layer: nn.Module, sample: Tensor, dilation: int) -> Tensor:
    """CBR3 with that dilation, or CBR1 where it is 1, of a map (C, H, W)."""
    H, W = sample.shape[1:]
    taps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)] if dilation > 1 else [(0, 0)]
    out, bn = sample.new_zeros(layer.conv.out_channels, H, W), layer.bn
    for r in range(H):
        for c in range(W):
            y = sample.new_zeros(layer.conv.out_channels)
            for i, j in taps:
                row, column = r + i * dilation, c + j * dilation
                if 0 <= row < H and 0 <= column < W:
                    at = (i + 1, j + 1) if dilation > 1 else (0, 0)
                    y = y + layer.conv.weight[:, :, at[0], at[1]] @ sample[:, row, column]
            out[:, r, c] = ((y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias).relu()
    return out


def oracle(context: AtrousContext, x: Tensor) -> Tensor:
    """CBR1 of all branches, that of the mean first."""
    pyramid, out = context.attention, torch.zeros_like(x)
    for b, sample in enumerate(x):
        mean = layer_oracle(pyramid.pool, sample.mean(dim=(1, 2)))
        branches = zip(pyramid.branches, pyramid.dilations, strict=True)
        joined = torch.cat(
            [mean[:, None, None].expand(-1, *sample.shape[1:]), *(branch_oracle(m, sample, d) for m, d in branches)]
        )
        for r in range(x.shape[2]):
            for c in range(x.shape[3]):
                out[b, :, r, c] = layer_oracle(context.fuse, joined[:, r, c])
    return out


def randomised(channels: int = 7, **options) -> AtrousContext:
    torch.manual_seed(0)
    context = AtrousContext(channels, **options).double().eval()
    for module in context.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return context


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(5, 7), (11, 13), (1, 1), (2, 9)])
def test_block_equals_the_equation(size, implementation):
    context = randomised(dilations=DILATIONS, implementation=implementation)
    x = torch.randn(2, 7, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(context(x), oracle(context, x), rtol=1e-9, atol=1e-9)


def test_dilation_beyond_the_map_leaves_the_centre_tap():
    (branch,) = AtrousPyramid(5, 3, dilations=(12,)).eval().branches
    x = torch.randn(2, 5, 12, 9)
    centre = branch.conv.weight[:, :, 1:2, 1:2]
    torch.testing.assert_close(branch.conv(x), nn.functional.conv2d(x, centre))


def test_the_published_dilations_are_the_default_at_output_stride_8():
    pyramid = heads.create("aspp", (8, 8, 8, 8), 3, channels=8).attention
    assert [branch.conv.dilation for branch in pyramid.branches] == [(1, 1), (12, 12), (24, 24), (36, 36)]
    assert [branch.conv.kernel_size for branch in pyramid.branches] == [(1, 1), (3, 3), (3, 3), (3, 3)]


def test_taps_are_the_positions_whose_value_reaches_the_pixel():
    context, pixel = randomised(4, dilations=(1, 2, 4)), (6, 3)
    for module in context.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 100.0)  # no ReLU is 0
    x = torch.randn(1, 4, 13, 9, dtype=torch.float64, requires_grad=True)
    context(x)[0, :, pixel[0], pixel[1]].sum().backward()
    taps = context.maps(x, pixel)["taps"][0]
    assert taps.sum().item() == pytest.approx(1)
    least = taps.min()  # the mean of the map alone
    far = x.grad[0, :, taps == least]
    torch.testing.assert_close(far, far[:, :1].expand_as(far))
    near = x.grad[0, :, taps > least]
    assert not torch.isclose(near, far[:, :1]).all(dim=0).any()
    assert int((taps > least).sum()) == 1 + 8 + 5  # at distances 0, 2 and, where on the map, 4


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
def test_a_single_image_in_training_is_refused_with_what_to_change(mode):
    with pytest.raises(ValueError, match="at least 2 images per process"):
        heads.create("aspp", (8, 8, 8, 8), 3, mode=mode, channels=8)([torch.randn(1, 8, 9, 9) for _ in range(4)])


@pytest.mark.parametrize("dilations", [(), (0, 2)])
def test_impossible_dilations_are_refused(dilations):
    with pytest.raises(ValueError, match=r"dilations=.*such as \(1, 12, 24, 36\)"):
        AtrousPyramid(4, 2, dilations=dilations)
