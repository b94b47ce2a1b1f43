"""Shapes of maps, told without computing them."""

import pytest
import torch
from torch import nn

from segattn import backbones
from segattn.backbones.shapes import map_shapes


@pytest.mark.parametrize("size", [(65, 97), (33, 34), (1, 1)])
@pytest.mark.parametrize(("stride", "bands"), [(8, 3), (16, 5)])
def test_shapes_are_those_of_the_maps(size, stride, bands):
    backbone = backbones.create("resnet18", output_stride=stride, in_channels=bands, width=8).eval()
    maps = backbone(torch.zeros(1, bands, *size))
    assert map_shapes(backbone, size, in_channels=bands) == [tuple(x.shape[1:]) for x in maps]


def test_the_backbone_stays_as_it_is():
    backbone = backbones.create("resnet18", width=8).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    map_shapes(backbone, (65, 97), in_channels=3)
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(isinstance(value, nn.Parameter) and value.is_leaf for value in backbone.parameters())
