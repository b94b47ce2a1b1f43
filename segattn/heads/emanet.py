"""Li, Zhong, Wu, Yang, Lin, Liu: *Expectation-Maximization Attention Networks for Semantic Segmentation*, ICCV 2019,
arXiv 1907.13426.

Positions are rebuilt from K bases, estimated for each image by T rounds of expectation-maximization:

    X = W1 F + b1                             frozen; no gradient passes
    z_nk = softmax_k(x_n^T mu_k)              E step: responsibility of basis k for position n
    mu_k = sum_n z_nk x_n / sum_n z_nk        M step, then mu_k / |mu_k|; both steps T times from the stored bases
    Y = ReLU(F + BN(W2 ReLU(sum_k z_nk mu_k)))
    stored <- (1 - m) stored + m mean(mu)     in training, once a step; the mean over the images of all processes

where F in R^{C x N} is the feature map; W1, W2 1x1 convolutions, W2 without bias; K = 64; T = 3; m = `momentum`.

Cost of `attention`: MACs 2 N C^2 + (2T + 1) N C K; memory N K. `fast` applies W1 to 2 T K bases and sums instead of N features.

Differences from the paper and from the authors' code: the defaults are mmsegmentation's, so that its checkpoints work. It joins
the result with the backbone's map (`concat_input`) and normalises the mean of bases (`normalize_mean`); the authors do neither.
Their momentum, EM_MOM = 0.9, is our 1 - m. mmsegmentation moves the bases in each forward pass, here they move once a step.

B batch, C channels, K bases (and classes in the logits), H W feature map, N = H*W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision, recording, widen, writes_out
from segattn.heads.parts.contract import Reduce
from segattn.heads.parts.layers import Classifier, ConvBnRelu

LATEX = r"""
\begin{aligned} X &= W_1 F + b_1 & z_{nk} &= \mathrm{softmax}_k(x_n^\top \mu_k) \\
\mu_k &= \frac{\sum_n z_{nk} x_n}{\sum_n z_{nk}},\; \mu_k \leftarrow \frac{\mu_k}{|\mu_k|}
& Y_n &= \mathrm{ReLU}\Bigl(F_n + \mathrm{BN}\bigl(W_2\, \mathrm{ReLU}(\textstyle\sum_k z_{nk} \mu_k)\bigr)\Bigr) \\
\mathrm{stored} &\leftarrow (1 - m)\, \mathrm{stored} + m\, \mathrm{mean}(\mu) \end{aligned}
"""


class EMAU(nn.Module):
    """The EMA unit: ReLU(F + BN(W2 ReLU(mu z^T))). `auto` is `fast` on maps of more than 2 T K positions."""

    map_kinds: ClassVar[dict[str, str]] = {"responsibilities": "bases"}

    def __init__(
        self,
        channels: int,
        *,
        num_bases: int = 64,
        num_rounds: int = 3,
        momentum: float = 0.1,
        normalize_mean: bool = True,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if num_bases < 1 or num_rounds < 1:
            raise ValueError(f"{num_bases=} and {num_rounds=}: use at least 1 of each")
        self.num_rounds, self.momentum, self.normalize_mean = num_rounds, momentum, normalize_mean
        self.implementation = implementation
        self.embed = nn.Conv2d(channels, channels, 1).requires_grad_(False)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        for conv in (self.embed, self.project):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.bases: Tensor = nn.Buffer(F.normalize(torch.randn(1, channels, num_bases), dim=1))  # the stored ones
        self.gathered: tuple[Tensor, Tensor] | None = None  # since the last step: sum of the parts' means, their number

    def responsibilities(self, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B N K"], Float[Tensor, "B C K"]]:
        """The last round's z, whose rows sum to 1, and its bases; in float32 also under autocast and without gradient."""
        with torch.no_grad(), full_precision(x):
            if self.implementation != "reference":
                return _responsibilities(self, widen(x))
            X = F.conv2d(widen(x), widen(self.embed.weight), widen(self.embed.bias)).flatten(2)  # type: ignore[arg-type]
            bases = widen(self.bases).expand(x.shape[0], -1, -1)
            for _ in range(self.num_rounds):
                z = (X.transpose(1, 2) @ bases).softmax(dim=2)  # (B, N, K)
                bases = F.normalize(X @ F.normalize(z, p=1, dim=1), dim=1)  # (B, C, K)
            return z, bases

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        z, bases = self.responsibilities(x)
        if self.training:
            self.gathered = _added(self.gathered, bases.mean(dim=0, keepdim=True))
        rebuilt = (bases.to(x.dtype) @ z.to(x.dtype).transpose(1, 2)).relu_().view_as(x)
        return (x + self.bn(self.project(rebuilt))).relu_()

    def after_step(self, reduce: Reduce) -> None:
        """Move the stored bases, in place since data-parallel wrappers hold them; `reduce` is the mean over processes."""
        if self.gathered is not None:
            mean = reduce(self.gathered[0] / self.gathered[1])
            mean = F.normalize(mean, dim=1) if self.normalize_mean else mean
            self.bases.copy_((1 - self.momentum) * self.bases + self.momentum * mean)
            self.gathered = None

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`: the weights that rebuild `pixel`; `base_1`..: z of its strongest bases; `responsibilities` (B, 1, K)."""
        z = self.responsibilities(x)[0].unflatten(1, x.shape[2:])  # (B, H, W, K)
        own = z[:, pixel[0], pixel[1]]  # (B, K)
        maps = {"affinity": torch.einsum("bhwk,bk->bhw", z, own / z.sum(dim=(1, 2)).clamp_min(1e-12))}
        for rank, basis in enumerate(own.topk(min(3, own.shape[1])).indices.T, start=1):
            maps[f"base_{rank}"] = z[torch.arange(len(z)), :, :, basis]
        return {**maps, "responsibilities": own.unsqueeze(1)}


# The same, faster


def _added(gathered: tuple[Tensor, Tensor] | None, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and number of the parts' means: the mean of all images, without keeping what each part gathered."""
    one = mean.new_ones(())
    return (mean, one) if gathered is None else (gathered[0] + mean, gathered[1] + one)


def _responsibilities(unit: EMAU, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
    """The rounds without numbers below the normal range, which change no sum, and with W1 on the fewer columns.

    X^T mu = F^T (W1^T mu) + b1^T mu and X z = W1 (F z) + b1 sum z: W1 is applied to bases and sums.
    """
    weight, bias = map(widen, unit.embed.parameters())
    bases = widen(unit.bases).expand(x.shape[0], -1, -1)
    if not _projects_bases(unit, x):
        x = F.conv2d(x, weight, bias).flatten(2)  # (B, C, N)
        for _ in range(unit.num_rounds):
            z = _normal((x.transpose(1, 2) @ bases).softmax(dim=2))  # (B, N, K)
            bases = F.normalize(x @ F.normalize(z, p=1, dim=1), dim=1)  # (B, C, K)
        return z, bases
    x, weight = x.flatten(2), weight.flatten(1)
    for _ in range(unit.num_rounds):
        z = _normal(torch.baddbmm((bias @ bases).unsqueeze(1), x.transpose(1, 2), weight.T @ bases).softmax(dim=2))
        total = z.sum(dim=1, keepdim=True)  # (B, 1, K)
        bases = F.normalize((weight @ (x @ z) + bias[:, None] * total) / total.clamp_min(1e-12), dim=1)
    return z, bases


def _projects_bases(unit: EMAU, x: Float[Tensor, "B C H W"]) -> bool:
    """Whether the 2 T K bases and sums are fewer columns than the N positions of the map; always with `fast`."""
    few = x.shape[2] * x.shape[3] <= 2 * unit.num_rounds * unit.bases.shape[2]
    return not writes_out(unit.implementation, pays=few)


def _normal(z: Float[Tensor, "B N K"]) -> Float[Tensor, "B N K"]:
    """z with 0 below the normal range, where a CPU is slow; `cut_off` would also drop all that a weak basis has."""
    return z if recording() else F.threshold(z, torch.finfo(z.dtype).tiny, 0.0, inplace=True)


# The head


class Head(nn.Module):
    """The EMA unit after a 3x3 convolution; a narrower 3x3 after it, another over `[X ; Y]`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    frozen = ("attention.embed",)
    Mechanism = EMAU
    family = "basis"
    growth = (1, 1)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        concat_input: bool = True,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = EMAU,
    ) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"{channels=}: half of them go on after the attention; use at least 2")
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.refine = ConvBnRelu(channels, channels // 2)
        self.fuse = ConvBnRelu(in_channels[-1] + channels // 2, channels // 2) if concat_input else None
        self.classify = Classifier(channels // 2, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        y = self.refine(self.attention(self.reduce(features[-1])))
        if self.fuse is not None:
            y = self.fuse(features[-1], y)
        return {"out": self.classify(y)}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity`, `base_1` to `base_3` (B, H, W), `responsibilities` (B, 1, K): what rebuilds `pixel` = (row, column)."""
        return self.attention.maps(self.reduce(features[-1]), pixel)  # type: ignore[operator]
