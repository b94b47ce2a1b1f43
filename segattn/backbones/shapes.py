"""Shapes of a backbone's maps for a size of images, without computing them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def map_shapes(backbone: nn.Module, size: Sequence[int], *, in_channels: int) -> list[tuple[int, int, int]]:
    """Channels, height and width of each map of one image of `size` (height, width).

    A copy runs once on the meta device, in eval mode; the backbone itself is left as it is.

    >>> from segattn import backbones
    >>> map_shapes(backbones.create("resnet18"), (65, 97), in_channels=3)
    [(64, 17, 25), (128, 9, 13), (256, 9, 13), (512, 9, 13)]
    """
    image = torch.empty(1, in_channels, *size, device="meta")
    with torch.no_grad():
        maps = copy.deepcopy(backbone).to("meta").eval()(image)
    return [(x.shape[1], x.shape[2], x.shape[3]) for x in maps]


def height_and_width(option: str, value: Any) -> tuple[int, int]:
    """Height and width, of one number or two; ValueError names the option of any other value.

    >>> height_and_width("img_size", 224)
    (224, 224)
    """
    sides = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f"{option}={value!r} should be height and width in pixels, such as [512, 1024]")
    return sides
