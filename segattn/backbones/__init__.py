"""Backbones: each is an `nn.Module` that maps images (B, C, H, W) to a list of four feature maps, with their `channels`.

`resnet18`, `resnet34`, `resnet50`, `resnet101` and `patches` are built in; `timm:NAME` is a network of the `timm` extra: see
docs/backbones.md.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from segattn.backbones import patches, resnet
from segattn.catalogue import check_options, keyword_only, unknown


def names() -> list[str]:
    """Names of the built-in backbones."""
    return [*resnet.DEPTHS, "patches"]


def create(name: str, /, *, output_stride: int = 8, in_channels: int = 3, **options: Any) -> nn.Module:
    """Build a backbone with random weights, for images of `in_channels` bands.

    Raises:
        ValueError: no bands, unknown name, output stride or option; the message names the nearest valid ones.
    """
    if in_channels < 1:
        raise ValueError(f"in_channels is {in_channels}; images have at least 1 band: give 3 for RGB, 1 for grey")
    settings: dict[str, Any] = {"output_stride": output_stride, "in_channels": in_channels}
    if name.startswith("timm:"):
        from segattn.backbones import timm

        return timm.create(name.removeprefix("timm:"), **settings, **options)
    if name not in names():
        raise unknown("backbone", name, names(), also=", and timm:NAME with the timm extra")
    check_options(f"backbone {name!r}", options, keyword_only(patches.Patches if name == "patches" else resnet.ResNet))
    return patches.Patches(**settings, **options) if name == "patches" else resnet.ResNet(name, **settings, **options)
