"""How far a network sees: the pixels of an image that a pixel of its logits depends on, proved by a gradient.

All weights are made positive and pooling takes means, so that no path through the network cancels another or is hidden by a
maximum or a ReLU: a pixel has a gradient exactly where the network's wiring leads from it to the logits.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from segattn import config
from segattn.model import SegmentationModel, build_model

WITHOUT_MECHANISM = "fcn"
_LARGEST = 1024


def sees(network: config.Model, *, period: int = 8) -> int:
    """Pixels from a pixel of the logits to the farthest pixel that it depends on, in rows or columns, without a mechanism.

    That of a network with the same backbone and the same convolutions; each of `period` pixels along the diagonal is measured,
    because they lie differently on the feature map's grid.

    Raises:
        ValueError: it sees more than images of 1024 pixels show.
    """
    own = {name: value for name, value in network.head_options.items() if name in ("channels", "dropout")}
    blind = dataclasses.replace(network, head=WITHOUT_MECHANISM, head_options=own, pretrained=None)
    model = _open(build_model(blind, 2)).double().eval()
    side = 128
    while side <= _LARGEST:
        farthest = max(_farthest(model, side, side // 2 + offset) for offset in range(period))
        if farthest < side // 2 - period:  # the edge cut nothing off
            return farthest
        side *= 2
    raise ValueError(
        f"a network with the backbone {network.backbone} sees more than {_LARGEST // 2} pixels; choose one with a smaller field, "
        "such as patches"
    )


def _open(model: SegmentationModel) -> SegmentationModel:
    """The model with positive weights and means in place of maxima."""
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1 / max(parameter[0].numel(), 1) if parameter.dim() > 1 else 1.0)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return model


def _farthest(model: SegmentationModel, side: int, at: int) -> int:
    images = torch.ones(1, model.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    logits: Tensor = model(images)
    logits[0, 0, at, at].backward()
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0).nonzero()
    return int((seen - at).abs().max())
