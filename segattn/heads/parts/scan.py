"""Linear recurrences with decay, exact and in parallel: no division by a product that underflows, no loop over the length.

    h_t = exp(a_t) h_{t-1} + b_t,   a_t <= 0

The length is cut into chunks of 32. All chunks run their 32 steps at once, each from 0; the states at their ends follow the same
recurrence, with the sums of a over a chunk, and are carried on in the same way; what a chunk carries in decays within it by the
exponential of partial sums. Every exponent is a sum of a over a stretch, so it is at most 0. Each level has two chunks or more:
torch.export would make a single one a constant.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from segattn.heads.parts.recording import refuse_frozen_sizes

CHUNK = 32


def selective_scan(
    delta: Float[Tensor, "B R E N"],
    x: Float[Tensor, "B R E N"],
    A: Float[Tensor, "R E S"],
    into: Float[Tensor, "B R S N"],
    out: Float[Tensor, "B R S N"],
) -> Float[Tensor, "B R E N"]:
    """sum_s out_ts h_tes with h_tes = exp(delta_te A_es) h_{t-1}es + delta_te x_te into_ts, h_0 = 0, along R routes of N steps.

    Memory B R E S N / 32 for the states of one step; with gradient, those of all steps are kept.
    """
    refuse_frozen_sizes("a selective scan")
    N = delta.shape[3]
    steps, inputs, into, out = (_chunks(y) for y in (delta, delta * x, into, out))  # (32, B, R, _, M)
    A = A.unsqueeze(3)  # (R, E, S, 1)
    state = torch.zeros_like(steps[0]).unsqueeze(3) * A  # (B, R, E, S, M)
    sums = []
    for t in range(CHUNK):
        state = (steps[t].unsqueeze(3) * A).exp() * state + inputs[t].unsqueeze(3) * into[t].unsqueeze(2)
        sums.append((state * out[t].unsqueeze(2)).sum(dim=3))  # (B, R, E, M)
    so_far = steps.cumsum(dim=0)  # of delta within the chunk
    carried = states_before(so_far[-1].unsqueeze(3) * A, state)  # (B, R, E, S, M)
    sums = [
        y + ((so_far[t].unsqueeze(3) * A).exp() * carried * out[t].unsqueeze(2)).sum(dim=3) for t, y in enumerate(sums)
    ]
    return _cut(torch.stack(sums, dim=-1).flatten(-2), N)


def states_before(a: Float[Tensor, "*B L"], b: Float[Tensor, "*B L"], levels: int = 2) -> Float[Tensor, "*B L"]:
    """The state before each step, h_{t-1}; it is 0 before the first. After `levels` of chunks, all pairs of the rest."""
    if levels == 0:
        return _by_pairs(a, b)
    steps, inputs = _chunks(a), _chunks(b)  # (32, *B, M)
    state, local = torch.zeros_like(steps[0]), []
    for t in range(CHUNK):
        local.append(state)
        state = steps[t].exp() * state + inputs[t]
    carried = states_before(steps.sum(dim=0), state, levels - 1)  # (*B, M)
    before = steps.cumsum(dim=0) - steps  # of a within the chunk
    before[0] = 0.0
    return _cut((torch.stack(local) + before.exp() * carried).movedim(0, -1).flatten(-2), a.shape[-1])


def _by_pairs(a: Float[Tensor, "*B L"], b: Float[Tensor, "*B L"]) -> Float[Tensor, "*B L"]:
    """h_{t-1} = sum_{u < t} exp(sum of a over u + 1 .. t - 1) b_u, from differences of partial sums; L^2 numbers."""
    after = a.cumsum(dim=-1)
    at = torch.arange(a.shape[-1], device=a.device)
    exponents = after.roll(1, dims=-1).unsqueeze(-1) - after.unsqueeze(-2)  # (*B, t, u), exactly 0 for u = t - 1
    weights = exponents.clamp_max(0.0).masked_fill(at.unsqueeze(1) <= at, float("-inf")).exp()
    return (weights * b.unsqueeze(-2)).sum(dim=-1)


def _chunks(x: Float[Tensor, "*B L"]) -> Float[Tensor, "T *B M"]:
    """Padded with zeros, which leave every state as it is; the steps of all chunks first."""
    count = torch.sym_max((x.shape[-1] + CHUNK - 1) // CHUNK, 2)
    return F.pad(x, (0, count * CHUNK - x.shape[-1])).unflatten(-1, (count, CHUNK)).movedim(-1, 0).contiguous()


def _cut(x: Float[Tensor, "*B M"], length: int) -> Float[Tensor, "*B L"]:
    """Without the padding; by indices, since torch.export would make a slice's length a constant."""
    return x.index_select(-1, torch.arange(length, device=x.device))
