"""Li, Zhong, Wu, Yang, Lin, Liu: *Expectation-Maximization Attention Networks for Semantic Segmentation*, ICCV 2019,
arXiv 1907.13426.

Positions are rebuilt from K bases, found for each image by T rounds of expectation-maximization:

    X = W1 F + b1                             frozen; no gradient passes
    z_nk = softmax_k(x_n^T mu_k)              E step: responsibility of basis k for position n
    mu_k = sum_n z_nk x_n / sum_n z_nk        M step, then mu_k / |mu_k|; both steps T times from the stored bases
    Y = ReLU(F + BN(W2 ReLU(sum_k z_nk mu_k)))
    stored <- (1 - m) stored + m mean(mu)     in training, once an iteration; the mean over the images of all processes

where F in R^{C x N} is the feature map; W1, W2 1x1 convolutions, W2 without bias; K = 64; T = 3; m = `momentum`.

Cost of `attention`: MACs 2 N C^2 + (2T + 1) N C K; memory N K. `fast` applies W1 to bases and sums, 2 T K columns,
instead of F's N.

Differences from the paper and from the authors' code: the defaults are mmsegmentation's, so that its checkpoints work. It joins
the result with the backbone's map (`concat_input`), normalises the mean of the bases (`normalize_mean`); the authors do neither.
Their momentum, EM_MOM = 0.9, is our 1 - m, and they average in the training script, outside the network.

B batch, C channels, K bases (and classes in the logits), H W feature map, N = H*W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from segattn.heads.parts.layers import (
    Classifier,
    ConvBnRelu,
    Implementation,
    check_option,
    full_precision,
    widen,
    writes_out,
)

LATEX = r"""
\begin{aligned}
X &= W_1 F + b_1 & z_{nk} &= \mathrm{softmax}_k(x_n^\top \mu_k) \\
\mu_k &= \frac{\sum_n z_{nk} x_n}{\sum_n z_{nk}},\; \mu_k \leftarrow \frac{\mu_k}{|\mu_k|}
& Y_n &= \mathrm{ReLU}\Bigl(F_n + \mathrm{BN}\bigl(W_2\, \mathrm{ReLU}(\textstyle\sum_k z_{nk} \mu_k)\bigr)\Bigr) \\
\mathrm{stored} &\leftarrow (1 - m)\, \mathrm{stored} + m\, \mathrm{mean}(\mu)
\end{aligned}
"""


class EMAU(nn.Module):
    """The EMA unit: ReLU(F + BN(W2 ReLU(mu z^T))), with bases that are a buffer and move in training."""

    map_kinds: ClassVar[dict[str, str]] = {"responsibilities": "bases"}
    bases: Tensor  # (1, C, K)
    previous: Tensor  # the bases before their last move

    def __init__(
        self,
        channels: int,
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
        self.register_buffer("bases", F.normalize(torch.randn(1, channels, num_bases), dim=1))
        self.register_buffer("previous", self.bases.clone(), persistent=False)

    def responsibilities(self, x: Tensor, stored: Tensor) -> tuple[Float[Tensor, "B N K"], Float[Tensor, "B C K"]]:
        """The last round's z, whose rows sum to 1, and its bases; in float32 also under autocast and without gradient."""
        with torch.no_grad(), full_precision(x):
            x, bases = widen(x), widen(stored).expand(x.shape[0], -1, -1)
            weight, bias = map(widen, self.embed.parameters())
            if not self.projects_bases(x):
                x = F.conv2d(x, weight, bias).flatten(2)  # (B, C, N)
                for _ in range(self.num_rounds):
                    z = self.normal((x.transpose(1, 2) @ bases).softmax(dim=2))  # (B, N, K)
                    bases = F.normalize(x @ F.normalize(z, p=1, dim=1), dim=1)  # (B, C, K)
                return z, bases
            x, weight = x.flatten(2), weight.flatten(1)  # X^T mu = F^T (W1^T mu) + b1^T mu; X z = W1 (F z) + b1 sum z
            for _ in range(self.num_rounds):
                logits = torch.baddbmm((bias @ bases).unsqueeze(1), x.transpose(1, 2), weight.T @ bases)
                z = self.normal(logits.softmax(dim=2))
                total = z.sum(dim=1, keepdim=True)  # (B, 1, K)
                bases = F.normalize((weight @ (x @ z) + bias[:, None] * total) / total.clamp_min(1e-12), dim=1)
            return z, bases

    def normal(self, z: Float[Tensor, "B N K"]) -> Float[Tensor, "B N K"]:
        """z with 0 for what is below the type's normal range: see `cut_off`, which goes too far for a basis that few want."""
        if self.implementation == "reference":
            return z
        return F.threshold(z, torch.finfo(z.dtype).tiny, 0.0, inplace=True)

    def projects_bases(self, x: Float[Tensor, "B C H W"]) -> bool:
        """Whether W1 is applied to bases and sums, 2 T K columns, instead of the N positions of the map."""
        few = x.shape[2] * x.shape[3] <= 2 * self.num_rounds * self.bases.shape[2]
        return not writes_out(self.implementation, pays=few)

    @torch.no_grad()
    def move(self, bases: Float[Tensor, "B C K"]) -> None:
        """Average the batch's bases into the stored ones, alike on every process. In place: data-parallel wrappers hold them."""
        mean = bases.mean(dim=0, keepdim=True)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(mean)
            mean = mean / distributed.get_world_size()
        mean = F.normalize(mean, dim=1) if self.normalize_mean else mean
        self.previous.copy_(self.bases)
        self.bases.copy_((1 - self.momentum) * self.bases + self.momentum * mean)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        # autograd at work: an activation checkpoint recomputes this forward, so start where it did and do not move again
        again = self.training and not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
        z, bases = self.responsibilities(x, self.previous if again else self.bases)
        if self.training and not again:
            self.move(bases)
        rebuilt = (bases.to(x.dtype) @ z.to(x.dtype).transpose(1, 2)).relu_().view_as(x)
        return (x + self.bn(self.project(rebuilt))).relu_()

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity` (B, H, W): the weights that rebuild `pixel`, sum 1; `base_1`..: z of the bases most responsible for it;
        `responsibilities` (B, 1, K): z of all bases for it, sum 1."""
        z = self.responsibilities(x, self.bases)[0].unflatten(1, x.shape[2:])  # (B, H, W, K)
        own = z[:, pixel[0], pixel[1]]  # (B, K)
        maps = {"affinity": torch.einsum("bhwk,bk->bhw", z, own / z.sum(dim=(1, 2)).clamp_min(1e-12))}
        for rank, basis in enumerate(own.topk(min(3, own.shape[1])).indices.T, start=1):
            maps[f"base_{rank}"] = z[torch.arange(len(z)), :, :, basis]
        return {**maps, "responsibilities": own.unsqueeze(1)}


def mechanism(
    channels: int, num_classes: int, *, momentum: float = 0.1, implementation: Implementation = "auto"
) -> nn.Module:
    """The mechanism for the controlled comparison."""
    return EMAU(channels, momentum=momentum, implementation=implementation)


class Head(nn.Module):
    """The EMA unit after a 3x3 convolution; a narrower 3x3 after it, another over `[X ; Y]`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    own_auxiliary = False
    family = "low-rank"
    growth = (1, 1)
    frozen = ("attention.embed",)

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        num_bases: int = 64,
        num_rounds: int = 3,
        momentum: float = 0.1,
        normalize_mean: bool = True,
        concat_input: bool = True,
        dropout: float = 0.1,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels[-1], channels)
        self.attention = EMAU(channels, num_bases, num_rounds, momentum, normalize_mean, implementation)
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
        return self.attention.maps(self.reduce(features[-1]), pixel)
