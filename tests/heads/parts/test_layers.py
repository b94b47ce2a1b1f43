"""What heads share besides the attention product."""

import pytest
import torch
from torch import nn

from segattn.heads.parts import layers
from segattn.heads.parts.layers import ConvBnRelu, feature_map, neighbours, positions, spread, start_small


@pytest.mark.parametrize("size", [(5, 7), (41, 43)])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_several_maps_are_convolved_as_if_joined(kernel_size, size):
    torch.manual_seed(0)
    layer = ConvBnRelu(3 + 5 + 2, 7, kernel_size, stride=2).double()
    maps = [torch.randn(2, C, *size, dtype=torch.float64, requires_grad=True) for C in (3, 5, 2)]
    joined = layer(torch.cat(maps, dim=1))
    upstream = torch.randn_like(joined)
    inputs = [*maps, layer.conv.weight]
    expected = torch.autograd.grad(joined, inputs, upstream)
    for layer.implementation in ("auto", "reference"):
        assert layer.apart(maps) == (layer.implementation == "auto" and (size == (41, 43) or kernel_size == 1))
        actual = layer(*maps)
        torch.testing.assert_close(actual, joined)
        torch.testing.assert_close(torch.autograd.grad(actual, inputs, upstream), expected)


def test_positions_are_undone_by_feature_map():
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(positions(x)[:, 2 * 7 + 4], x[:, :, 2, 4])
    assert torch.equal(feature_map(positions(x), (5, 7)), x)


@pytest.mark.parametrize("size", [(5, 3), (1, 7), (1, 1)])
def test_neighbours_are_the_window_with_zeros_outside(size):
    x = torch.randn(2, 3, *size)
    windows = neighbours(x)
    for row in range(size[0]):
        for column in range(size[1]):
            for d in range(9):
                r, c = row + d // 3 - 1, column + d % 3 - 1
                inside = 0 <= r < size[0] and 0 <= c < size[1]
                expected = x[:, :, r, c] if inside else torch.zeros(2, 3)
                assert torch.equal(windows[:, row * size[1] + column, d], expected)


@pytest.mark.parametrize("size", [(5, 3), (1, 7), (1, 1)])
def test_spreading_is_the_transpose_of_the_sum_over_neighbours(size):
    """<y, sum_d s_d x_{+d}> = <spread(s y), x>, for every y."""
    x, y = (torch.randn(2, 3, *size, dtype=torch.float64) for _ in range(2))
    s = torch.randn(2, 9, size[0] * size[1], dtype=torch.float64)
    summed = torch.einsum("bndc,bdn->bcn", neighbours(x), s)
    torch.testing.assert_close((summed * y.flatten(2)).sum(), (spread(y, s) * x.flatten(2)).sum())


@pytest.mark.parametrize("window", [1, 3, 5])
def test_gradients_of_spreading_are_those_of_its_equation(window):
    x = torch.randn(2, 3, 5, 2, dtype=torch.float64, requires_grad=True)
    s = torch.randn(2, window**2, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, s: spread(x, s, window), (x, s))


def test_spreading_in_a_graph_computes_the_same(monkeypatch):
    x, s = torch.randn(1, 3, 5, 7), torch.randn(1, 9, 35)
    expected = spread(x, s)
    monkeypatch.setattr(layers, "recording", lambda: True)
    assert torch.equal(spread(x, s), expected)


def test_a_block_that_starts_small_adds_nothing_behind_its_batch_norm():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64))
    start_small(block)
    assert block[0].weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not block(torch.randn(2, 64, 5, 7)).any()
