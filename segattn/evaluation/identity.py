"""Whether a mechanism returns its input, as one does whose gates are still 0: the network is then the same without it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segattn.evaluation.without_attention import _hooked, has_mechanism
from segattn.model import SegmentationModel, map_shapes


def is_identity(model: SegmentationModel, image_size: Sequence[int]) -> bool | None:
    """Whether the mechanism returns its input, tried on random maps of an image of (height, width); None without a mechanism.

    The head runs once, in eval mode. Neither the network nor the random state of the CPU is changed.

    Raises:
        ValueError: the head does not call its mechanism as a module, or that returns no maps.
    """
    if not has_mechanism(model):
        return None
    equal: list[bool] = []

    def compare(inputs: list[Tensor], maps: list[Tensor]) -> None:
        pairs = zip(inputs, maps, strict=False)  # several maps: each against the input in its place
        close = [x.shape == y.shape and torch.allclose(x.to(y.dtype), y) for x, y in pairs]
        equal.append(len(inputs) >= len(maps) and all(close))

    device = next(model.head.parameters()).device
    generator = torch.Generator().manual_seed(0)
    shapes = map_shapes(model.backbone, image_size, in_channels=model.in_channels)
    features = [torch.randn(1, *shape, generator=generator).relu().to(device) for shape in shapes]
    modes = {module: module.training for module in model.head.modules()}
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _hooked(model, compare):
            model.head.eval()(features)
    finally:
        for module, training in modes.items():
            module.training = training
    return all(equal)
