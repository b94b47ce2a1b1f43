"""Fu, Liu, Tian, Li, Bao, Fang, Lu: *Dual Attention Network for Scene Segmentation*, CVPR 2019, arXiv 1809.02983.

Two attentions side by side on two reduced maps P and Q of the backbone's, over positions (PAM) and over channels (CAM):

    PAM:  p'_i = p_i + gamma sum_j softmax_j(q_i^T k_j) v_j            CAM:  c'_a = c_a + beta sum_b softmax_b(-c_a^T c_b) c_b

where p_i in R^C is P at position i = 1..N; q, k, v (paper: B, C, D): 1x1 convolutions of P to D, D and C channels, D = C/8; c_a
in R^N is channel a = 1..C of Q; gamma, beta: scalars that start at 0, so that both start as the identity. No logit is scaled.
Each result passes a 3x3 convolution, their sum is classified; in training each is also classified alone.

Cost: MACs of PAM N C (2 D + C) + N^2 (D + C), of CAM 2 N C^2; memory N^2 + C^2. `fast` never stores N^2, in training neither
(`attend`), and gives CAM's weights below 1e-20 as 0: they do not change any sum, but slow a CPU down.

Differences from the paper and from the authors' code: the paper's CAM is softmax(E), E = c_a^T c_b; the authors' and every public
code has softmax(max_b E_ab - E_ab) = softmax(-E): unlike channels weigh most. They report that the other sign trains worse,
so it is an option only (`cam_sign="positive"`). Three cross-entropies of weight 1. Controlled form: PAM(F) + CAM(F) - F on
one shared map, so that the skip counts once and the block starts as the identity.

B batch, C channels, D = C/8 projected, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segattn.heads.parts.attention import Implementation, affinity, attend, check_option
from segattn.heads.parts.layers import Classifier, ConvBnRelu, feature_map, positions

LATEX = r"""
\text{PAM: } p'_i = p_i + \gamma \sum_j \mathrm{softmax}_j(q_i^\top k_j)\, v_j \qquad
\text{CAM: } c'_a = c_a + \beta \sum_b \mathrm{softmax}_b(-c_a^\top c_b)\, c_b
"""

CamSign = Literal["negative", "positive"]


class PositionAttention(nn.Module):
    """PAM: x + gamma softmax(q k^T) v over positions; `auto` and `fast` as in `attend`."""

    def __init__(self, channels: int, *, implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.implementation = implementation
        self.query = nn.Conv2d(channels, max(channels // 8, 1), 1)
        self.key = nn.Conv2d(channels, max(channels // 8, 1), 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def weights(self, query: Float[Tensor, "B Q D"], key: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q N"]:
        """The affinity of each query with every position; rows sum to 1."""
        return affinity(query, key)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        query, key, value = positions(self.query(x)), positions(self.key(x)), positions(self.value(x))
        if self.implementation == "reference":
            y = self.weights(query, key).to(value.dtype) @ value
        else:
            y = attend(query, key, value, implementation=self.implementation)
        return _add(x, self.gamma, feature_map(y, x.shape[-2:]))  # type: ignore[arg-type]

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> Float[Tensor, "B H W"]:
        """The row of the affinity map that belongs to `pixel` = (row, column)."""
        query = positions(self.query(x[:, :, pixel[0], pixel[1], None, None]))  # (B, 1, D)
        return self.weights(query, positions(self.key(x))).unflatten(2, x.shape[-2:]).squeeze(1)


class ChannelAttention(nn.Module):
    """CAM: x + beta softmax(-x x^T) x over channels; `auto` always is `fast`."""

    def __init__(self, *, cam_sign: CamSign = "negative", implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("cam_sign", cam_sign, CamSign)
        check_option("implementation", implementation, Implementation)
        self.implementation = implementation
        self.sign = -1.0 if cam_sign == "negative" else 1.0
        self.beta = nn.Parameter(torch.zeros(()))

    def weights(self, rows: Float[Tensor, "B Q N"], channels: Float[Tensor, "B C N"]) -> Float[Tensor, "B Q C"]:
        """The affinity of each row with every channel; rows sum to 1. Sums over positions are huge: float32 under autocast."""
        return affinity(rows, channels, self.sign, cut=self.implementation != "reference")

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        channels = x.flatten(2)  # (B, C, N)
        y = self.weights(channels, channels).to(x.dtype) @ channels
        return _add(x, self.beta, y.unflatten(2, x.shape[-2:]))

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """What the strongest channel at `pixel` gathers (B, H, W), and how much each channel takes from each (B, C, C)."""
        channels, strongest = x.flatten(2), x[:, :, pixel[0], pixel[1]].argmax(dim=1)  # (B, C, N), (B,)
        row = channels[torch.arange(len(x), device=x.device), strongest].unsqueeze(1)  # (B, 1, N)
        gathered = (self.weights(row, channels).to(x.dtype) @ channels).unflatten(2, x.shape[-2:]).squeeze(1)
        return {"channel": gathered, "channel_affinity": self.weights(channels, channels)}


# The same, faster


def _add(x: Tensor, factor: Tensor, y: Tensor) -> Tensor:
    """x + factor y, by one pass over the map instead of two."""
    return torch.addcmul(x, factor.to(x.dtype), y)


# The head


class DualAttention(nn.Module):
    """PAM of one map and CAM of another; of one shared map their sum, the skip counted once: PAM(x) + CAM(x) - x."""

    map_kinds: ClassVar[dict[str, str]] = {"channel_affinity": "channels"}

    def __init__(
        self, channels: int, *, cam_sign: CamSign = "negative", implementation: Implementation = "auto"
    ) -> None:
        super().__init__()
        self.position = PositionAttention(channels, implementation=implementation)
        self.channel = ChannelAttention(cam_sign=cam_sign, implementation=implementation)
        self.register_load_state_dict_pre_hook(_rename_old_keys)

    def forward(
        self, p: Float[Tensor, "B C H W"], q: Float[Tensor, "B C H W"] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Both results, each (B, C, H, W); with `p` alone the sum of what both add to it."""
        position, channel = self.position(p), self.channel(p if q is None else q)
        return position + channel - p if q is None else (position, channel)

    def maps(self, p: Tensor, pixel: tuple[int, int], q: Tensor | None = None) -> dict[str, Tensor]:
        """`position` (B, H, W): what `pixel` takes from every position; the maps of `ChannelAttention` beside it."""
        return {"position": self.position.maps(p, pixel), **self.channel.maps(p if q is None else q, pixel)}


