"""The controlled comparison: any mechanism between the same convolutions, so that only the mechanism differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from segattn.heads.parts.contract import build_mechanism, declared
from segattn.heads.parts.layers import Sandwich


class ControlledHead(nn.Module):
    """`Sandwich` around the mechanism that a head declares, with the head's other declarations.

    The mechanism maps (B, C, H, W) to (B, C, H, W). A mechanism with training outputs of its own (Denoised NL's class logits)
    has `loss_weights` and returns a dict with its map under "context".
    """

    own_auxiliary = False

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        Head: type[nn.Module],
        options: Mapping[str, Any],
        *,
        channels: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = build_mechanism(declared(Head, "Mechanism"), channels, num_classes, **options)
        self.defined_in = Head.__module__
        self.loss_weights: dict[str, float] = {"out": 1.0, **getattr(self.attention, "loss_weights", {})}
        for name in ("family", "frozen", "no_weight_decay", "gates", "without_attention", "map_kinds", "main_map"):
            setattr(self, name, getattr(self.attention, name, declared(Head, name)))

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) under "out"; in training also the mechanism's own outputs."""
        x = features[-1]
        context = self.attention(self.sandwich.before(x))
        outputs = dict(context) if isinstance(context, dict) else {"context": context}
        logits = self.sandwich.after(x, outputs.pop("context"))
        return {"out": logits, **(outputs if self.training else {})}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """The mechanism's maps (B, H, W) for `pixel` = (row, column) of the feature map; {} if it has none."""
        if not hasattr(self.attention, "maps"):
            return {}
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
