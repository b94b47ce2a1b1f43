"""The layers of backbones: ours by their blocks, timm's as timm numbers them."""

import pytest
import torch
from torch import nn

from segattn import backbones
from segattn.training.layers import exempt, factors, layers


class Backbone(nn.Module):
    """A backbone as segattn wraps a timm network, with a new layer of its own."""

    def __init__(self, network):
        super().__init__()
        self.network, self.pyramid = network, nn.Conv2d(3, 3, 1)


def small(name, **options):
    """A timm network without memory for its weights, as a pyramid (`features_only`) if its family has one of another class."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        return timm.create_model(name, **options)


def test_layers_of_a_resnet_are_stem_and_blocks():
    layer = layers(backbones.create("resnet18", stem="plain", width=8))
    assert {name.partition(".")[0] for name, number in layer.items() if number == 0} == {"conv1", "bn1"}
    assert [layer[f"layer{stage}.{block}.conv1.weight"] for stage in (1, 2, 3, 4) for block in (0, 1)] == [*range(1, 9)]
    assert layer["layer3.0.downsample.0.weight"] == layer["layer3.0.bn2.bias"] == 5


def test_a_deep_stem_is_one_layer():
    layer = layers(backbones.create("resnet50", stem="deep", width=8))
    assert {number for name, number in layer.items() if name.startswith("stem")} == {0}
    assert max(layer.values()) == 16  # 3 + 4 + 6 + 3 blocks


def test_factors_fall_from_the_head_to_the_image():
    by_name = factors(backbones.create("resnet18", width=8), 0.5)
    assert by_name["layer4.1.conv2.weight"] == 0.5  # the head has 1
    assert by_name["layer4.0.conv2.weight"] == 0.25
    assert by_name["stem.0.weight"] == 0.5**9


def test_decay_of_one_needs_no_layers():
    assert factors(nn.Linear(2, 3), 1.0) == {}


def test_backbone_without_known_layers_is_refused():
    with pytest.raises(
        ValueError, match=r"layer_decay needs a backbone with layers, and Linear has none.*set layer_decay to 1"
    ):
        factors(nn.Linear(2, 3), 0.9)


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "beit_base_patch16_224",
        "swin_tiny_patch4_window7_224",
        "convnext_atto",
        "tf_efficientnet_lite0",
    ],
)
def test_factors_are_those_that_timm_computes_for_the_classifier(name):
    timm_optim = pytest.importorskip("timm.optim")
    plain = small(name)
    expected = {
        id(parameter): group["lr_scale"]
        for group in timm_optim.param_groups_layer_decay(plain, layer_decay=0.8)
        for parameter in group["params"]
    }
    by_name = {name: expected[id(parameter)] for name, parameter in plain.named_parameters()}
    pyramid = Backbone(small(name, features_only=True))
    decayed = factors(pyramid, 0.8)
    assert not any(name.startswith("pyramid") for name in decayed)
    compared = 0
    for path, factor in decayed.items():
        inside = path.removeprefix("network.").removeprefix("model.")
        own = inside if inside in by_name else inside.replace("_", ".", 1)  # layers_0 of a pyramid
        assert factor == pytest.approx(by_name[own], rel=1e-12), path
        compared += 1
    assert compared == sum(1 for path, _ in pyramid.named_parameters() if path.startswith("network"))


def test_depth_of_a_shortened_transformer_counts():
    layer = layers(Backbone(small("vit_tiny_patch16_224", depth=3, num_classes=0)))
    assert layer["network.patch_embed.proj.weight"] == layer["network.pos_embed"] == 0
    assert [layer[f"network.blocks.{block}.mlp.fc1.weight"] for block in range(3)] == [1, 2, 3]
    assert layer["network.norm.weight"] == 3


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("vit_tiny_patch16_224", {"network.model.cls_token", "network.model.pos_embed"}),
        ("swin_tiny_patch4_window7_224", {"network.layers_2.blocks.5.attn.relative_position_bias_table"}),
        ("beit_base_patch16_224", {"network.model.blocks.11.attn.relative_position_bias_table"}),
    ],
)
def test_positions_and_tokens_of_timm_networks_are_exempt(name, some):
    backbone = Backbone(small(name, features_only=True))
    names = exempt(backbone)
    assert some <= names <= {name for name, _ in backbone.named_parameters()}
    assert not any("mlp" in name for name in names)


def test_networks_without_such_parameters_exempt_none():
    assert exempt(backbones.create("resnet18", width=8)) == set()
    assert exempt(Backbone(small("convnext_atto", features_only=True))) == set()
