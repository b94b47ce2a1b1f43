"""Neighborhood attention against its equation, written with loops over positions and windows."""

import pytest
import torch
from torch import Tensor

from segattn.heads.neighborhood import NeighborhoodAttention
from tests.heads.oracle_layers import awake, conv, norm

IMPLEMENTATIONS = ["reference", "fast"]
OPTIONS = [
    {},
    {"dilation": 2},
    {"kernel_size": 5, "bias": False},
    {"kernel_size": 4},
    {"kernel_size": 7, "dilation": 3},
]
SIZES = [(7, 11), (1, 1), (2, 9)]


def window(at: int, extent: int, kernel_size: int, dilation: int) -> list[int]:
    """The members of the window of one index of an axis."""
    same = [i for i in range(extent) if i % dilation == at % dilation]
    start = min(max(same.index(at) - kernel_size // 2, 0), max(len(same) - kernel_size, 0))
    return same[start : start + kernel_size]


def oracle(block: NeighborhoodAttention, x: Tensor) -> Tensor:
    """x + BN(W y)."""
    C, H, W = x.shape[1:]
    K, e, d = block.kernel_size, block.dilation, C // block.num_heads
    out = torch.zeros_like(x)
    for n, sample in enumerate(x):
        q, k, v = (
            {(i, j): conv(layer, sample[:, i, j]) for i in range(H) for j in range(W)}
            for layer in (block.query, block.key, block.value)
        )
        for i, j in q:
            members = [(r, c) for r in window(i, H, K, e) for c in window(j, W, K, e)]
            y = torch.zeros_like(v[i, j])
            for h in range(block.num_heads):
                part = slice(h * d, (h + 1) * d)
                logits = [q[i, j][part].dot(k[at][part]) / d**0.5 for at in members]
                if block.table is not None:
                    offsets = [((r - i) // e + K - 1, (c - j) // e + K - 1) for r, c in members]
                    logits = [logit + block.table[h, r, c] for logit, (r, c) in zip(logits, offsets, strict=True)]
                weights = torch.stack(logits).softmax(0)
                y[part] = sum(w * v[at][part] for w, at in zip(weights, members, strict=True))
            out[n, :, i, j] = sample[:, i, j] + norm(block.bn, conv(block.project, y))
    return out


def block_of(channels: int = 6, **options) -> NeighborhoodAttention:
    torch.manual_seed(0)
    return awake(NeighborhoodAttention(channels, **{"num_heads": 2, "kernel_size": 3, **options}))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_block_equals_the_equation(size, options, implementation):
    block, x = block_of(implementation=implementation, **options), torch.randn(1, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kernel_size", "dilation", "size"), [(7, 1, (20, 33)), (3, 5, (29, 8)), (13, 1, (17, 9))])
def test_tiles_give_the_windows_and_their_gradients_too(kernel_size, dilation, size):
    results = []
    for implementation in IMPLEMENTATIONS:
        block = block_of(kernel_size=kernel_size, dilation=dilation, implementation=implementation)
        x = torch.linspace(-2, 2, 6 * size[0] * size[1], dtype=torch.float64).sin().view(1, 6, *size).requires_grad_()
        out = block(x)
        out.square().sum().backward()
        results.append([out, x.grad, block.table.grad, block.key.weight.grad])
    for reference, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)


def test_a_window_over_the_whole_map_is_full_attention():
    block, x = block_of(kernel_size=13, num_heads=1, bias=False), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    q, k, v = (layer(x).flatten(2).mT for layer in (block.query, block.key, block.value))
    y = (q @ k.mT * 6**-0.5).softmax(2) @ v
    torch.testing.assert_close(block(x), x + block.bn(block.project(y.mT.reshape(x.shape))))


def test_a_window_of_one_passes_the_values():
    block, x = block_of(kernel_size=1), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(block(x), x + block.bn(block.project(block.value(x))))


@pytest.mark.parametrize("pixel", [(0, 0), (12, 4), (6, 8)])
def test_windows_keep_their_size_at_the_border_and_are_not_padded(pixel):
    block, x = block_of(kernel_size=5), torch.randn(1, 6, 13, 9, dtype=torch.float64)
    affinity = block.maps(x, pixel)["affinity"][0]
    assert int((affinity > 0).sum()) == 25
    assert affinity.sum().item() == pytest.approx(1)
    expected = torch.zeros_like(affinity, dtype=torch.bool)
    for r in window(pixel[0], 13, 5, 1):
        expected[r, window(pixel[1], 9, 5, 1)] = True
    assert torch.equal(affinity > 0, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradient_of_a_position_is_supported_by_its_window(implementation):
    block = block_of(kernel_size=3, dilation=2, implementation=implementation)
    x = torch.randn(1, 6, 9, 11, dtype=torch.float64, requires_grad=True)
    block(x)[0, :, 4, 5].sum().backward()
    reached = (x.grad[0].abs().sum(0) > 0).nonzero().tolist()
    assert reached == [[r, c] for r in (2, 4, 6) for c in (3, 5, 7)]


def test_moving_the_map_moves_the_interior():
    block, x = block_of(), torch.randn(1, 6, 9, 9, dtype=torch.float64)
    moved = block(torch.roll(x, 1, dims=3))
    torch.testing.assert_close(moved[..., 3:-2], block(x)[..., 2:-3])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_heads": 4}, "num_heads=4 does not divide the 6 channels; use a divisor"),
        ({"kernel_size": 0}, "kernel_size=0 and dilation=1: use at least 1 of each"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        block_of(**options)
