"""Windows in tiles against the windows of every position."""

import pytest
import torch

from segattn.heads.neighborhood import NeighborhoodAttention
from segattn.heads.parts.in_tiles import tiles_of
from tests.heads.oracle_layers import awake
from tests.heads.test_neighborhood import window

AXES = [(1, 7, 1), (6, 7, 1), (8, 3, 1), (9, 3, 1), (40, 7, 1), (41, 4, 3), (17, 13, 2), (3, 5, 7)]


@pytest.mark.parametrize(("extent", "kernel_size", "dilation"), AXES)
def test_every_index_is_a_query_once_and_its_window_is_among_the_keys(extent, kernel_size, dilation):
    queries = []
    for tile in tiles_of(extent, kernel_size, dilation):
        own, keys = (list(range(extent))[part] for part in tile[:2])
        assert len(own) <= 8
        assert len(keys) == tile.windows.starts[-1] + tile.windows.size
        for at, start, place in zip(own, tile.windows.starts, tile.windows.places, strict=True):
            members = keys[start : start + tile.windows.size]
            assert members == window(at, extent, kernel_size, dilation)
            assert at == keys[0] + place * dilation
        queries += own
    assert sorted(queries) == list(range(extent))


@pytest.mark.parametrize("num_heads", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel_size", "dilation", "size"), [(7, 1, (20, 11)), (4, 3, (9, 17)), (5, 8, (6, 21)), (1, 1, (9, 8))]
)
def test_every_gradient_is_that_of_the_equation(kernel_size, dilation, size, bias, num_heads):
    results = []
    torch.manual_seed(1)
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    for implementation in ("reference", "fast"):
        torch.manual_seed(0)
        options = {"kernel_size": kernel_size, "dilation": dilation, "num_heads": num_heads, "bias": bias}
        block = awake(NeighborhoodAttention(6, implementation=implementation, **options))
        out = block(x)
        results.append([out, *torch.autograd.grad((out * out.detach().cos()).sum(), [x, *block.parameters()])])
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-9, atol=1e-9)


def test_logits_far_apart_stay_finite_in_single_precision():
    block = NeighborhoodAttention(8, num_heads=2, implementation="fast")
    torch.nn.init.ones_(block.bn.weight)
    x = (1e4 * torch.randn(1, 8, 13, 10)).requires_grad_()
    out = block(x)
    gradients = torch.autograd.grad(out.square().mean(), [x, *block.parameters()])
    assert all(tensor.isfinite().all() for tensor in (out, *gradients))


def test_an_empty_batch_has_no_tiles():
    block = NeighborhoodAttention(8, num_heads=2, implementation="fast").eval()
    assert block(torch.zeros(0, 8, 9, 9)).shape == (0, 8, 9, 9)


def test_neither_weights_nor_windows_are_stored():
    block, x = NeighborhoodAttention(16, num_heads=2), torch.randn(1, 16, 24, 24, requires_grad=True)
    stored = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: stored.append(tensor.numel()) or tensor, lambda x: x):
        block(x)
    assert max(stored) <= x.numel()
