"""Geng, Guo, Chen, Li, Wei, Lin: *Is Attention Better Than Matrix Decomposition?*, ICLR 2021, arXiv 2109.04553.

The map, made non-negative, is replaced by its factorisation into R atoms, found for each image by T multiplicative updates (NMF):

    X = ReLU(W_l F + b)        Z = softmax_r(X^T D)
    T times, then the first once more        Z <- Z * (X^T D) / (Z D^T D + eps)        D <- D * (X Z) / (D Z^T Z + eps)
    Y = ReLU(F + BN(W_u D Z^T))

where F in R^{C x N} is the feature map; W_l, W_u: 1x1 convolutions, W_u without bias; D in R^{C x R}: the atoms; Z in R^{N x R}:
how much of each atom a position has; R = 64; T = 6; eps = 1e-6; * and / element by element. The first D is uniform in [0, 1),
its columns of unit norm. The T rounds stop the gradient: D and Z enter the last update as constants.

Cost: MACs 2 N C^2 + (2T + 3) N C R + (2T + 1) R^2 (N + C); memory N R. `fast` applies W_u to R atoms instead of N positions.

Differences from the paper and from the authors' code: written from the equations. In training the first D is drawn for every
image (`random_init`), as published; in evaluation it is a stored buffer, so that one image always gives one result, where the
published code draws there too. `gradient` "full" sends the gradient through all rounds, as descendants of the code do. T is the
same in evaluation. The paper's other factorisations and later versions of the block are left out.

B batch, C channels, R atoms, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, widen
from segattn.heads.parts.layers import Classifier, ConvBnRelu

LATEX = r"""
\begin{aligned} X &= \mathrm{ReLU}(W_l F + b) \qquad Z = \mathrm{softmax}_r(X^\top D) \\
Z &\leftarrow Z \odot \frac{X^\top D}{Z D^\top D + \varepsilon} \qquad
D \leftarrow D \odot \frac{X Z}{D Z^\top Z + \varepsilon} \quad (T\ \text{times}, Z\ \text{once more}) \\
Y &= \mathrm{ReLU}\bigl(F + \mathrm{BN}(W_u D Z^\top)\bigr) \end{aligned}
"""

Gradient = Literal["one_step", "full"]


class MatrixDecomposition(nn.Module):
    """The Hamburger block: ReLU(F + BN(W_u D Z^T)), D Z^T close to ReLU(W_l F + b). `auto` always is `fast`."""

    map_kinds: ClassVar[dict[str, str]] = {"coefficients": "bases"}

    def __init__(
        self,
        channels: int,
        *,
        num_atoms: int = 64,
        num_rounds: int = 6,
        gradient: Gradient = "one_step",
        random_init: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("gradient", gradient, Gradient)
        check_option("implementation", implementation, Implementation)
        if num_atoms < 1 or num_rounds < 1:
            raise ValueError(f"{num_atoms=} and {num_rounds=}: use at least 1 of each")
        self.num_rounds, self.gradient = num_rounds, gradient
        self.random_init, self.implementation = random_init, implementation
        self.embed = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        for conv in (self.embed, self.project):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.atoms: Tensor = nn.Buffer(F.normalize(torch.rand(1, channels, num_atoms), dim=1))  # of evaluation

    def update(self, factor: Tensor, target: Tensor, other: Tensor) -> Tensor:
        """One multiplicative update of a factor, towards `target`, the map's product with the other factor."""
        return factor * target / (factor @ (other.transpose(-2, -1) @ other) + 1e-6)

    def decompose(self, X: Float[Tensor, "B C N"]) -> tuple[Float[Tensor, "B C R"], Float[Tensor, "B N R"]]:
        """D and Z, both non-negative, with D Z^T close to X."""
        with torch.no_grad() if torch.is_grad_enabled() and self.gradient != "full" else nullcontext():
            D = self.atoms.to(X.dtype).expand(X.shape[0], -1, -1)  # len() would be a constant of a graph
            if self.training and self.random_init:
                D = F.normalize(torch.rand_like(D), dim=1)
            Z = (X.transpose(-2, -1) @ D).softmax(dim=2)
            for _ in range(self.num_rounds):
                Z = self.update(Z, X.transpose(-2, -1) @ D, D)
                D = self.update(D, X @ Z, Z)
        return D, self.update(Z, X.transpose(-2, -1) @ D, D)

    def factors(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B C R"], Float[Tensor, "B N R"]]:
        """D and Z of the embedded map; in float32 also under autocast."""
        X = self.embed(x).relu().flatten(2)
        with full_precision(x):
            return self.decompose(widen(X))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        D, Z = self.factors(x)
        if self.implementation != "reference":
            return (x + self.bn(_project_atoms(self, D, Z, x.dtype).view(x.shape))).relu_()
        with full_precision(x):
            rebuilt = (D @ Z.transpose(-2, -1)).to(x.dtype)  # (B, C, N)
        return (x + self.bn(self.project(rebuilt.view(x.shape)))).relu_()

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`: share of each position in the atoms of `pixel`; `atom_1`..: its strongest columns of Z; `coefficients`."""
        return _maps(self, x, pixel)


# The same, faster


def _project_atoms(block: MatrixDecomposition, D: Tensor, Z: Tensor, dtype: torch.dtype) -> Float[Tensor, "B C N"]:
    """W_u (D Z^T) as (W_u D) Z^T: the convolution is applied to R atoms instead of N positions."""
    with full_precision(D):
        y = (widen(block.project.weight).flatten(1) @ D @ Z.transpose(-2, -1)).to(dtype)
    return y if block.project.bias is None else y + block.project.bias.unsqueeze(1)  # where BN is folded into W_u


def _maps(block: MatrixDecomposition, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
    """Of the shares z_ir z_jr / sum_n z_nr, summed over r, the row of one pixel alone: all rows would be N x N."""
    Z = block.factors(x)[1].unflatten(1, x.shape[2:])  # (B, H, W, R)
    own = Z[:, pixel[0], pixel[1]]  # (B, R)
    affinity = torch.einsum("bhwr,br->bhw", Z, own / Z.sum(dim=(1, 2)).clamp_min(1e-12))
    maps = {"affinity": affinity / affinity.sum(dim=(1, 2), keepdim=True).clamp_min(1e-12)}
    for rank, atom in enumerate(own.topk(min(3, own.shape[1])).indices.T, start=1):
        maps[f"atom_{rank}"] = Z[torch.arange(len(Z)), :, :, atom]
    return {**maps, "coefficients": own.unsqueeze(1)}


# The head


class Head(nn.Module):
    """The block after a 3x3 convolution; a narrower 3x3 after it."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = MatrixDecomposition
    family = "low-rank"
    growth = (1, 1)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = MatrixDecomposition,
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.refine = ConvBnRelu(channels, max(channels // 2, 1))
        self.classify = Classifier(max(channels // 2, 1), num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        return {"out": self.classify(self.refine(self.attention(self.reduce(features[-1]))))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`, `atom_1` to `atom_3` (B, H, W), `coefficients` (B, 1, R) of `pixel` = (row, column)."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
