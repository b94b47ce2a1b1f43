"""Efficient attention against its equation, written with loops over positions and channels."""

import pytest
import torch
from torch import Tensor

from segattn.heads.efficient import EfficientAttention
from segattn.heads.non_local import NonLocal
from tests.heads.oracle_layers import awake, conv, norm

IMPLEMENTATIONS = ["reference", "fast"]
OPTIONS = [{}, {"num_heads": 2}, {"normalisation": "scaling"}]


def oracle(block: EfficientAttention, x: Tensor) -> Tensor:
    """x + BN(W y), y_i the values weighted by the implicit map p r^T, which is written out."""
    out = torch.zeros_like(x).flatten(2)
    for b, sample in enumerate(x.flatten(2)):
        N = sample.shape[1]
        q, k, v = ([conv(layer, sample[:, n]) for n in range(N)] for layer in (block.query, block.key, block.value))
        size = len(q[0]) // block.num_heads
        y = [torch.zeros_like(v[0]) for _ in range(N)]
        for part in (slice(h * size, (h + 1) * size) for h in range(block.num_heads)):
            if block.normalisation == "scaling":
                p, r = [q[n][part] / N**0.5 for n in range(N)], [k[n][part] / N**0.5 for n in range(N)]
            else:
                p = [q[n][part].softmax(0) for n in range(N)]
                total = sum(k[n][part].exp() for n in range(N))
                r = [k[n][part].exp() / total for n in range(N)]
            for i in range(N):
                y[i][part] = sum(p[i].dot(r[j]) * v[j][part] for j in range(N))
        for n in range(N):
            out[b, :, n] = sample[:, n] + norm(block.bn, conv(block.project, y[n]))
    return out.view_as(x)


def block_of(channels: int = 8, **options) -> EfficientAttention:
    torch.manual_seed(0)
    return awake(EfficientAttention(channels, **options))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (7, 2)])
def test_block_equals_the_equation(size, options, implementation):
    block, x = block_of(implementation=implementation, **options), torch.randn(2, 8, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("num_heads", [1, 4])
def test_rows_of_the_implicit_map_sum_to_one_and_its_rank_is_at_most_that_of_the_templates(num_heads):
    block = block_of(num_heads=num_heads)
    p, r = block.weights(5 * torch.randn(2, 8, 5, 7, dtype=torch.float64))
    implicit = p.mT @ r  # (B, h, N, N)
    torch.testing.assert_close(implicit.sum(dim=3), torch.ones(2, num_heads, 35, dtype=torch.float64))
    assert torch.linalg.matrix_rank(implicit).max() <= 4 // num_heads


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_scaling_is_non_locals_dot_product(implementation):
    block = block_of(normalisation="scaling", implementation=implementation)
    other = NonLocal(8, pairwise="dot_product").double().eval()
    other.load_state_dict(block.state_dict())
    x = torch.randn(2, 8, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(block(x), other(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_map_beside_itself_gives_each_copy_the_same(implementation):
    block, x = block_of(implementation=implementation), torch.randn(1, 8, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(torch.cat([x, x], 3)), torch.cat([block(x)] * 2, 3), rtol=1e-9, atol=1e-9)


def test_bias_of_the_keys_has_no_effect():
    block, x = block_of(), torch.randn(1, 8, 3, 4, dtype=torch.float64)
    before = block(x)
    torch.nn.init.normal_(block.key.bias)
    torch.testing.assert_close(block(x), before, rtol=1e-9, atol=1e-9)


def test_affinity_is_the_row_of_the_pixel_and_templates_are_its_strongest():
    block, x = block_of(num_heads=2), torch.randn(2, 8, 5, 7, dtype=torch.float64)
    maps, (p, r) = block.maps(x, (2, 3)), block.weights(x)
    torch.testing.assert_close(maps["affinity"].flatten(1), (p.mT @ r).mean(dim=1)[:, 2 * 7 + 3])
    torch.testing.assert_close(maps["affinity"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
    strongest = maps["templates"][:, 0].argmax(dim=1)
    for b in range(2):
        torch.testing.assert_close(maps["template_1"][b].flatten(), r[b].flatten(0, 1)[strongest[b]])


@pytest.mark.parametrize("num_heads", [0, 3])
def test_heads_that_do_not_divide_the_channels_are_refused(num_heads):
    with pytest.raises(ValueError, match=f"num_heads={num_heads} does not divide the 4 projected channels"):
        EfficientAttention(8, num_heads=num_heads)
