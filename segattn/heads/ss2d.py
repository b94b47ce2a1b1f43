"""Liu, Tian, Zhao, Yu, Xie, Wang, Jiao, Ye, Liu: *VMamba: Visual State Space Model*, NeurIPS 2024, arXiv 2401.10166.

Four routes read the map like a text, by rows, by columns and both backwards; along each a state is carried on, with a decay and
an input that depend on what is read (2-D selective scan):

    u = SiLU(DW(W_in F))        [d_t ; B_t ; C_t] = W_x x_t        Delta_t = softplus(W_dt d_t + b)        A = -exp(A_log)
    h_t = exp(Delta_t A) * h_{t-1} + (Delta_t * x_t) B_t^T        o_t = h_t C_t + D * x_t
    Y_i = sum of o over the four routes at position i        Z = F + BN(W LN(Y))

where F in R^{C x N} is the feature map; W_in, W: 1x1 convolutions; DW: depthwise 3x3; x_t in R^E: u at the t-th position of the
route; h_t in R^{E x S}, 0 before the first; Delta_t in R^E, B_t, C_t in R^S, d_t in R^R, R = ceil(C/16); W_x, W_dt, b, A_log and
D of each route; LN: layer norm over channels. `preset` "final": E = C, S = 1; "first": E = 2C, S = 16, DW has a bias, and LN(Y)
is multiplied by SiLU(W_g F).

Cost: MACs N E (2 C + 9 + 8 R + 8 S), with the gate N E C more; the states are element-wise work, 28 N E S, in the form that is
counted, `fast` as in a graph. Memory 4 N E S for all states; on a CPU, `fast` keeps one in 16 of them at most.

Differences from the paper and from the authors' code: they put it into a backbone, after layer norm; here it stands between 3x3
convolutions, and the scale of BN starts at 0. As in their code, A is discretised by zero-order hold, B by Euler's rule.

B batch, C channels, E inner channels, S states, R rank, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.in_stretches import scan_map
from segattn.heads.parts.layers import Sandwich, in_pieces, refuse_frozen_sizes
from segattn.heads.parts.scan import selective_scan

LATEX = r"""
\begin{aligned} h_t &= e^{\Delta_t A} \odot h_{t-1} + (\Delta_t \odot x_t) B_t^\top \qquad o_t = h_t C_t + D \odot x_t \\
Y_i &= \sum_{\mathrm{routes}} o \qquad Z = F + \mathrm{BN}\bigl(W\, \mathrm{LN}(Y)\bigr) \end{aligned}
"""

Preset = Literal["final", "first"]


class SelectiveScan2d(nn.Module):
    """F + BN(W LN(Y)), in the precision of the weights also under autocast. `auto` is `fast`, except for few positions."""

    counted_as = "fast"

    def __init__(self, channels: int, *, preset: Preset = "final", implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("preset", preset, Preset)
        check_option("implementation", implementation, Implementation)
        self.implementation, first = implementation, preset == "first"
        E, S, R = (2 * channels, 16, -(-channels // 16)) if first else (channels, 1, -(-channels // 16))
        self.embed = nn.Conv2d(channels, E, 1, bias=False)
        self.gate = nn.Conv2d(channels, E, 1, bias=False) if first else None
        self.near = nn.Conv2d(E, E, 3, padding=1, groups=E, bias=first)
        self.W_x = nn.Parameter(torch.empty(4, R + 2 * S, E).uniform_(-(E**-0.5), E**-0.5))
        self.W_dt = nn.Parameter(torch.empty(4, E, R).uniform_(-(R**-0.5), R**-0.5))
        self.b = nn.Parameter(torch.empty(4, E).uniform_(math.log(1e-3), math.log(0.1)).exp().expm1().log())
        self.A_log = nn.Parameter(torch.arange(1.0, S + 1).log().expand(4, E, S).clone())
        self.D, self.norm = nn.Parameter(torch.ones(4, E)), nn.LayerNorm(E)
        self.project, self.bn = nn.Conv2d(E, channels, 1, bias=False), nn.BatchNorm2d(channels)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.bn.weight)

    def read(self, u: Float[Tensor, "B E H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x and Delta (B, 4, E, N), B and C (B, 4, S, N) along the routes, in float32 at least."""
        forwards = torch.stack([u.flatten(2), u.transpose(-2, -1).flatten(2)], dim=1)
        x = widen(torch.cat([forwards, forwards.flip(3)], dim=1))
        S, R = self.A_log.shape[2], self.W_dt.shape[2]
        d, into, out = torch.einsum("rke,bren->brkn", widen(self.W_x), x).split([R, S, S], dim=2)
        z = torch.einsum("rek,brkn->bren", widen(self.W_dt), d) + widen(self.b).unsqueeze(2)
        return x, F.softplus(z), into, out

    def scan(self, delta: Tensor, x: Tensor, A: Tensor, into: Tensor, out: Tensor) -> Float[Tensor, "B 4 E N"]:
        """h_t C_t, step by step."""
        h, steps = torch.zeros_like(x[..., 0, None]), []
        for t in range(x.shape[3]):
            decay = (delta[..., t, None] * A).exp()  # (B, 4, E, S)
            h = decay * h + (delta[..., t] * x[..., t]).unsqueeze(3) * into[..., t].unsqueeze(2)
            steps.append((h * out[..., t].unsqueeze(2)).sum(dim=3))
        return torch.stack(steps, dim=3)

    def along_routes(self, u: Float[Tensor, "B E H W"]) -> Float[Tensor, "B E H W"]:
        """Y: the sum of the four routes."""
        routes, delta, into, out = self.read(u)
        scan = _loop(self) if self.implementation == "reference" else selective_scan
        o = scan(delta, routes, -widen(self.A_log).exp(), into, out) + widen(self.D).unsqueeze(2) * routes
        rows, columns = (o[:, :2] + o[:, 2:].flip(3)).unbind(1)  # (B, E, N)
        return rows.unflatten(2, u.shape[-2:]) + columns.unflatten(2, (u.shape[3], u.shape[2])).transpose(-2, -1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        x, along_routes = _form(self, x)
        with full_precision(x):
            wide = x.to(self.embed.weight.dtype)
            Y = along_routes(F.silu(self.near(self.embed(wide))))
            y = self.norm(Y.permute(0, 2, 3, 1).to(wide.dtype)).permute(0, 3, 1, 2)
            y = y if self.gate is None else y * F.silu(self.gate(wide))
            return x + self.bn(self.project(y)).to(x.dtype)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`reach`: absolute weights of all positions in Y at `pixel`, mean over channels, as shares; `route_1`..: of each."""
        return _maps(self, x, pixel)


# The same, faster


def _form(block: SelectiveScan2d, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """What computes Y, and the input in its layout: on a CPU the same states a stretch at a time, else `along_routes`."""
    if not in_pieces(block.implementation, x):
        return x, block.along_routes

    def in_stretches(u: Tensor) -> Tensor:
        weights = (widen(weight) for weight in (block.W_x, block.W_dt, block.b, -widen(block.A_log).exp(), block.D))
        return scan_map(widen(u), *weights)

    return x.contiguous(memory_format=torch.channels_last), in_stretches


def _loop(block: SelectiveScan2d) -> Callable[..., Tensor]:
    """`scan`, unless a graph is recorded: that would hold the steps of the loop one by one, for one size of maps."""
    named, instead = 'ss2d with implementation="reference"', 'implementation="fast" with torch.export'
    refuse_frozen_sizes(named, by_export=True, instead=instead)
    return block.scan


def _maps(
    block: SelectiveScan2d, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]
) -> dict[str, Float[Tensor, "B H W"]]:
    """The weight of u in t is C_t B_u exp(A (Delta_{u+1} + .. + Delta_t)) Delta_u, and D in t = u: no state is carried."""
    H, W = x.shape[-2:]
    _, delta, into, out = block.read(F.silu(block.near(block.embed(x))))
    A, time = -widen(block.A_log).exp(), delta.cumsum(dim=3)
    forwards = [pixel[0] * W + pixel[1], pixel[1] * H + pixel[0]]
    shares = {}
    for route, t in enumerate([*forwards, *(H * W - 1 - t for t in forwards)]):
        since = (time[:, route, :, t, None] - time[:, route, :, : t + 1]).unsqueeze(2)  # (B, E, 1, u)
        factors = (out[:, route, :, t, None] * into[:, route, :, : t + 1]).unsqueeze(1)  # (B, 1, S, u)
        weights = ((A[route].unsqueeze(2) * since).exp() * factors).sum(dim=2) * delta[:, route, :, : t + 1]
        weights[..., t] += block.D[route]
        line = F.pad(weights.abs().mean(dim=1), (0, H * W - 1 - t))  # (B, N)
        line = line.flip(1) if route > 1 else line
        shares[f"route_{route + 1}"] = (
            line.unflatten(1, (W, H)).transpose(-2, -1) if route % 2 else line.unflatten(1, (H, W))
        )
    maps = {"reach": sum(shares.values()), **shares}
    return {name: m / m.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12) for name, m in maps.items()}


# The head


class Head(nn.Module):
    """The 2-D selective scan between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = SelectiveScan2d
    family = "scan"
    growth = (1, 1)
    gates = ("bn.weight",)
    without_attention = "identity"
    no_weight_decay = ("attention.A_log", "attention.D")

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = SelectiveScan2d,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`reach`, `route_1` to `route_4` (B, H, W): the shares of all positions in what `pixel` = (row, column) gets."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
