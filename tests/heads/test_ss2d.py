"""The 2-D selective scan against its equation, written with loops over positions, channels and states."""

import pytest
import torch
from torch import Tensor, nn

from segattn.heads.parts.scan import selective_scan
from segattn.heads.ss2d import SelectiveScan2d
from tests.heads.oracle_layers import awake, conv, norm
from tests.heads.test_large_kernel import depthwise_oracle

IMPLEMENTATIONS = ["reference", "fast"]
PRESETS = ["final", "first"]


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def routes_of(H: int, W: int) -> list[list[tuple[int, int]]]:
    """The positions of each route, in its order."""
    rows = [(i, j) for i in range(H) for j in range(W)]
    columns = [(i, j) for j in range(W) for i in range(H)]
    return [rows, columns, rows[::-1], columns[::-1]]


def scanned(block: SelectiveScan2d, u: Tensor) -> Tensor:
    """Y (E, H, W): the sum of the routes, each state and channel by itself."""
    S, R = block.A_log.shape[2], block.W_dt.shape[2]
    Y = torch.zeros_like(u)
    for r, route in enumerate(routes_of(*u.shape[1:])):
        h = u.new_zeros(u.shape[0], S)
        for i, j in route:
            x = u[:, i, j]
            d, into, out = (block.W_x[r] @ x).split([R, S, S])
            delta = (1 + (block.W_dt[r] @ d + block.b[r]).exp()).log()
            for e in range(len(x)):
                for s in range(S):
                    decay = (-delta[e] * block.A_log[r, e, s].exp()).exp()
                    h[e, s] = decay * h[e, s] + delta[e] * x[e] * into[s]
                Y[e, i, j] += h[e].dot(out) + block.D[r, e] * x[e]
    return Y


def oracle(block: SelectiveScan2d, x: Tensor) -> Tensor:
    """F + BN(W LN(Y))."""
    result = torch.zeros_like(x)
    H, W = x.shape[2:]
    near = block.near
    if near.bias is None:
        near = nn.Conv2d(near.in_channels, near.in_channels, 3, padding=1, groups=near.in_channels).double()
        near.weight, near.bias = block.near.weight, nn.Parameter(torch.zeros_like(near.bias))
    for n, sample in enumerate(x):
        places = [(i, j) for i in range(H) for j in range(W)]
        embedded = torch.stack([conv(block.embed, sample[:, i, j]) for i, j in places], dim=1).unflatten(1, (H, W))
        Y = scanned(block, silu(depthwise_oracle(near, embedded)))
        for i, j in places:
            y = Y[:, i, j]
            y = (y - y.mean()) / ((y - y.mean()).square().mean() + block.norm.eps).sqrt()
            y = y * block.norm.weight + block.norm.bias
            if block.gate is not None:
                y = y * silu(conv(block.gate, sample[:, i, j]))
            result[n, :, i, j] = sample[:, i, j] + norm(block.bn, conv(block.project, y))
    return result


def block_of(channels: int = 3, **options) -> SelectiveScan2d:
    torch.manual_seed(0)
    return awake(SelectiveScan2d(channels, **options))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("preset", "size"), [("final", (5, 7)), ("final", (1, 1)), ("final", (3, 13)), ("first", (2, 3))]
)
def test_block_equals_the_equation(preset, size, implementation):
    block, x = block_of(preset=preset, implementation=implementation), torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), oracle(block, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_route_depends_on_what_it_has_read_and_all_four_on_the_whole_map(preset, implementation):
    block = block_of(preset=preset, implementation=implementation)
    E = block.D.shape[1]
    u = torch.randn(1, E, 4, 5, dtype=torch.float64, requires_grad=True)
    x, delta, into, out = block.read(u)
    scan = block.scan if implementation == "reference" else selective_scan
    o = scan(delta, x, -block.A_log.exp(), into, out)
    t = 2 * 5 + 1
    (gradient,) = torch.autograd.grad(o[0, 0, :, t].sum(), u, retain_graph=True)
    read = gradient[0].abs().sum(0).flatten() > 0
    assert read.tolist() == [i <= t for i in range(20)]
    places = [routes_of(4, 5)[r].index((2, 1)) for r in range(4)]
    total = sum(o[0, r, :, at].sum() for r, at in enumerate(places))
    (gradient,) = torch.autograd.grad(total, u)
    assert bool((gradient[0].abs().sum(0) > 0).all())


def test_transposing_the_map_and_swapping_rows_and_columns_transposes_the_output():
    block, other = block_of(), block_of()
    with torch.no_grad():
        for name in ("W_x", "W_dt", "b", "A_log", "D"):
            getattr(other, name).copy_(getattr(block, name)[[1, 0, 3, 2]])
        other.near.weight.copy_(block.near.weight.mT)
        x = torch.randn(2, 3, 4, 7, dtype=torch.float64)
        torch.testing.assert_close(other(x.mT.contiguous()).mT, block(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pixel", [(0, 0), (4, 2), (2, 3)])
def test_reach_is_the_weight_of_every_position_while_the_gates_are_held(pixel):
    block, x = block_of(), torch.randn(1, 3, 5, 4, dtype=torch.float64)
    u = silu(block.near(block.embed(x))).detach()
    _, delta, into, out = block.read(u)
    total = torch.zeros(5, 4, dtype=torch.float64)
    for e in range(3):
        values = u.clone().requires_grad_()
        x_of = block.read(values)[0]
        o = block.scan(delta.detach(), x_of, -block.A_log.exp(), into.detach(), out.detach())
        o = o + block.D.unsqueeze(2) * x_of
        for r, route in enumerate(routes_of(5, 4)):
            (gradient,) = torch.autograd.grad(o[0, r, e, route.index(pixel)], values, retain_graph=True)
            total += gradient[0, e].abs()
    maps = block.maps(x, pixel)
    torch.testing.assert_close(maps["reach"][0], total / total.sum())
    assert list(maps) == ["reach", "route_1", "route_2", "route_3", "route_4"]
    for route in range(1, 5):
        assert maps[f"route_{route}"].sum().item() == pytest.approx(1)


def test_large_steps_forget_all_but_the_present_position():
    block = block_of()
    with torch.no_grad():
        block.W_dt.zero_()
        block.b.fill_(1e4)
        block.A_log.fill_(3.0)
        u = torch.randn(1, 3, 40, 40, dtype=torch.float64)
        x, delta, into, out = block.read(u)
        o = selective_scan(delta, x, -block.A_log.exp(), into, out)
        torch.testing.assert_close(o, delta * x * (into * out).sum(dim=2, keepdim=True))


def test_presets_have_the_published_sizes():
    final, first = SelectiveScan2d(32), SelectiveScan2d(32, preset="first")
    assert (final.D.shape, final.A_log.shape[2], final.W_dt.shape[2], final.gate, final.near.bias) == (
        (4, 32),
        1,
        2,
        None,
        None,
    )
    assert (first.D.shape, first.A_log.shape[2], first.gate is None, first.near.bias is None) == (
        (4, 64),
        16,
        False,
        False,
    )
    steps = nn.functional.softplus(final.b)
    assert 9e-4 < steps.min() < steps.max() < 0.11
    torch.testing.assert_close(first.A_log[0, 0].exp(), torch.arange(1.0, 17.0))
