"""A controlled head with a detail branch: what does an earlier, finer map add to thin and small things?

The head `segattn.heads.parts.detail` is the controlled head of `around` with a correction of its logits at the stride of an
earlier stage, as in the decoder of DeepLabv3+ (Chen et al., ECCV 2018, arXiv 1802.02611), but that it refines logits:

    Y' = up(Y) + W CBR3([up(Y) ; CBR1(X_s)])

with Y the logits of the controlled head, X_s the map of stage s (1: stride 4 in a ResNet), up bilinear to its size without
aligned corners, CBR a convolution, batch norm and ReLU. W starts at 0, so that the network starts as the controlled head. In an
experiment it stands in mode `faithful`, since the convolutions around the mechanism are here already:

    segattn study findings_local --heads segattn.heads.parts.detail --model.mode faithful \\
        --allow-module segattn.heads.parts.detail
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.contract import declared
from segattn.heads.parts.controlled import ControlledHead
from segattn.heads.parts.counts import check_counts
from segattn.heads.parts.layers import ConvBnRelu


class Head(ControlledHead):
    """Logits (B, K, h, w) of the size of stage `stage`. `width`: channels of that map in the branch."""

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        around: str = "fcn",
        stage: int = 1,
        width: int = 32,
        channels: int = 512,
        dropout: float = 0.1,
    ) -> None:
        from segattn import heads  # this module is a head itself: found by name, not imported by the catalogue

        Around = heads.module(around).Head
        if declared(Around, "Mechanism") is None:
            raise ValueError(
                f"around={around!r} has no mechanism that stands in a controlled head; choose another head"
            )
        if not 1 <= stage < len(in_channels):
            raise ValueError(f"stage={stage} is not an earlier one; choose 1 to {len(in_channels) - 1}")
        check_counts(width=width)
        super().__init__(in_channels, num_classes, Around, {}, channels=channels, dropout=dropout)
        self.stage = stage
        self.early = ConvBnRelu(in_channels[stage - 1], width, 1)
        self.both = ConvBnRelu(num_classes + width, 2 * width)
        self.correction = nn.Conv2d(2 * width, num_classes, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits under "out"; in training also the mechanism's own outputs, at the size of the last map."""
        outputs, early = super().forward(features), self.early(features[self.stage - 1])
        logits = F.interpolate(outputs["out"], early.shape[2:], mode="bilinear", align_corners=False)
        return {**outputs, "out": logits + self.correction(self.both(logits, early))}
