"""Large-kernel attention against its equation, written with loops over positions and taps."""

import pytest
import torch
from torch import Tensor, nn

from segattn.heads.large_kernel import LargeKernelAttention
from tests.heads.oracle_layers import awake, conv, norm

IMPLEMENTATIONS = ["reference", "fast"]
OPTIONS = [{}, {"kernel_size": 9}, {"kind": "multi_scale"}]


def depthwise_oracle(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A depthwise convolution of a map (C, H, W) with zeros outside."""
    (H, W), (rows, columns), d = x.shape[1:], layer.weight.shape[2:], layer.dilation[0]
    out = layer.bias[:, None, None].expand_as(x).clone()
    for i in range(H):
        for j in range(W):
            for r in range(rows):
                for c in range(columns):
                    at = (i + d * (r - rows // 2), j + d * (c - columns // 2))
                    if 0 <= at[0] < H and 0 <= at[1] < W:
                        out[:, i, j] += layer.weight[:, 0, r, c] * x[:, at[0], at[1]]
    return out


def everywhere(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return torch.stack([conv(layer, x.flatten(1)[:, n]) for n in range(x[0].numel())], dim=1).view_as(x)


def oracle(block: LargeKernelAttention, x: Tensor) -> Tensor:
    """F + BN(W (a * u))."""
    out = torch.zeros_like(x)
    for n, sample in enumerate(x):
        z = everywhere(block.embed, sample)
        u = z * (1 + torch.erf(z / 2**0.5)) / 2
        layers = [lambda y, layer=layer: depthwise_oracle(layer, y) for layer in block.depthwise]
        b = layers[0](u)
        if block.kind == "multi_scale":
            b = b + sum(layers[i + 1](layers[i](b)) for i in (1, 3, 5))
        else:
            b = layers[1](b)
        y = everywhere(block.project, everywhere(block.mix, b) * u)
        out[n] = sample + torch.stack([norm(block.bn, y.flatten(1)[:, k]) for k in range(y[0].numel())], dim=1).view_as(
            y
        )
    return out


def block_of(channels: int = 3, **options) -> LargeKernelAttention:
    torch.manual_seed(0)
    return awake(LargeKernelAttention(channels, **options))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (11, 4)])
def test_block_equals_the_equation(size, options, implementation):
    block, x = block_of(implementation=implementation, **options), torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "side"), [("large_kernel", 23), ("multi_scale", 25)])
def test_an_interior_position_sees_a_square_without_holes(kind, side):
    block = block_of(kind=kind)
    u = torch.randn(1, 3, 41, 37, dtype=torch.float64, requires_grad=True)
    block.gate(u)[0, :, 20, 18].sum().backward()
    seen = u.grad[0].abs().sum(dim=0) > 0
    half = side // 2
    expected = torch.zeros(41, 37, dtype=torch.bool)
    expected[20 - half : 21 + half, 18 - half : 19 + half] = True
    if kind == "multi_scale":  # the outermost ring is reached along rows and columns that cross
        assert torch.equal(seen.any(dim=1), expected.any(dim=1))
        assert torch.equal(seen.any(dim=0), expected.any(dim=0))
    else:
        assert torch.equal(seen, expected)


@pytest.mark.parametrize("kind", ["large_kernel", "multi_scale"])
@pytest.mark.parametrize("pixel", [(0, 0), (4, 6), (8, 2)])
def test_reach_is_what_each_position_adds_before_the_mixing(kind, pixel):
    block, x = block_of(kind=kind), torch.randn(2, 3, 9, 7, dtype=torch.float64)
    u = nn.functional.gelu(block.embed(x)).detach().requires_grad_()
    at_pixel = block.surroundings(u)[:, :, pixel[0], pixel[1]]
    (kernel,) = torch.autograd.grad(at_pixel.sum(), u)
    maps = block.maps(x, pixel)
    torch.testing.assert_close(maps["reach"], (kernel * u).abs().mean(dim=1))
    torch.testing.assert_close(maps["gate"], block.gate(u).mean(dim=1))


def test_the_published_kernels_are_the_default():
    block = LargeKernelAttention(4)
    assert [(layer.kernel_size, layer.dilation) for layer in block.depthwise] == [((5, 5), (1, 1)), ((7, 7), (3, 3))]


@pytest.mark.parametrize(("kernel_size", "dilation"), [(20, 5), (21, 0), (0, 3)])
def test_kernels_without_a_middle_are_refused(kernel_size, dilation):
    with pytest.raises(ValueError, match="should be odd, as for 21 with 3"):
        LargeKernelAttention(4, kernel_size=kernel_size, dilation=dilation)
