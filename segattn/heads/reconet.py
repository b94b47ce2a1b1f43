"""Chen, Zhu, Sun, He, Li, Shen, Yu: *Tensor Low-Rank Reconstruction for Semantic Segmentation*, ECCV 2020, arXiv 2008.00490.

The features are gated by a tensor as large as they are, built as a sum of r tensors of rank 1 (a CP decomposition):

    c_t = sigmoid(Wc_t mean_HW(F))        h_t = sigmoid(Wh_t mean_CW(F))        w_t = sigmoid(Ww_t mean_CH(F))
    A   = sum_t lambda_t c_t (x) h_t (x) w_t                                    Y   = F * A

where F in R^(C x H x W) are the features, t = 1..r, r = 64; Wc_t, Wh_t, Ww_t: square matrices of their own for every t, applied
to the means along the other two axes; lambda_t: weights of the factors; (x) the outer product, * the product by entries.

Cost: MACs r C N + r (C^2 + H^2 + W^2) in `fast` (`resample` to L x M: r (C^2 + L^2 + M^2)); memory C N + r N, not r C N.

Differences from the paper and from the authors' code (which has no licence: only equations were used). The code swaps the means
of rows and columns; here each has its axis. It re-assigns lambda to its own softmax, so that it stays 1/r; here `rank_weights` is
"softmax" of a parameter (default, starts at 1/r), the "free" parameter, or "constant" 1/r. Wh and Ww are tied to one map size,
`size_handling="fixed"`; "resample", the default, averages the means to `grid` and interpolates h and w back. The paper
joins globally pooled features, the code does not: `with_gpm`. The code joins F to ReLU(Y): `concat=False` leaves F out.

B batch, C channels, H W feature map, N = H*W, r rank, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, recording
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import Classifier, ConvBnRelu, unflatten

LATEX = r"""
\begin{aligned}
c_t &= \sigma(W^c_t\, \mathrm{mean}_{HW} F) & h_t &= \sigma(W^h_t\, \mathrm{mean}_{CW} F)
& w_t &= \sigma(W^w_t\, \mathrm{mean}_{CH} F) \\
A &= \sum_{t=1}^r \lambda_t\, c_t \otimes h_t \otimes w_t & Y &= F \odot A
\end{aligned}
"""

RankWeights = Literal["softmax", "free", "constant"]
SizeHandling = Literal["resample", "fixed"]


class TensorReconstruction(nn.Module):
    """Tensor generation (TGM) and reconstruction (TRM): F * sum_t lambda_t c_t (x) h_t (x) w_t. `auto` always is `fast`."""

    counted_as = "fast"

    def __init__(
        self,
        channels: int,
        *,
        rank: int = 64,
        rank_weights: RankWeights = "softmax",
        size_handling: SizeHandling = "resample",
        grid: Sequence[int] = (64, 64),
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_counts(rank=rank)
        check_option("rank_weights", rank_weights, RankWeights)
        check_option("size_handling", size_handling, SizeHandling)
        check_option("implementation", implementation, Implementation)
        self.rank_weights, self.size_handling, self.implementation = rank_weights, size_handling, implementation
        self.grid = (grid[0], grid[1])
        self.channel, self.height, self.width = (nn.Linear(S, rank * S, bias=False) for S in (channels, *self.grid))
        for linear in (self.channel, self.height, self.width):
            nn.init.normal_(linear.weight, std=(2 / linear.in_features) ** 0.5)  # He, for each of the r matrices
        start = torch.zeros(rank) if rank_weights == "softmax" else torch.full((rank,), 1 / rank)
        self.weight: Tensor = nn.Parameter(start) if rank_weights != "constant" else nn.Buffer(start)

    def factors(self, mean: Float[Tensor, "B S"], linear: nn.Linear) -> Float[Tensor, "B r S"]:
        """The r vectors of one axis, entries in (0, 1), from the features' mean along the other two."""
        return unflatten(linear(mean).sigmoid(), 1, (len(self.weight), -1))

    def generate(self, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """TGM: lambda c (B, r, C), h (B, r, H), w (B, r, W)."""
        weight = self.weight.softmax(dim=0) if self.rank_weights == "softmax" else self.weight
        c = self.factors(x.mean((2, 3)), self.channel) * weight.unsqueeze(1)
        rows, columns = x.mean((1, 3)), x.mean((1, 2))  # (B, H), (B, W)
        if self.size_handling == "resample":
            return c, _resampled(self, rows, self.height), _resampled(self, columns, self.width)
        _check_size(x, self.grid)
        return c, self.factors(rows, self.height), self.factors(columns, self.width)

    def reconstruct(self, c: Float[Tensor, "B r C"], h: Float[Tensor, "B r H"], w: Float[Tensor, "B r W"]) -> Tensor:
        """TRM: the sum A (B, C, H, W) of the r outer products."""
        if self.implementation != "reference":
            return _product(c, h, w)
        return torch.einsum("brc,brh,brw->brchw", c, h, w).sum(dim=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x * self.reconstruct(*self.generate(x)).to(x.dtype)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`gate`: A, mean over channels; `factor_1`, ...: its three terms of rank 1 that are largest at `pixel`."""
        c, h, w = self.generate(x)
        c = c.mean(dim=2)  # (B, r)
        at_pixel = c * h[:, :, pixel[0]] * w[:, :, pixel[1]]
        largest = at_pixel.topk(min(3, at_pixel.shape[1])).indices.unsqueeze(2)  # (B, 3, 1)
        top = [torch.take_along_dim(v, largest, dim=1) for v in (c.unsqueeze(2), h, w)]
        terms = torch.einsum("brc,brh,brw->brhw", *top)
        factors = {f"factor_{t + 1}": terms[:, t] for t in range(terms.shape[1])}
        return {"gate": torch.einsum("br,brh,brw->bhw", c, h, w), **factors}


# The same, faster


def _product(c: Tensor, h: Tensor, w: Tensor) -> Float[Tensor, "B C H W"]:
    """The sum over t as a matrix product, (lambda c)^T (h (x) w): no r tensors of the features' size."""
    planes = torch.einsum("brh,brw->brhw", h, w)
    return unflatten(c.transpose(1, 2) @ planes.flatten(2), 2, planes.shape[2:])


def _resampled(block: TensorReconstruction, mean: Tensor, linear: nn.Linear) -> Float[Tensor, "B r S"]:
    """`factors` of a map of any size: averaged to the size of `linear` and interpolated back, which is nothing at that size."""
    averaged = _averaged(mean, linear.in_features)
    return F.interpolate(block.factors(averaged, linear), mean.shape[1], mode="linear")


def _averaged(mean: Float[Tensor, "B S"], bins: int) -> Float[Tensor, "B L"]:
    """Adaptive pooling: bin i is the mean from floor(i S / L) to ceil((i + 1) S / L); in a graph a product with a matrix."""
    if not recording():  # the TorchScript-based ONNX exporter wants a fixed S
        return F.adaptive_avg_pool1d(mean.unsqueeze(1), bins).squeeze(1)
    S, index = mean.shape[1], torch.arange(bins, device=mean.device)
    position = torch.arange(S, device=mean.device).unsqueeze(1)
    first, end = index * S // bins, ((index + 1) * S + bins - 1) // bins
    inside = ((position >= first) & (position < end)).to(mean.dtype)  # (S, L)
    return mean @ (inside / inside.sum(dim=0))


def _check_size(x: Float[Tensor, "B C H W"], grid: tuple[int, int]) -> None:
    """Raise ValueError for a map of another size than `grid`, which `fixed` refuses."""
    if tuple(x.shape[2:]) != grid:
        size = f"{x.shape[2]}x{x.shape[3]}"
        raise ValueError(f"size_handling='fixed' takes maps of grid={grid}, not {size}; use 'resample'")


# The head


class Head(nn.Module):
    """3x3 convolution, tensor reconstruction, 1x1 convolution over [F ; ReLU(Y)], classifier."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = TensorReconstruction
    family = "low-rank"
    growth = (1, 1)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        with_gpm: bool = False,
        concat: bool = True,
        dropout: float = 0.05,
        mechanism: Callable[..., nn.Module] = TensorReconstruction,
    ) -> None:
        super().__init__()
        self.concat = concat
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.pooled = ConvBnRelu(channels, channels, 1) if with_gpm else None
        self.fuse = ConvBnRelu((1 + concat + with_gpm) * channels, channels, 1)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = self.reduce(features[-1])
        parts = [x] if self.concat else []
        parts.append(self.attention(x).relu())
        if self.pooled is not None:
            parts.append(self.pooled(x.mean((2, 3), keepdim=True)).expand_as(x))
        return {"out": self.classify(self.fuse(*parts))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`gate` and `factor_1`, ... (B, H, W), see `TensorReconstruction.maps`."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
