"""External attention against its equation, written with loops over positions and slots."""

import pytest
import torch
from torch import Tensor

from segattn.heads.external import ExternalAttention
from tests.heads.oracle_layers import awake, conv, norm

IMPLEMENTATIONS = ["reference", "fast"]


def weights_oracle(block: ExternalAttention, sample: Tensor) -> Tensor:
    """A (N, S) of a map (C, N): softmax over positions, then each row divided by its sum."""
    N, S = sample.shape[1], len(block.memory_key)
    x = [conv(block.embed, sample[:, n]) for n in range(N)]
    P = torch.stack([torch.stack([block.memory_key[s].dot(x[n]) for n in range(N)]).softmax(0) for s in range(S)], 1)
    return torch.stack([P[n] / sum(P[n, s] for s in range(S)) for n in range(N)])


def oracle(block: ExternalAttention, x: Tensor) -> Tensor:
    """ReLU(F + BN(W_o sum_s A_ns v_s))."""
    out, values = torch.zeros_like(x).flatten(2), block.memory_key
    if block.memory_value is not None:
        values = block.memory_value
    for b, sample in enumerate(x.flatten(2)):
        A = weights_oracle(block, sample)
        for n in range(sample.shape[1]):
            y = sum(A[n, s] * values[s] for s in range(len(values)))
            out[b, :, n] = (sample[:, n] + norm(block.bn, conv(block.project, y))).relu()
    return out.view_as(x)


def block_of(channels: int = 7, **options) -> ExternalAttention:
    torch.manual_seed(0)
    return awake(ExternalAttention(channels, **{"num_slots": 5, **options}))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (7, 2)])
def test_block_equals_the_equation(size, tied, implementation):
    block = block_of(tied=tied, implementation=implementation)
    x = torch.randn(2, 7, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("scale", [1, 30])
def test_each_position_reads_a_mean_of_the_slots_whatever_the_scale(scale, implementation):
    block = ExternalAttention(16, implementation=implementation)
    A = block.weights(block.logits(scale * torch.randn(1, 16, 40, 40)))
    torch.testing.assert_close(A.sum(dim=1), torch.ones(1, 1600))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_map_beside_itself_gives_each_copy_the_same(implementation):
    block, x = block_of(implementation=implementation), torch.randn(1, 7, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(torch.cat([x, x], 3)), torch.cat([block(x)] * 2, 3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bias_of_the_embedding_has_no_effect(implementation):
    block, x = block_of(implementation=implementation), torch.randn(1, 7, 3, 4, dtype=torch.float64)
    before = block(x)
    torch.nn.init.normal_(block.embed.bias)
    torch.testing.assert_close(block(x), before, rtol=1e-9, atol=1e-9)


def test_one_slot_gives_every_position_the_same_vector():
    block, x = block_of(num_slots=1), torch.randn(2, 7, 3, 4, dtype=torch.float64)
    added = []
    block.bn.register_forward_hook(lambda module, inputs, output: added.append(output))
    block(x)
    torch.testing.assert_close(added[0], added[0][:, :, :1, :1].expand_as(added[0]))


def test_memories_start_equal_and_tied_ones_are_one_parameter():
    apart, tied = ExternalAttention(8), ExternalAttention(8, tied=True)
    assert torch.equal(apart.memory_key, apart.memory_value)
    assert apart.memory_key.data_ptr() != apart.memory_value.data_ptr()
    assert [name for name, _ in tied.named_parameters() if name.startswith("memory")] == ["memory_key"]


def test_maps_are_the_shares_of_the_slots_that_the_pixel_reads():
    block, x = block_of(), torch.randn(2, 7, 5, 3, dtype=torch.float64)
    maps = block.maps(x, (4, 1))
    for b, sample in enumerate(x.flatten(2)):
        torch.testing.assert_close(maps["slots"][b, 0], weights_oracle(block, sample)[4 * 3 + 1])
    for rank in (1, 2, 3):
        torch.testing.assert_close(maps[f"slot_{rank}"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))


def test_no_slots_are_refused():
    with pytest.raises(ValueError, match="num_slots=0 is not possible; use 1 or more"):
        ExternalAttention(8, num_slots=0)
