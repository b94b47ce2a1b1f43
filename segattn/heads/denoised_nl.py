"""Song, Li, Guo, Huang: *Denoised Non-Local Neural Network for Semantic Segmentation*, TNNLS 2023, arXiv 2110.14200.

Non-local attention on half the grid, its map cleaned twice: global rectifying damps pairs of different class, local
retention lets every key keep what its 3x3 neighbours gathered:

    A_ij   = softmax_j(q_i^T k_j)                      G_ij = sigmoid(p_i^T p_j)         A'_ij = A_ij G_ij
    s_jd   = sigmoid(q_j^T k_{j+d})                    A''_ij = sum_d A'_{i,j+d} s_jd
    z_i    = gamma sum_j A''_ij v_j + x_i

where x_i in R^C is the feature at position i = 1..n of the half grid (a BasicBlock with stride 2 makes it); q, k in R^D, v in
R^C: its 1x1 convolutions; p_i in R^K: class probabilities at i, from logits on stage 3; d: the 9 offsets of the 3x3 window
(outside the map A' is 0); gamma: scalar, starts at 0. `fast` moves the retention to the values, the same sum in other order:
sum_j A''_ij v_j = sum_m A'_im u_m with u_m = sum_d s_{m-d,d} v_{m-d}.

Cost: MACs n C (2D + C) + n^2 (D + C + K + 9) + 9 n D with n = ceil(H/2) ceil(W/2); memory 9 n^2 for the neighbours of A';
`fast` 9 n C instead of 9 n^2 MACs, memory 2 n^2, with no gradient 1024 n. (`gr_mode="hard"` has no product with K.)

Differences from the paper and from the authors' code: the paper calls the rectifying map binary, the code's sigmoid of a
value in [0, 1] only ranges over [0.5, 0.73]; `gr_mode` has both readings and P^T P itself, and defaults to the code, whose
results are published. The code doubles the half grid and fails on odd maps; here z is resized to the map it joins. The figure's
pooled third branch is in no code and left out. Weights of the auxiliary losses are unpublished; 0.4 as in the field.

B batch, C channels, D = C/8 projected, H W feature map, h w half grid, n = h*w, Q query positions, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.layers import (
    Classifier,
    ConvBnRelu,
    Implementation,
    Sandwich,
    affinity,
    check_option,
    full_precision,
    resize,
    widen,
    writes_out,
)

LATEX = r"""
\begin{aligned}
A_{ij} &= \mathrm{softmax}_j(q_i^\top k_j) & G_{ij} &= \sigma(p_i^\top p_j) & A'_{ij} &= A_{ij} G_{ij} \\
s_{jd} &= \sigma(q_j^\top k_{j+d}) & A''_{ij} &= \sum_d A'_{i,j+d}\, s_{jd} & z_i &= \gamma \sum_j A''_{ij} v_j + x_i
\end{aligned}
"""

GrMode = Literal["sigmoid", "affinity", "hard"]
BLOCK = 512  # queries at a time


def neighbours(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B n 9 C"]:
    """The 3x3 window around every position, zeros outside the map; channels last, as products by position want it."""
    h, w = x.shape[-2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    return torch.stack([x[:, d // 3 : d // 3 + h, d % 3 : d % 3 + w] for d in range(9)], dim=3).flatten(1, 2)


class DenoisedNonLocal(nn.Module):
    """Non-local block on the half grid with global rectifying and local retention: x + gamma A'' v."""

    map_kinds: ClassVar[dict[str, str]] = dict.fromkeys(("affinity", "rectified", "retained"), "half_grid")
    main_map = "retained"

    def __init__(self, channels: int, *, gr_mode: GrMode = "sigmoid", implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("gr_mode", gr_mode, GrMode)
        check_option("implementation", implementation, Implementation)
        self.gr_mode, self.implementation = gr_mode, implementation
        projected = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, projected, 1, bias=False)
        self.key = nn.Conv2d(channels, projected, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def rectifying(self, rows: Float[Tensor, "B K Q"], p: Float[Tensor, "B K n"]) -> Float[Tensor, "B Q n"]:
        """G: how far the classes of two positions agree, from their class probabilities."""
        if self.gr_mode == "hard":
            return (rows.argmax(1).unsqueeze(2) == p.argmax(1).unsqueeze(1)).to(p.dtype)
        agreement = rows.mT @ p  # (B, Q, n), in [0, 1]
        return agreement.sigmoid() if self.gr_mode == "sigmoid" else agreement

    def retention(self, query: Float[Tensor, "B D h w"], key: Float[Tensor, "B D h w"]) -> Float[Tensor, "B 9 n"]:
        """s: how far each position keeps each of its 3x3 neighbours."""
        with full_precision(query):  # unscaled logits
            return torch.einsum("bdn,bnsd->bsn", widen(query).flatten(2), neighbours(widen(key))).sigmoid()

    def retain(self, rectified: Float[Tensor, "B Q h w"], s: Float[Tensor, "B 9 n"]) -> Float[Tensor, "B Q n"]:
        """A'' from A': the map side of the retention."""
        return torch.einsum("bnsq,bsn->bqn", neighbours(rectified), s.to(rectified.dtype))

    def retain_values(self, value: Float[Tensor, "B C h w"], s: Float[Tensor, "B 9 n"]) -> Float[Tensor, "B C n"]:
        """u: every position spreads its value over its neighbours, the value side of the retention."""
        h, w = value.shape[-2:]
        v = F.pad(value, (1, 1, 1, 1))
        s = F.pad(s.to(value.dtype).unflatten(2, (h, w)), (1, 1, 1, 1))
        u = torch.zeros_like(value)
        for d in range(9):
            top, left = 2 - d // 3, 2 - d % 3  # position m - d in the padded maps
            here = (..., slice(top, top + h), slice(left, left + w))
            u = torch.addcmul(u, s[:, d : d + 1][here], v[here])
        return u.flatten(2)

    def retains_values(self, x: Float[Tensor, "B C h w"]) -> bool:
        """Whether retention is moved to the values: 9 n C instead of 9 n^2 products."""
        return not writes_out(self.implementation, pays=x.shape[2] * x.shape[3] <= x.shape[1])

    def gather(
        self, q: Float[Tensor, "B n D"], k: Float[Tensor, "B n D"], p: Float[Tensor, "B K n"], u: Float[Tensor, "B n C"]
    ) -> Float[Tensor, "B n C"]:
        """A' u; without gradient a block of queries at a time, whose rows of A' stay in the processor's cache."""
        blocks = [(q, p)]
        if not (torch.is_grad_enabled() or torch.compiler.is_compiling()):
            blocks = list(zip(q.split(BLOCK, dim=1), p.split(BLOCK, dim=2), strict=True))
        gathered = [(affinity(rows, k, cut=True) * self.rectifying(of, p)).to(u.dtype) @ u for rows, of in blocks]
        return torch.cat(gathered, dim=1)

    def forward(self, x: Float[Tensor, "B C h w"], logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C h w"]:
        query, key, value = self.query(x), self.key(x), self.value(x)
        p = widen(resize(logits, x.shape[-2:])).softmax(dim=1).flatten(2)  # (B, K, n), columns sum to 1
        s = self.retention(query, key)
        q, k = query.flatten(2).mT, key.flatten(2).mT  # (B, n, D)
        if not self.retains_values(x):
            cut = self.implementation != "reference"
            rectified = affinity(q, k, cut=cut) * self.rectifying(p, p)  # (B, n, n)
            weights, v = self.retain(rectified.unflatten(2, x.shape[-2:]), s), value.flatten(2).mT
            y = weights.to(v.dtype) @ v  # (B, n, C)
        else:
            y = self.gather(q, k, p, self.retain_values(value, s).mT)
        return x + self.gamma * y.mT.reshape(x.shape)

    def maps(self, x: Tensor, logits: Tensor, pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B h w"]]:
        """The row of `pixel` = (row, column) of the full grid: `affinity` A, `rectified` A', `retained` A''."""
        size = x.shape[-2:]
        at = (..., slice(pixel[0] // 2, pixel[0] // 2 + 1), slice(pixel[1] // 2, pixel[1] // 2 + 1))
        query, key, p = self.query(x), self.key(x), widen(resize(logits, size)).softmax(dim=1)
        row = affinity(query[at].flatten(2).mT, key.flatten(2).mT)  # (B, 1, n)
        rectified = row * self.rectifying(p[at].flatten(2), p.flatten(2))
        retained = self.retain(rectified.unflatten(2, size), self.retention(query, key))
        found = {"affinity": row, "rectified": rectified, "retained": retained}
        return {name: weights.unflatten(2, size).squeeze(1) for name, weights in found.items()}


class DenoisedContext(nn.Module):
    """`DenoisedNonLocal` on the half grid of x, with class logits of its own: all that the mechanism needs around it.

    The half grid is a BasicBlock with stride 2 whose shortcut is a 3x3 convolution, batch norm and ReLU.
    """

    loss_weights: ClassVar[dict[str, float]] = {"prior": 0.4}
    map_kinds = DenoisedNonLocal.map_kinds
    main_map = DenoisedNonLocal.main_map

    def __init__(self, channels: int, prior: nn.Module, **options: Any) -> None:
        super().__init__()
        self.prior = prior
        self.first = ConvBnRelu(channels, channels, stride=2)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = ConvBnRelu(channels, channels, stride=2)
        self.attention = DenoisedNonLocal(channels, **options)

    def inputs(self, x: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """x on the half grid, and class logits from `features` (from x where there are none)."""
        half = (self.second(self.first(x)) + self.shortcut(x)).relu()
        return half, self.prior(x if features is None else features)

    def forward(self, x: Float[Tensor, "B C H W"], features: Tensor | None = None) -> dict[str, Tensor]:
        half, logits = self.inputs(x, features)
        return {"context": resize(self.attention(half, logits), x.shape[-2:]), "prior": logits}

    def maps(self, x: Tensor, pixel: tuple[int, int], features: Tensor | None = None) -> dict[str, Tensor]:
        """Maps (B, h, w) on the half grid; see `DenoisedNonLocal.maps`."""
        return self.attention.maps(*self.inputs(x, features), pixel)


def mechanism(
    channels: int, num_classes: int, *, gr_mode: GrMode = "sigmoid", implementation: Implementation = "auto"
) -> nn.Module:
    """The mechanism for the controlled comparison: class logits by one 1x1 convolution on its own input."""
    prior = Classifier(channels, num_classes, dropout=0.0)
    return DenoisedContext(channels, prior, gr_mode=gr_mode, implementation=implementation)


class Head(nn.Module):
    """`DenoisedContext` with class logits from stage 3, between the convolutions of `Sandwich`; auxiliary on stage 2."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0, "aux1": 0.4, "aux2": 0.4}
    own_auxiliary = True
    family = "pairwise"
    growth = (2, 2)
    gates = ("gamma",)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        gr_mode: GrMode = "sigmoid",
        dropout: float = 0.05,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        prior = nn.Sequential(ConvBnRelu(in_channels[2], channels), Classifier(channels, num_classes, dropout=dropout))
        self.context = DenoisedContext(channels, prior, gr_mode=gr_mode, implementation=implementation)
        auxiliary = max(channels // 8, 1)
        self.auxiliary = nn.Sequential(
            ConvBnRelu(in_channels[1], auxiliary), Classifier(auxiliary, num_classes, dropout=dropout)
        )
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, a=1)  # as in the authors' code

    @property
    def attention(self) -> nn.Module:
        """The mechanism: non-local attention, rectifying and retention on the half grid."""
        return self.context.attention

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W): "out"; in training also "aux1" (stage 2) and "aux2" (stage 3, the rectifying classes)."""
        _, x1, x2, x3 = features
        context = self.context(self.sandwich.before(x3), x2)
        out = {"out": self.sandwich.after(x3, context["context"])}
        return {**out, "aux1": self.auxiliary(x1), "aux2": context["prior"]} if self.training else out

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """The maps (B, h, w) of `DenoisedNonLocal.maps` for `pixel` = (row, column) of the full grid."""
        return self.context.maps(self.sandwich.before(features[-1]), pixel, features[2])
