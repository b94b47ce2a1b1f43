"""Wang, Girshick, Gupta, He: *Non-local Neural Networks*, CVPR 2018, arXiv 1711.07971.

Every position is refined by a weighted sum over all positions:

    y_i = sum_j softmax_j(theta(x_i)^T phi(x_j) / sqrt(D)) g(x_j)        z_i = x_i + BN(W y_i)

where x_i in R^C is the feature at position i = 1..N of the map, N = H*W; theta, phi, g: 1x1 convolutions to D = C/2 channels
(our query, key, value); W: 1x1 convolution back to C. Further forms of the affinity f (`pairwise`), paper sec. 3.2:
`gaussian` softmax_j(x_i^T x_j), `dot_product` theta_i^T phi_j / N, `concatenation` ReLU(w^T [theta_i ; phi_j]) / N.

Cost: MACs 4 N C D + 2 N^2 D; memory N^2 for the affinity map, N D in `fast`.

Differences from the paper and from the authors' code: the paper inserts blocks inside a video ResNet; as a segmentation head it
stands between 3x3 convolutions on stage 4, as in DANet's, CCNet's and mmsegmentation's baselines. 1/sqrt(D) is not in the
paper's text but in the authors' code. Their 2x2 max-pooling of keys and values is left out, as in every segmentation head.
BN's scale starts at 0, which makes the block the identity.

B batch, C channels, D = C/2 projected, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, attend, check_option
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import Sandwich, feature_map, positions, start_small

LATEX = r"""
y_i = \sum_j \mathrm{softmax}_j\Bigl(\frac{\theta(x_i)^\top \phi(x_j)}{\sqrt D}\Bigr)\, g(x_j) \qquad
z_i = x_i + \mathrm{BN}(W y_i)
"""

Pairwise = Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"]


class NonLocal(nn.Module):
    """The non-local block: x + BN(W softmax(theta phi^T / sqrt(D)) g).

    `auto` and `fast` are those of `attend` in the two Gaussian forms; they coincide in `dot_product`, and `concatenation` has the
    written-out form only.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        pairwise: Pairwise = "embedded_gaussian",
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("pairwise", pairwise, Pairwise)
        check_option("implementation", implementation, Implementation)
        self.pairwise, self.implementation = pairwise, implementation
        check_counts(reduction=reduction)
        projected = max(channels // reduction, 1)
        embedded = pairwise != "gaussian"
        self.query = nn.Conv2d(channels, projected, 1) if embedded else nn.Identity()
        self.key = nn.Conv2d(channels, projected, 1) if embedded else nn.Identity()
        self.value = nn.Conv2d(channels, projected, 1)
        self.pair = nn.Linear(2 * projected, 1, bias=False) if pairwise == "concatenation" else None
        self.project = nn.Conv2d(projected, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        start_small(self)

    @property
    def scale(self) -> float:
        """Factor of the logits: 1/sqrt(D) for the embedded Gaussian, 1 otherwise."""
        return self.value.out_channels**-0.5 if self.pairwise == "embedded_gaussian" else 1.0

    def weights(self, query: Float[Tensor, "B Q D"], key: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """The affinity of each query with every position; rows sum to 1 in the two Gaussian forms."""
        if self.pairwise == "dot_product":
            return query @ key.transpose(1, 2) / key.shape[1]
        if self.pair is not None:  # w^T [q ; k] = w_q^T q + w_k^T k
            from_query, from_key = self.pair.weight[0].chunk(2)  # (D,), (D,)
            sums = (query @ from_query).unsqueeze(2) + (key @ from_key).unsqueeze(1)  # (B, Q, N)
            return sums.relu() / key.shape[1]
        return affinity(query, key, self.scale)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        query, key, value = positions(self.query(x)), positions(self.key(x)), positions(self.value(x))  # (B, N, D)
        if self.implementation == "reference":
            y = self.weights(query, key).to(value.dtype) @ value
        else:
            y = _weighted(self, query, key, value)
        return x + self.bn(self.project(feature_map(y, x.shape[-2:])))  # type: ignore[arg-type]

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """The row of the affinity map that belongs to `pixel` = (row, column)."""
        query = positions(self.query(x)[:, :, pixel[0], pixel[1], None, None])  # (B, 1, D)
        weights = self.weights(query, positions(self.key(x)))  # (B, 1, N)
        return {"affinity": weights.unflatten(2, x.shape[-2:]).squeeze(1)}


# The same, faster


def _weighted(
    block: NonLocal, query: Float[Tensor, "B N D"], key: Float[Tensor, "B N D"], value: Float[Tensor, "B N D"]
) -> Float[Tensor, "B N D"]:
    """`weights @ value` in another order: the softmax by `attend`, (q k^T) v as q (k^T v), N D^2 products instead of N^2 D."""
    if block.pairwise in ("embedded_gaussian", "gaussian"):
        return attend(query, key, value, scale=block.scale, implementation=block.implementation)
    if block.pairwise == "dot_product":
        return query @ (key.transpose(1, 2) @ value / key.shape[1])
    return block.weights(query, key).to(value.dtype) @ value


# The head


class Head(nn.Module):
    """Non-Local between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = NonLocal
    family = "pairwise"
    growth = (2, 2)
    gates = ("bn.weight",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = NonLocal,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`affinity` (B, H, W): how much `pixel` = (row, column) takes from every position."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
