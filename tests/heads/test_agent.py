"""Agent attention against its equation, written with loops over positions, agents and heads."""

import math

import pytest
import torch
from torch import Tensor

from segattn.heads.agent import AgentAttention, PositionBias
from tests.heads.oracle_layers import awake, conv, norm
from tests.heads.test_psp import bilinear, interval

IMPLEMENTATIONS = ["reference", "fast"]
OPTIONS = [{}, {"num_heads": 1}, {"position_bias": False}, {"agents": (5, 4)}]


def bias_oracle(
    bias: PositionBias | None, head: int, agent: int, at: tuple[int, int], size: tuple[int, int]
) -> Tensor | float:
    """One bias of one agent and position, resized without aligned corners."""
    if bias is None:
        return 0.0
    (i, j), (H, W) = at, size
    of_map = sum(
        p * q * bias.map[head, agent, r, c]
        for r, p in bilinear(7, H, i, False).items()
        for c, q in bilinear(7, W, j, False).items()
    )
    of_row = sum(p * bias.rows[head, agent, r] for r, p in bilinear(56, H, i, False).items())
    return of_map + of_row + sum(p * bias.columns[head, agent, c] for c, p in bilinear(56, W, j, False).items())


def oracle(block: AgentAttention, x: Tensor) -> Tensor:
    """x + BN(W (A2 A1 v + DW(v)))."""
    C, H, W = x.shape[1:]
    out, (rows, columns), d = torch.zeros_like(x), block.agents, C // block.num_heads
    places = [(i, j) for i in range(H) for j in range(W)]
    for b, sample in enumerate(x):
        q, k, v = (
            {at: conv(layer, sample[:, at[0], at[1]]) for at in places}
            for layer in (block.query, block.key, block.value)
        )
        agents = []
        for m in range(rows):
            for n in range(columns):
                members = [(i, j) for i in interval(rows, H, m) for j in interval(columns, W, n)]
                agents.append(sum(q[at] for at in members) / len(members))
        y = {at: torch.zeros_like(v[at]) for at in places}
        for h in range(block.num_heads):
            part = slice(h * d, (h + 1) * d)
            bias_1, bias_2 = (
                [[bias_oracle(bias, h, m, at, (H, W)) for at in places] for m in range(len(agents))]
                for bias in (block.bias_1, block.bias_2)
            )
            gathered = []
            for m, agent in enumerate(agents):
                logits = [agent[part].dot(k[at][part]) / math.sqrt(d) + bias_1[m][n] for n, at in enumerate(places)]
                weights = torch.stack(logits).softmax(0)
                gathered.append(sum(w * v[at][part] for w, at in zip(weights, places, strict=True)))
            for n, at in enumerate(places):
                logits = [q[at][part].dot(a[part]) / math.sqrt(d) + bias_2[m][n] for m, a in enumerate(agents)]
                weights = torch.stack(logits).softmax(0)
                y[at][part] = sum(w * g for w, g in zip(weights, gathered, strict=True))
        for i, j in places:
            near = block.near.bias.clone()
            for r in (-1, 0, 1):
                for c in (-1, 0, 1):
                    if (i + r, j + c) in v:
                        near += block.near.weight[:, 0, r + 1, c + 1] * v[i + r, j + c]
            out[b, :, i, j] = sample[:, i, j] + norm(block.bn, conv(block.project, y[i, j] + near))
    return out


def block_of(channels: int = 6, **options) -> AgentAttention:
    torch.manual_seed(0)
    return awake(AgentAttention(channels, **{"num_heads": 2, "agents": (2, 3), **options}))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", [(3, 5), (1, 1)])
def test_block_equals_the_equation(size, options, implementation):
    block, x = block_of(implementation=implementation, **options), torch.randn(2, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


def weights_of(block: AgentAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    query = block.query(x)
    pooled = torch.nn.functional.adaptive_avg_pool2d(query, block.agents)
    return block.weights(*map(block.heads, (query, pooled, block.key(x))), x.shape[-2:])


def test_rows_of_the_two_maps_and_of_their_product_sum_to_one():
    block = block_of()
    A1, A2 = weights_of(block, torch.randn(2, 6, 5, 7, dtype=torch.float64))
    for weights in (A1, A2, A2 @ A1):
        torch.testing.assert_close(weights.sum(dim=3), torch.ones(weights.shape[:3], dtype=torch.float64))
    assert torch.linalg.matrix_rank(A2 @ A1).max() <= 6


def test_agents_at_every_position_make_two_attentions_and_not_one():
    block = block_of(agents=(3, 4), num_heads=1, position_bias=False)
    x = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    A1, A2 = weights_of(block, x)
    q, k = (block.heads(layer(x)) for layer in (block.query, block.key))
    once, twice = ((q @ other.mT * 6**-0.5).softmax(3) for other in (k, q))
    torch.testing.assert_close(A2 @ A1, twice @ once)


def test_one_agent_gives_every_position_the_same():
    block, x = block_of(agents=(1, 1)), torch.randn(1, 6, 5, 4, dtype=torch.float64)
    torch.nn.init.zeros_(block.near.weight)
    added = block(x) - x
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added))


def test_maps_are_the_rows_of_the_pixel():
    block, x = block_of(), torch.randn(2, 6, 5, 4, dtype=torch.float64)
    maps, (A1, A2) = block.maps(x, (3, 2)), weights_of(block, x)
    torch.testing.assert_close(maps["affinity"].flatten(1), (A2 @ A1).mean(1)[:, 3 * 4 + 2])
    torch.testing.assert_close(maps["agents"][:, 0], A2.mean(1)[:, 3 * 4 + 2])
    strongest = maps["agents"][0, 0].argmax()
    torch.testing.assert_close(maps["agent_1"][0].flatten(), A1.mean(1)[0, strongest])


def test_published_sizes_are_the_defaults():
    block = AgentAttention(512)
    assert (block.num_heads, block.agents) == (8, (7, 7))
    biases = [p.numel() for name, p in block.named_parameters() if name.startswith("bias")]
    assert sum(biases) == 2 * 8 * 49 * (49 + 56 + 56)


@pytest.mark.parametrize("options", [{"num_heads": 4}, {"agents": (0, 3)}])
def test_heads_and_agents_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=r"should divide the 6 channels, and agents=.* at least \(1, 1\)"):
        block_of(**options)


@pytest.mark.parametrize("agents", [(), (3,), (2, 3, 4)])
def test_agents_that_are_no_rows_and_columns_are_refused(agents):
    with pytest.raises(ValueError, match=r"agents=\(.*\): give the rows and columns of agents, such as \(7, 7\)"):
        block_of(agents=agents)


def test_default_number_of_heads_that_does_not_divide_the_channels_is_named():
    with pytest.raises(ValueError, match="num_heads=3 should divide the 200 channels"):
        AgentAttention(200)
