"""Shapes of a backbone's maps for a size of images, without computing them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

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
