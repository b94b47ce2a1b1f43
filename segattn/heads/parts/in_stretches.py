"""The selective scan along routes on a CPU, one stretch of steps at a time, without storing the states.

`scan.py` has the same recurrence for graphs and GPUs, where a loop over all steps would cost a launch each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from segattn.heads.parts.recording import simulated


def scan_map(
    u: Float[Tensor, "B E H W"],
    W_x: Float[Tensor, "4 K E"],
    W_dt: Float[Tensor, "4 E R"],
    b: Float[Tensor, "4 E"],
    A: Float[Tensor, "4 E S"],
    D: Float[Tensor, "4 E"],
) -> Float[Tensor, "B E H W"]:
    """The sum of the scans by rows, by columns and both backwards, K = R + 2 S; channels-last maps are not copied.

    d, B and C are read at each position before the routes order them, and D's terms are added up, as u is the same in all four.
    """
    H, W = u.shape[-2:]
    rows = torch.arange(H * W, device=u.device).view(H, W)
    forwards = torch.stack([rows.flatten(), rows.T.flatten()])
    order = torch.cat([forwards, forwards.flip(1)])  # (4, N)
    positions = u.permute(2, 3, 0, 1).reshape(H * W, *u.shape[:2])  # (N, B, E)
    read = torch.einsum("rke,nbe->rnbk", W_x, positions).flatten(0, 1)
    read = read.index_select(0, (order + H * W * torch.arange(4, device=u.device).unsqueeze(1)).flatten())
    Y = InStretches.apply(positions, read.unflatten(0, (4, H * W)), W_dt, b, A.mT.contiguous(), order)
    return torch.addcmul(Y, positions, D.sum(0)).unflatten(0, (H, W)).permute(2, 3, 0, 1)


class InStretches(torch.autograd.Function):
    """Y of the routes, without D: route r reads the positions order[r, 1], order[r, 2], .. of a map, each with its step

        z = W_dt d + b    Delta = softplus(z)    a = exp(Delta A)    h_t = a h_{t-1} + (Delta * x) B^T    o_t = h_t C

    where x = u_i, the steps of a route share W_dt, b and A, and [d ; B ; C] are the columns of `read`. The states at the starts
    of the stretches are kept; the backward pass recomputes the others from there. With g_t the gradient of h_t, it carries
    a_{t+1} * g_{t+1} backwards; the exponent's gradient is Q = g_t * a_t * h_{t-1}, so Delta's is sum_s A Q + (g_t B) * x.
    Nothing is divided, and every exponent is at most 0.
    """

    NUMBERS = 2**16  # of one tensor of a stretch: those in use stay in the processor's cache
    LEAST = 16  # steps of a stretch: a sixteenth of the states is kept at most

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, u: Tensor, read: Tensor, W_dt: Tensor, b: Tensor, A: Tensor, order: Tensor) -> Tensor:
        """u (N, B, E), read (r, N, B, R + 2 S), W_dt (r, E, R), b (r, E), A (r, S, E), order (r, N) to (N, B, E)."""
        y, state = torch.zeros_like(u), u.new_zeros(len(A), u.shape[1], *A.shape[1:])
        count, stretches = InStretches.stretches(u, A)
        starts = u.new_empty(count, *state.shape)
        for n, at in enumerate(stretches):
            starts[n] = state
            _, into, out = InStretches.parts(read[:, at], W_dt, A)
            x, _, delta, a = InStretches.steps(u, read, W_dt, b, A, order, at)
            states = (delta.mul_(x)).unsqueeze(3) * into.unsqueeze(4)  # (r, T, B, S, E)
            _carry(states.unbind(1), a.unbind(1), state)
            y.index_add_(0, order[:, at].flatten(), _sum_of_states(states, out).flatten(0, 1))
            state = states[:, -1].clone()
        ctx.save_for_backward(u, read, W_dt, b, A, order, starts)
        return y

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        u, read, W_dt, b, A, order, starts = ctx.saved_tensors
        du, dread, dW_dt, db, dA = (torch.zeros_like(x) for x in (u, read, W_dt, b, A))
        carried = torch.zeros_like(starts[0])  # (r, B, S, E): a * g of the step after the stretch
        for start, at in reversed(list(zip(starts, InStretches.stretches(u, A)[1], strict=False))):
            d, into, out = InStretches.parts(read[:, at], W_dt, A)
            dd, dinto, dout = InStretches.parts(dread[:, at], W_dt, A)
            x, z, delta, a = InStretches.steps(u, read, W_dt, b, A, order, at)
            w, rows = delta * x, order[:, at].flatten()
            before = a.new_empty(len(a), a.shape[1] + 1, *a.shape[2:])  # the states, from that before the first step
            before[:, 0], states = start, before[:, 1:]
            torch.mul(w.unsqueeze(3), into.unsqueeze(4), out=states)
            _carry(states.unbind(1), a.unbind(1), start)
            go = g.index_select(0, rows).view_as(x)
            dout.copy_((states * go.unsqueeze(3)).sum(4))
            gh = go.unsqueeze(3) * out.unsqueeze(4)
            gh[:, -1] += carried
            _carry(gh.unbind(1)[-2::-1], a.unbind(1)[:0:-1], gh[:, -1])
            carried = a[:, 0] * gh[:, 0]
            dinto.copy_((gh * w.unsqueeze(3)).sum(4))
            dw = _sum_of_states(gh, into)
            Q = a.mul_(before[:, :-1]).mul_(gh)
            dA += (Q * delta.unsqueeze(3)).sum((1, 2))
            dz = (Q.mul_(A[:, None, None]).sum(3)).addcmul_(dw, x).mul_(z.sigmoid_()).flatten(1, 2)  # (r, T B, E)
            du.index_add_(0, rows, dw.mul_(delta).flatten(0, 1))
            db += dz.sum(1)
            dd.copy_((dz @ W_dt).view_as(dd))
            dW_dt.baddbmm_(dz.mT, d.flatten(1, 2))
        return du, dread, dW_dt, db, dA, None

    @staticmethod
    def steps(
        u: Tensor, read: Tensor, W_dt: Tensor, b: Tensor, A: Tensor, order: Tensor, at: slice
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, z and Delta (r, T, B, E), and a (r, T, B, S, E), of a stretch of T steps."""
        x = u.index_select(0, order[:, at].flatten()).unflatten(0, (len(order), -1))
        d = InStretches.parts(read[:, at], W_dt, A)[0]
        z = torch.baddbmm(b.unsqueeze(1), d.flatten(1, 2), W_dt.mT).view_as(x)
        delta = F.softplus(z)
        return x, z, delta, (delta.unsqueeze(3) * A[:, None, None]).exp_()

    @staticmethod
    def parts(read: Tensor, W_dt: Tensor, A: Tensor) -> Sequence[Tensor]:
        """d, B and C, as views."""
        return read.split([W_dt.shape[2], A.shape[1], A.shape[1]], dim=3)

    @staticmethod
    def stretches(u: Tensor, A: Tensor) -> tuple[int, Sequence[slice]]:
        """The number of stretches and the steps of each, in order; of a simulation, of the first alone."""
        steps = max(InStretches.NUMBERS // max(u.shape[1] * A.numel(), 1), InStretches.LEAST)
        stretches = [slice(start, start + steps) for start in range(0, len(u), steps)]
        return len(stretches), stretches[:1] if simulated(u) else stretches


def _carry(steps: Sequence[Tensor], decays: Sequence[Tensor], state: Tensor) -> None:
    """Add decay * state to every step, the first with `state`, each other with the step before it; in place."""
    for step, decay in zip(steps, decays, strict=True):
        state = torch.addcmul(step, decay, state, out=step)


def _sum_of_states(states: Tensor, weights: Tensor) -> Tensor:
    """(r, T, B, S, E) weighted by (r, T, B, S) and summed over S; a product of matrices is slow for a single state."""
    if states.shape[3] == 1:
        return states.squeeze(3) * weights
    return (weights.unsqueeze(3) @ states).squeeze(3)