def _rename_old_keys(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Read controlled networks of version 0.1.0, where both attentions lay one module deeper, in `dual`."""
    for name in [name for name in state if name.startswith(f"{prefix}dual.")]:
        state[prefix + name.removeprefix(f"{prefix}dual.")] = state.pop(name)


class Head(nn.Module):
    """DANet: two branches, each convolved, summed and classified."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0, "position": 1.0, "channel": 1.0}
    Mechanism = DualAttention
    family = "pairwise"
    growth = (2, 2)
    gates = ("position.gamma", "channel.beta")
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = DualAttention,
    ) -> None:
        super().__init__()
        self.position_in = ConvBnRelu(in_channels[-1], channels)
        self.channel_in = ConvBnRelu(in_channels[-1], channels)
        self.attention = mechanism(channels)
        self.position_out = ConvBnRelu(channels, channels)
        self.channel_out = ConvBnRelu(channels, channels)
        self.classify = Classifier(channels, num_classes, dropout=dropout)
        self.classify_position = Classifier(channels, num_classes, dropout=dropout)
        self.classify_channel = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W): "out"; in training also "position" and "channel", those of each branch alone."""
        position, channel = self.attention(self.position_in(features[-1]), self.channel_in(features[-1]))
        position, channel = self.position_out(position), self.channel_out(channel)
        outputs = {"out": self.classify(position + channel)}
        if self.training:
            outputs |= {"position": self.classify_position(position), "channel": self.classify_channel(channel)}
        return outputs

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`position`, `channel` (B, H, W) and `channel_affinity` (B, C, C) for `pixel` = (row, column): `DualAttention.maps`."""
        p, q = self.position_in(features[-1]), self.channel_in(features[-1])
        return self.attention.maps(p, pixel, q)  # type: ignore[operator]
