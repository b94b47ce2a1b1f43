"""A small transformer encoder whose token mixer is chosen: attention, pooling, nothing, or the mechanism of a head.

The head `segattn.heads.parts.encoder` over the backbone `patches`, which mixes nothing between its squares, is a whole
transformer. What differs between two of them is the mixer alone, as in MetaFormer (Yu et al., CVPR 2022, arXiv 2111.11418):

    x = x + mixer(norm(x))
    x = x + mlp(norm(x))

with layer norm over channels, an MLP of four times the channels with GELU, and fixed sine and cosine positions (Vaswani et al.,
NIPS 2017) added once, half of the channels for the row and half for the column. The mixers:

    attention   softmax attention with several heads, the transformer's own
    pooling     the mean of 3x3 neighbours minus the position itself, as in PoolFormer
    none        zero: an MLP of each position
    NAME        what the mechanism of the head NAME adds to its skip, which is its input, the input after ReLU, or nothing. Gates
                that start at 0 in the head start at 1 here, where nothing but the mixer tells a position about others

A mechanism with training outputs of its own (Denoised NL, OCR) is no mixer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Head(nn.Module):
    """Logits from the last map by `depth` blocks of `channels`; `mixer_options` are those of the mechanism."""

    loss_weights: Mapping[str, float] = {"out": 1.0}
    family = "other"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        mixer: str = "attention",
        mixer_options: Mapping[str, Any] | None = None,
        depth: int = 4,
        channels: int = 96,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1 or channels < 4 or channels % 4:
            raise ValueError(
                f"depth={depth}, channels={channels}: depth is at least 1, and channels are a multiple of 4"
            )
        self.embed = nn.Conv2d(in_channels[-1], channels, 1)
        self.blocks = nn.Sequential(
            *(Block(channels, create_mixer(mixer, channels, num_classes, mixer_options or {})) for _ in range(depth))
        )
        self.frozen = tuple(
            f"blocks.{number}.mixer.mechanism.{name}"
            for number, block in enumerate(self.blocks)
            for name in getattr(block.mixer, "frozen", ())
        )
        self.norm = _LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Sequence[Float[Tensor, "B C H W"]]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) under "out"."""
        x = self.embed(features[-1])
        x = self.blocks(x + positions(x))
        return {"out": self.classifier(self.dropout(self.norm(x)))}


class Block(nn.Module):
    """One layer of the encoder."""

    def __init__(self, channels: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.Identity() if isinstance(mixer, Nothing) else _LayerNorm(channels)
        self.mixer, self.norm2 = mixer, _LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.GELU(), nn.Conv2d(4 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v with heads of d channels."""

    def __init__(self, channels: int, *, heads: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"heads={heads} does not divide channels={channels}; choose a divisor")
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        qkv = self.qkv(x).unflatten(1, (3, self.heads, -1)).flatten(4).transpose(3, 4)  # (B, 3, heads, N, d)
        q, k, v = (part.contiguous() for part in qkv.unbind(1))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.project(mixed.transpose(2, 3).reshape_as(x))


class Pooling(nn.Module):
    """The mean of 3x3 neighbours, those outside the map left out, minus the position itself."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x


class Nothing(nn.Module):
    """Zero."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return torch.zeros_like(x)


SKIPS: dict[str, Callable[[Tensor], Tensor]] = {"input": lambda x: x, "relu": F.relu, "none": torch.zeros_like}


class Added(nn.Module):
    """What a mechanism adds to its skip, one of `SKIPS`; `frozen` are its parameters without gradient."""

    def __init__(self, mechanism: nn.Module, skip: str, frozen: Sequence[str] = ()) -> None:
        super().__init__()
        self.mechanism, self.skip, self.frozen = mechanism, skip, tuple(frozen)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        mixed: Tensor = self.mechanism(x)
        return mixed if self.skip == "none" else mixed - SKIPS[self.skip](x)


def skip_of(build: Callable[[], nn.Module], channels: int) -> str:
    """Which of `SKIPS` a mechanism of maps (B, channels, H, W) has: the one nearest to its output when all its weights are tiny.

    Global random numbers stay as they are.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        torch.manual_seed(0)
        mechanism, x = build().eval(), torch.randn(1, channels, 8, 8)
        for parameter in mechanism.parameters():
            parameter.mul_(1e-6)
        y = mechanism(x)
        return min(SKIPS, key=lambda name: float((y - SKIPS[name](x)).abs().mean()))


OWN: dict[str, Callable[..., nn.Module]] = {
    "attention": Attention,
    "pooling": lambda channels: Pooling(),
    "none": lambda channels: Nothing(),
}


def create_mixer(name: str, channels: int, num_classes: int, options: Mapping[str, Any]) -> nn.Module:
    """A mixer of maps (B, channels, H, W).

    Raises:
        ValueError: unknown name or option; a head without a mechanism, or whose mechanism has training outputs of its own.
    """
    from segattn import heads  # this module is a head itself: found by name, not imported by the catalogue
    from segattn.heads.parts.contract import build_mechanism, declared

    if name in OWN:
        try:
            return OWN[name](channels, **options)
        except TypeError:
            raise ValueError(f"mixer {name} has no option {', '.join(options)}") from None
    Head = heads.module(name).Head
    Mechanism = declared(Head, "Mechanism")
    if Mechanism is None:
        raise ValueError(f"mixer {name}: the head has no mechanism; choose {', '.join(OWN)} or a head that has one")
    mechanism = build_mechanism(Mechanism, channels, num_classes, **options)
    if getattr(mechanism, "loss_weights", {}):
        raise ValueError(f"mixer {name}: its mechanism has training outputs of its own; choose another head")
    with torch.no_grad():
        for gate in declared(Head, "gates"):
            try:
                value = mechanism.get_parameter(gate)
            except AttributeError:  # this gate does not exist with the chosen options
                continue
            value.fill_(1)
    frozen = [name.removeprefix("attention.") for name in declared(Head, "frozen")]
    skip = skip_of(lambda: build_mechanism(Mechanism, channels, num_classes, **options), channels)
    return Added(mechanism, skip, frozen)


def positions(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "C H W"]:
    """Sines and cosines of the row in the first half of the channels, of the column in the second."""
    C, H, W = x.shape[1:]
    frequencies = 10_000 ** (-torch.arange(C // 4, device=x.device) / (C // 4))
    row, column = (torch.arange(size, device=x.device)[:, None] * frequencies for size in (H, W))
    row, column = (torch.cat((angle.sin(), angle.cos()), 1) for angle in (row, column))  # (H, C / 2), (W, C / 2)
    of_row, of_column = row.T[:, :, None].expand(-1, H, W), column.T[:, None].expand(-1, H, W)
    return torch.cat((of_row, of_column)).to(x.dtype)


class _LayerNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
