"""Backbones: each is an `nn.Module` that maps images (B, 3, H, W) to a list of four feature maps, with their `channels`.

`resnet18`, `resnet34`, `resnet50`, `resnet101` are built in; `timm:NAME` is a network of the `timm` extra: see docs/backbones.md.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from segattn.backbones import resnet
from segattn.catalogue import check_options, keyword_only, unknown


def names() -> list[str]:
    """Names of the built-in backbones."""
    return list(resnet.DEPTHS)


def create(name: str, *, output_stride: int = 8, **options: Any) -> nn.Module:
    """Build a backbone with random weights.

    Raises:
        ValueError: unknown name, output stride or option; the message names the nearest valid ones.
    """
    if name.startswith("timm:"):
        from segattn.backbones import timm

        return timm.create(name.removeprefix("timm:"), output_stride=output_stride, **options)
    if name not in names():
        raise unknown("backbone", name, names(), also=", and timm:NAME with the timm extra")
    check_options(f"backbone {name!r}", options, keyword_only(resnet.ResNet))
    return resnet.ResNet(name, output_stride=output_stride, **options)
