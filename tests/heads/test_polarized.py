"""Polarized self-attention against its equation, written with loops over positions and channels."""

from itertools import product

import pytest
import torch
from torch import Tensor

from segattn.heads.polarized import PolarizedAttention
from tests.heads.oracle_layers import awake, conv

IMPLEMENTATIONS = ["reference", "fast"]
OPTIONS = [
    {"layout": layout, "spatial_softmax": softmax}
    for layout, softmax in product(("parallel", "sequential"), ("paper", "after", "before"))
]


def channel_oracle(block: PolarizedAttention, sample: Tensor) -> Tensor:
    """a_c (C) of a map (C, N)."""
    N = sample.shape[1]
    weights = torch.stack([conv(block.channel_query, sample[:, n])[0] for n in range(N)]).softmax(0)
    return conv(block.project, sum(weights[n] * conv(block.channel_value, sample[:, n]) for n in range(N))).sigmoid()


def position_oracle(block: PolarizedAttention, sample: Tensor) -> Tensor:
    """a_s (N) of a map (C, N)."""
    N = sample.shape[1]
    g = sum(conv(block.query, sample[:, n]) for n in range(N)) / N
    value = torch.stack([conv(block.value, sample[:, n]) for n in range(N)], dim=1)  # (D, N)
    if block.spatial_softmax == "paper":
        g = g.softmax(0)
    if block.spatial_softmax == "before":
        value = torch.stack([row.softmax(0) for row in value])
    logits = torch.stack([g.dot(value[:, n]) for n in range(N)])
    return (logits.softmax(0) if block.spatial_softmax == "after" else logits).sigmoid()


def oracle(block: PolarizedAttention, x: Tensor) -> Tensor:
    """Both gates, added or one after the other."""
    out = torch.zeros_like(x).flatten(2)
    for b, sample in enumerate(x.flatten(2)):
        by_channel = channel_oracle(block, sample)[:, None] * sample
        if block.layout == "sequential":
            out[b] = position_oracle(block, by_channel) * by_channel
        else:
            out[b] = by_channel + position_oracle(block, sample) * sample
    return out.view_as(x)


def block_of(channels: int = 6, **options) -> PolarizedAttention:
    torch.manual_seed(0)
    return awake(PolarizedAttention(channels, **options))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (7, 2)])
def test_block_equals_the_equation(size, options, implementation):
    block, x = block_of(implementation=implementation, **options), torch.randn(2, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gates_lie_between_0_and_1_and_those_of_a_softmax_above_a_half(options):
    block, x = block_of(**options), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    for gate in (block.channel_gate(x), block.position_gate(x)):
        assert 0 < gate.min() < gate.max() < 1
    if options["spatial_softmax"] == "after":
        assert block.position_gate(x).min() >= 0.5
        assert block.position_gate(x).max() <= torch.tensor(1.0).sigmoid()


def test_positions_in_another_order_give_the_output_in_that_order():
    block, x = block_of(), torch.randn(1, 6, 1, 12, dtype=torch.float64)
    order = torch.randperm(12)
    torch.testing.assert_close(block(x[..., order]), block(x)[..., order])


@pytest.mark.parametrize("layout", ["parallel", "sequential"])
def test_maps_are_the_gates_that_make_the_output(layout):
    block, x = block_of(layout=layout), torch.randn(2, 6, 5, 3, dtype=torch.float64)
    maps = block.maps(x, (4, 1))
    by_channel, by_position = maps["channel"][:, 0, :, None, None], maps["spatial"].unsqueeze(1)
    expected = (by_channel + by_position) * x if layout == "parallel" else by_channel * by_position * x
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(maps["pooled"].sum(dim=(1, 2)), torch.ones(2, dtype=torch.float64))
