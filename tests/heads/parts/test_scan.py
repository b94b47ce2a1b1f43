"""Recurrences in chunks against the loop."""

import pytest
import torch

from segattn.heads.parts.scan import _by_pairs, selective_scan, states_before


def loop(a, b):
    """h_{t-1} for every t, from h_t = exp(a_t) h_{t-1} + b_t."""
    state, before = torch.zeros_like(a[..., 0]), []
    for t in range(a.shape[-1]):
        before.append(state)
        state = a[..., t].exp() * state + b[..., t]
    return torch.stack(before, dim=-1)


def recurrence(length, scale=1.0, dtype=torch.float64):
    torch.manual_seed(0)
    return -scale * torch.rand(2, 3, length, dtype=dtype), torch.randn(2, 3, length, dtype=dtype)


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 97, 1100])
def test_states_are_those_of_the_loop(length, levels):
    a, b = recurrence(length)
    torch.testing.assert_close(states_before(a, b, levels), loop(a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 30.0, 1e5])
def test_neither_weak_nor_strong_decay_overflows_forward_or_backward(scale):
    a, b = (x.requires_grad_() for x in recurrence(3000, scale, torch.float32))
    states = states_before(a, b)
    expected = loop(a.double(), b.double())
    torch.testing.assert_close(states.double(), expected, rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(states.square().sum(), (a, b))
    of_loop = torch.autograd.grad(expected.square().sum(), (a, b))
    for gradient, wanted in zip(gradients, of_loop, strict=True):
        assert gradient.isfinite().all()
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_pairs_are_the_same_sum():
    a, b = recurrence(17)
    torch.testing.assert_close(_by_pairs(a, b), loop(a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [1, 5, 32, 70])
@pytest.mark.parametrize("states", [1, 3])
def test_scan_reads_every_state_with_its_own_step(length, states):
    torch.manual_seed(0)
    delta, x = torch.rand(2, 4, 5, length, dtype=torch.float64), torch.randn(2, 4, 5, length, dtype=torch.float64)
    A = -torch.rand(4, 5, states, dtype=torch.float64)
    into, out = (torch.randn(2, 4, states, length, dtype=torch.float64) for _ in range(2))
    h, steps = torch.zeros(2, 4, 5, states, dtype=torch.float64), []
    for t in range(length):
        h = (delta[..., t, None] * A).exp() * h + (delta * x)[..., t, None] * into[..., t].unsqueeze(2)
        steps.append(torch.einsum("bres,brs->bre", h, out[..., t]))
    read = selective_scan(delta, x, A, into, out)
    torch.testing.assert_close(read, torch.stack(steps, dim=3), rtol=1e-9, atol=1e-9)
