"""The scan of a map in stretches against the scan of its routes step by step."""

import pytest
import torch
from torch.nn import functional as F

from segattn.heads.parts.in_stretches import InStretches, scan_map
from segattn.heads.ss2d import SelectiveScan2d


def weights(channels, rank, states, dtype=torch.float64):
    """W_x, W_dt, b, A and D of four routes that differ."""
    torch.manual_seed(0)
    shapes = [(rank + 2 * states, channels), (channels, rank), (channels,), (channels, states), (channels,)]
    parts = [torch.randn(4, *shape, dtype=dtype) for shape in shapes]
    parts[3] = -parts[3].abs()
    return [part.requires_grad_() for part in parts]


def by_steps(u, W_x, W_dt, b, A, D):
    """The sum of the routes, every position in turn."""
    H, W = u.shape[-2:]
    rows = [(i, j) for i in range(H) for j in range(W)]
    columns = [(i, j) for j in range(W) for i in range(H)]
    R, S = W_dt.shape[2], A.shape[2]
    total = {at: torch.zeros_like(u[..., 0, 0]) for at in rows}
    for r, route in enumerate([rows, columns, rows[::-1], columns[::-1]]):
        h = u.new_zeros(*u.shape[:2], S)
        for i, j in route:
            x = u[..., i, j]  # (B, E)
            d, into, out = (x @ W_x[r].T).split([R, S, S], dim=1)
            delta = F.softplus(d @ W_dt[r].T + b[r])
            h = (delta.unsqueeze(2) * A[r]).exp() * h + (delta * x).unsqueeze(2) * into.unsqueeze(1)
            total[i, j] = total[i, j] + (h @ out.unsqueeze(2)).squeeze(2) + D[r] * x
    return torch.stack([total[at] for at in rows], dim=2).unflatten(2, (H, W))


def assert_same_values_and_gradients(u, parts, tolerance=1e-9):
    results = []
    for form in (scan_map, by_steps):
        y = form(u, *parts)
        results.append([y, *torch.autograd.grad((y * y.detach().cos()).sum(), [u, *parts])])
    for fast, expected in zip(*results, strict=True):
        assert fast.isfinite().all()
        torch.testing.assert_close(
            fast, expected, rtol=tolerance, atol=tolerance * float(expected.detach().abs().max())
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (3, 13), (11, 9)])
@pytest.mark.parametrize("states", [1, 3])
def test_values_and_gradients_are_those_of_the_steps(size, states):
    parts = weights(5, 2, states)
    u = torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True)
    assert_same_values_and_gradients(u, parts)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_the_length_of_the_stretches_does_not_matter(length, monkeypatch):
    monkeypatch.setattr(InStretches, "NUMBERS", 1)
    monkeypatch.setattr(InStretches, "LEAST", length)
    parts = weights(3, 2, 2)
    u = torch.randn(2, 3, 5, 3, dtype=torch.float64, requires_grad=True)
    assert_same_values_and_gradients(u, parts)


@pytest.mark.parametrize("decay", [1e-6, 1.0, 30.0, 1e4])
def test_neither_weak_nor_strong_decay_overflows_on_a_long_map(decay, monkeypatch):
    monkeypatch.setattr(InStretches, "NUMBERS", 1)  # many stretches
    parts = [part.detach().float() for part in weights(3, 2, 1)]
    parts[3].mul_(decay)
    torch.manual_seed(1)
    u = torch.randn(1, 3, 31, 37)
    results = []
    for form, dtype in ((scan_map, torch.float32), (by_steps, torch.float64)):
        inputs = [x.to(dtype, copy=True).requires_grad_() for x in (u, *parts)]
        y = form(*inputs)
        results.append([y, *torch.autograd.grad((y / 100).tanh().sum(), inputs)])
    for fast, expected in zip(*results, strict=True):
        assert fast.isfinite().all()
        most = float(expected.detach().abs().max())
        torch.testing.assert_close(fast.double(), expected, rtol=1e-3, atol=1e-4 * most)


def test_no_position_of_another_sample_is_read_and_an_empty_batch_is_one():
    parts = weights(3, 2, 1)
    u = torch.randn(3, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(scan_map(u, *parts)[1:2], scan_map(u[1:2], *parts))
    assert scan_map(u[:0], *parts).shape == (0, 3, 4, 5)


def test_gradients_may_be_taken_under_autocast():
    parts = [part.detach().float().requires_grad_() for part in weights(4, 2, 1)]
    u = torch.randn(1, 4, 9, 8, requires_grad=True)
    y = scan_map(u, *parts)
    expected = torch.autograd.grad(y.square().sum(), [u, *parts], retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        gradients = torch.autograd.grad(y.square().sum(), [u, *parts])
    torch.testing.assert_close(gradients, expected, rtol=0.05, atol=0.05 * float(expected[0].abs().max()))


def test_states_are_not_stored():
    block, x = SelectiveScan2d(16), torch.randn(1, 16, 40, 40, requires_grad=True)
    states = 4 * 16 * 40 * 40
    stored = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: stored.append(tensor.numel()) or tensor, lambda x: x):
        block(x)
    assert max(stored) < states
