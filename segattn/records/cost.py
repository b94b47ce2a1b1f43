"""What a network costs for one image, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PartCost:
    """Cost of one part (mechanism, head or network) for one image."""

    parameters: int
    macs: int
    """Multiply-adds of products and convolutions, bias not counted."""
    flops: int
    """2 per multiply-add."""
    study: int
    """The study's convention: 2HW(C_in K^2 + 1)C_out for a convolution, 2mkn for a product."""
    other: int
    """Element operations of norm, softmax, resize, pooling and activation; in none of the figures above."""
    activation_bytes: int
    """Bytes of every tensor that the part's operators write, fp32."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one network at one input size, three ways."""

    head: str
    mode: str
    backbone: str
    output_stride: int
    num_classes: int
    input_size: tuple[int, int]
    """Height and width of the image in pixels."""
    mechanism: PartCost
    head_total: PartCost
    network: PartCost

    @property
    def setting(self) -> tuple[str, int, int, tuple[int, int]]:
        """What the head was counted in: backbone, output stride, number of classes, input size."""
        height, width = self.input_size
        return self.backbone, self.output_stride, self.num_classes, (height, width)
