"""Backbones: a `nn.Module` with `channels` (of its four maps) that maps images (B, 3, H, W) to a list of four feature maps.

`resnet18`, `resnet34`, `resnet50`, `resnet101` are ours; `timm:NAME` is any pyramid of the `timm` extra.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from segattn.backbones import resnet
from segattn.catalogue import hint


def names() -> list[str]:
    """Names of our own backbones."""
    return list(resnet.DEPTHS)


def create(name: str, *, output_stride: int = 8, **options: Any) -> nn.Module:
    """Build a backbone with random weights.

    Raises:
        ValueError: unknown name, output stride or option; the message names the nearest valid ones.
    """
    if name.startswith("timm:"):
        from segattn.backbones import timm

        _check_options(name, timm.TimmPyramid, options)
        return timm.TimmPyramid(name.removeprefix("timm:"), output_stride=output_stride, **options)
    if name not in names():
        raise ValueError(
            f"unknown backbone {name!r}; {hint(name, names())}Known: {', '.join(names())}, and timm:NAME with the timm extra"
        )
    _check_options(name, resnet.ResNet, options)
    return resnet.ResNet(name, output_stride=output_stride, **options)


def _check_options(name: str, builder: type[nn.Module], options: dict[str, Any]) -> None:
    """Turn an unknown keyword into an error that names the valid ones."""
    allowed = [p.name for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in allowed:
            close = hint(option, allowed, most=1)
            raise ValueError(f"backbone {name!r} has no option {option!r}; {close}Its options: {', '.join(allowed)}")
