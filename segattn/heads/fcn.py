"""Long, Shelhamer, Darrell: *Fully Convolutional Networks for Semantic Segmentation*, CVPR 2015, arXiv 1411.4038.

No attention: the surroundings of the attention heads with nothing between them, the baseline row of every table.

    Y = CBR3([X ; CBR3(CBR3(X))])

where CBR3 is a 3x3 convolution, batch norm and ReLU, and X the backbone's last map.

Cost: the mechanism costs nothing (0 MACs, no parameters); the head 9 N (2 X C + 2 C^2) + N C K MACs.

Differences from the paper: FCN-8s adds scores of earlier stages; on a dilated backbone this form (mmsegmentation's FCNHead) is
the customary baseline of the nine attention papers.

B batch, X backbone channels, C channels, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from segattn.heads.parts.layers import Sandwich

LATEX = r"Y = \mathrm{CBR}_3\bigl([X ; \mathrm{CBR}_3(\mathrm{CBR}_3(X))]\bigr)"


class NoAttention(nn.Identity):
    """Nothing between the convolutions: the controlled comparison's baseline."""

    def __init__(self, channels: int) -> None:
        super().__init__()


# The head


class Head(nn.Module):
    """The FCN baseline: `Sandwich` with nothing in it."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = NoAttention
    family = "baseline"
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = NoAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """{}: nothing attends."""
        return {}
