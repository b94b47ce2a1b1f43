"""Song, Li, Guo, Huang: *Denoised Non-Local Neural Network for Semantic Segmentation*, TNNLS 2023, arXiv 2110.14200.

Non-local attention on half the grid, its map cleaned twice: global rectifying damps pairs of different class, local
retention lets every key keep what its 3x3 neighbours gathered:

    A_ij   = softmax_j(q_i^T k_j)                      G_ij = sigmoid(p_i^T p_j)         A'_ij = A_ij G_ij
    s_jd   = sigmoid(q_j^T k_{j+d})                    A''_ij = sum_d A'_{i,j+d} s_jd
    z_i    = gamma sum_j A''_ij v_j + x_i

where x_i in R^C is the feature at position i = 1..n of the half grid (a BasicBlock with stride 2 makes it); q, k in R^D, v in
R^C: its 1x1 convolutions; p_i in R^K: class probabilities at i, from logits on stage 3; d: the 9 offsets of the 3x3 window
(outside the map A' is 0); gamma: scalar, starts at 0.

Cost: MACs n C (2D + C) + n^2 (D + C + K + 9) + 9 n D with n = ceil(H/2) ceil(W/2); memory 9 n^2 for the neighbours of A';
`fast` 9 n C instead of 9 n^2 MACs, memory 2 n^2, with no gradient 1024 n. (`gr_mode="hard"` has no product with K.)

Differences from the paper and from the authors' code: the paper calls the rectifying map binary, the code's sigmoid of a
value in [0, 1] only ranges over [0.5, 0.73]; `gr_mode` has both readings and P^T P, and defaults to the code. The code doubles
the half grid and fails on odd maps; here z is resized. The figure's pooled branch is in no code. Auxiliary weights: 0.4, usual.

B batch, C channels, D = C/8 projected, H W feature map, h w half grid, n = h*w, Q query positions, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, check_option, full_precision, widen, writes_out
from segattn.heads.parts.layers import Classifier, ConvBnRelu, Sandwich, fcn_classifier, neighbours, resize, spread
from segattn.heads.parts.recording import recording, unflatten

LATEX = r"""
\begin{aligned}
A_{ij} &= \mathrm{softmax}_j(q_i^\top k_j) & G_{ij} &= \sigma(p_i^\top p_j) & A'_{ij} &= A_{ij} G_{ij} \\
s_{jd} &= \sigma(q_j^\top k_{j+d}) & A''_{ij} &= \sum_d A'_{i,j+d}\, s_{jd} & z_i &= \gamma \sum_j A''_{ij} v_j + x_i
\end{aligned}
"""

GrMode = Literal["sigmoid", "affinity", "hard", "off"]
Window = Literal[0, 3, 5, 7]
BLOCK, MAPS = 512, ("affinity", "rectified", "retained")  # queries at a time, without gradient; names of the maps


class DenoisedNonLocal(nn.Module):
    """Non-local block on the half grid with rectifying and retention: x + gamma A'' v. `auto` is `fast` where n > C."""

    def __init__(
        self, channels: int, *, gr_mode: GrMode = "sigmoid", window: Window = 3, implementation: Implementation = "auto"
    ) -> None:
        super().__init__()
        check_option("gr_mode", gr_mode, GrMode)
        check_option("implementation", implementation, Implementation)
        check_option("window", window, Window)
        self.gr_mode, self.window, self.implementation = gr_mode, window, implementation
        self.query, self.key = (nn.Conv2d(channels, max(channels // 8, 1), 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def rectifying(self, rows: Float[Tensor, "B K Q"], p: Float[Tensor, "B K n"]) -> Float[Tensor, "B Q n"]:
        """G: how far the classes of two positions agree, from their class probabilities; 1 if `gr_mode` is off."""
        if self.gr_mode == "off":
            return p.new_ones(len(p), rows.shape[2], p.shape[2])
        if self.gr_mode == "hard":
            return (rows.argmax(1).unsqueeze(2) == p.argmax(1).unsqueeze(1)).to(p.dtype)
        agreement = rows.transpose(1, 2) @ p  # (B, Q, n), in [0, 1]
        return agreement.sigmoid() if self.gr_mode == "sigmoid" else agreement

    def retention(self, query: Float[Tensor, "B D h w"], key: Float[Tensor, "B D h w"]) -> Float[Tensor, "B S n"]:
        """s: how far each position keeps each of its neighbours; 1 for itself alone if `window` is 0."""
        if self.window == 0:
            return query.new_ones(query.shape[0], 1, query.shape[2] * query.shape[3])
        with full_precision(query):  # unscaled logits
            return torch.einsum("bdn,bnsd->bsn", widen(query).flatten(2), neighbours(widen(key), self.window)).sigmoid()

    def retain(self, rectified: Float[Tensor, "B Q h w"], s: Float[Tensor, "B S n"]) -> Float[Tensor, "B Q n"]:
        """A'' from A'."""
        return torch.einsum("bnsq,bsn->bqn", neighbours(rectified, self.window or 1), s.to(rectified.dtype))

    def forward(self, x: Float[Tensor, "B C h w"], logits: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C h w"]:
        query, key, value = self.query(x), self.key(x), self.value(x)
        p = widen(resize(logits, x.shape[-2:])).softmax(dim=1).flatten(2)  # (B, K, n), columns sum to 1
        q, k, v = (y.flatten(2).transpose(1, 2) for y in (query, key, value))  # (B, n, D), (B, n, D), (B, n, C)
        if _retains_values(self, x):
            y = _gather(self, q, k, p, spread(value, self.retention(query, key), self.window or 1).transpose(1, 2))
        else:
            rectified = affinity(q, k, cut=self.implementation != "reference") * self.rectifying(p, p)  # (B, n, n)
            y = self.retain(unflatten(rectified, 2, x.shape[-2:]), self.retention(query, key)).to(v.dtype) @ v
        return x + self.gamma * y.transpose(1, 2).reshape(x.shape)

    def maps(self, x: Tensor, logits: Tensor, pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B h w"]]:
        """The row of `pixel` = (row, column) of the full grid: `affinity` A, `rectified` A', `retained` A''."""
        size, (row, column) = x.shape[-2:], (pixel[0] // 2, pixel[1] // 2)
        query, key, p = self.query(x), self.key(x), widen(resize(logits, size)).softmax(dim=1)
        of_query, of_p = (values[:, :, row, column, None] for values in (query, p))  # (B, D, 1), (B, K, 1)
        A = affinity(of_query.transpose(-2, -1), key.flatten(2).transpose(-2, -1))  # (B, 1, n)
        rectified = A * self.rectifying(of_p, p.flatten(2))
        rows = [A, rectified, self.retain(rectified.unflatten(2, size), self.retention(query, key))]
        return {name: weights.unflatten(2, size)[:, 0] for name, weights in zip(MAPS, rows, strict=True)}


# The same, faster


def _retains_values(block: DenoisedNonLocal, x: Float[Tensor, "B C h w"]) -> bool:
    """Whether the retention is moved to the values, with the same result: 9 n C instead of 9 n^2 products."""
    return not writes_out(block.implementation, pays=x.shape[2] * x.shape[3] <= x.shape[1])


def _gather(block: DenoisedNonLocal, q: Tensor, k: Tensor, p: Tensor, u: Tensor) -> Float[Tensor, "B n C"]:
    """A'' v as A' u, u_m = sum_d s_{m-d,d} v_{m-d}: the sum in another order; without gradient by blocks that a cache holds."""
    whole = torch.is_grad_enabled() or recording()
    blocks = [(q, p)] if whole else zip(q.split(BLOCK, dim=1), p.split(BLOCK, dim=2), strict=True)
    sums = [(affinity(rows, k, cut=True) * block.rectifying(of, p)).to(u.dtype) @ u for rows, of in blocks]
    return torch.cat(sums, dim=1)


# The head


class DenoisedContext(nn.Module):
    """`DenoisedNonLocal` on half the grid, from a BasicBlock with stride 2, with class logits from `prior` (default: 1x1)."""

    loss_weights: ClassVar[dict[str, float]] = {"prior": 0.4}
    gates, without_attention = ("attention.gamma",), "mean"

    def __init__(
        self,
        channels: int,
        num_classes: int,
        prior: nn.Module | None = None,
        *,
        gr_mode: GrMode = "sigmoid",
        window: Window = 3,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.prior = Classifier(channels, num_classes, dropout=0.0) if prior is None else prior
        self.first = ConvBnRelu(channels, channels, stride=2)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = ConvBnRelu(channels, channels, stride=2)
        self.attention = DenoisedNonLocal(channels, gr_mode=gr_mode, window=window, implementation=implementation)

    def inputs(self, x: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """x on the half grid, and class logits from `features` (from x where there are none)."""
        return (self.second(self.first(x)) + self.shortcut(x)).relu(), self.prior(x if features is None else features)

    def forward(self, x: Float[Tensor, "B C H W"], features: Tensor | None = None) -> dict[str, Tensor]:
        half, logits = self.inputs(x, features)
        return {"context": resize(self.attention(half, logits), x.shape[-2:]), "prior": logits}

    def maps(self, x: Tensor, pixel: tuple[int, int], features: Tensor | None = None) -> dict[str, Tensor]:
        """Maps (B, h, w) on the half grid; see `DenoisedNonLocal.maps`."""
        return self.attention.maps(*self.inputs(x, features), pixel)


class Head(nn.Module):
    """`DenoisedContext` with class logits from stage 3, between the convolutions of `Sandwich`; auxiliary on stage 2."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0, "aux1": 0.4, "aux2": 0.4}
    own_auxiliary, Mechanism = True, DenoisedContext
    family, growth = "pairwise", (2, 2)
    map_kinds: ClassVar[dict[str, str]] = dict.fromkeys(MAPS, "half_grid")
    gates, without_attention, main_map = ("gamma",), "identity", "retained"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.05,
        mechanism: Callable[..., DenoisedContext] = DenoisedContext,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        prior = fcn_classifier(in_channels[2], channels, num_classes, dropout=dropout)
        self.context = mechanism(channels, num_classes, prior)
        self.auxiliary = fcn_classifier(in_channels[1], max(channels // 8, 1), num_classes, dropout=dropout)
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, a=1)  # as in the authors' code

    @property
    def attention(self) -> nn.Module:
        """The mechanism: non-local attention, rectifying and retention on the half grid."""
        return self.context.attention

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W): "out"; in training also "aux1" (stage 2) and "aux2" (stage 3, the rectifying classes)."""
        context = self.context(self.sandwich.before(features[3]), features[2])
        out = {"out": self.sandwich.after(features[3], context["context"])}
        return {**out, "aux1": self.auxiliary(features[1]), "aux2": context["prior"]} if self.training else out

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """The maps (B, h, w) of `DenoisedNonLocal.maps` for `pixel` = (row, column) of the full grid."""
        return self.context.maps(self.sandwich.before(features[-1]), pixel, features[2])
