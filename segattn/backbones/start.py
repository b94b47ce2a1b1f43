"""What a new network starts from: the pretrained weights that its settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from segattn.backbones import pretrained


def load(
    network: Any,
    backbone: nn.Module,
    head: nn.Module,
    build: Callable[[int], nn.Module],
    num_classes: int,
    class_names: Sequence[str] | None,
    seed: int,
) -> str:
    """Load what `network`, a `config.Model`, says it starts from; returns that in words.

    Raises:
        ValueError: as `pretrained.read`, or these weights are of another network.
    """
    weights = pretrained.read(network.pretrained, head=network.head, mode=network.mode, seed=seed)
    weights.check_backbone(network.backbone, network.output_stride, network.backbone_options)
    weights.check_input(network.mean, network.std, network.channel_order, network.in_channels)
    started_from = f"backbone from {weights.where}{weights.load_backbone(backbone, network.first_layer)}; "
    if network.init_head == "random":
        return started_from + "head at random"
    return started_from + weights.load_head(head, build, num_classes, class_names)
