"""mmsegmentation's configurations: what is read from them, that nothing is run, and those that are written."""

import dataclasses

import pytest

from segattn.config import Model
from segattn.convert.mmseg_config import complete, read, write

TEXT = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=norm_cfg, style='pytorch',
        contract_dilation=True),
    decode_head={'type': 'CCHead', 'recurrence': 3, 'align_corners': True, 'dropout_ratio': 0.2})
"""
CCNET = Model(head="ccnet", backbone="resnet50", align_corners=False)


def test_literals_are_read_and_names_left_out():
    model = read(TEXT)
    assert model["backbone"]["strides"] == (1, 2, 1, 1)
    assert "norm_cfg" not in model["backbone"]
    assert model["decode_head"]["recurrence"] == 3


def test_nothing_is_run(tmp_path):
    touched = tmp_path / "touched"
    text = (
        f"open({str(touched)!r}, 'w')\nmodel = dict(a=open({str(touched)!r}, 'w'), b=[__import__('os')], c=1, **f(x=2))"
    )
    assert read(text) == {"c": 1}
    assert not touched.exists()


@pytest.mark.parametrize(
    "text", ["", "/home/x/ccnet.py\nmodel = dict(", "lr = 1", "model = build()", "model = [1]", "\0"]
)
def test_text_without_a_readable_model(text):
    assert read(text) == {}


def test_settings_that_leave_no_trace_in_the_keys():
    network, assumed = complete(TEXT, CCNET)
    assert assumed == {}
    assert network.align_corners is True
    assert network.output_stride == 8
    assert network.head_options == {"recurrence": 3, "dropout": 0.2}
    assert network.backbone_options == {"contract_dilation": True}


def test_given_align_corners_wins():
    assert complete(TEXT, CCNET, align_corners=False)[0].align_corners is False
    assert "align_corners" not in complete(None, CCNET, align_corners=True)[1]


def test_without_a_configuration_customary_values_are_assumed_and_named():
    network, assumed = complete(None, CCNET)
    assert assumed == {
        "strides": (1, 2, 1, 1),
        "dilations": (1, 1, 2, 4),
        "contract_dilation": True,
        "recurrence": 2,
        "align_corners": False,
    }
    assert network.output_stride == 8


def test_a_whole_configuration_leaves_defaults_of_the_classes():
    network, assumed = complete(TEXT.replace("contract_dilation=True", ""), CCNET)
    assert network.backbone_options == {"contract_dilation": False}
    assert assumed == {}


def test_weight_of_the_auxiliary_loss():
    text = "model = dict(auxiliary_head=dict(loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.2)))"
    assert complete(text, CCNET)[0].auxiliary_weight == 0.2
    assert complete(text, dataclasses.replace(CCNET, auxiliary_weight=0.0))[0].auxiliary_weight == 0.0


def test_output_stride_16():
    text = TEXT.replace("(1, 1, 2, 4)", "(1, 1, 1, 2)").replace("(1, 2, 1, 1)", "(1, 2, 2, 1)")
    assert complete(text, CCNET)[0].output_stride == 16


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("style='pytorch'", "style='caffe'", "backbone.style='caffe' cannot be converted; only 'pytorch' can"),
        ("style='pytorch'", "multi_grid=(1, 2, 4)", "backbone.multi_grid"),
        ("(1, 1, 2, 4)", "(1, 1, 2, 2)", "with dilations"),
        ("'recurrence': 3", "'kernel_size': 1", "decode_head.kernel_size=1"),
    ],
)
def test_what_ours_cannot_express_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(ValueError) as error:
        complete(TEXT.replace(old, new), CCNET)
    assert message in str(error.value)


def test_cascades_of_other_heads_are_refused():
    with pytest.raises(ValueError, match="decode_head of the configuration has several parts"):
        complete("model = dict(decode_head=[dict(type='FCNHead'), dict(type='PointHead')])", CCNET)


def test_unscaled_non_local_is_refused():
    with pytest.raises(ValueError, match=r"decode_head\.use_scale=False"):
        complete("model = dict(decode_head=dict(use_scale=False))", dataclasses.replace(CCNET, head="non_local"))


@pytest.mark.parametrize(
    "network",
    [
        Model(head="ccnet", backbone="resnet101", align_corners=True, head_options={"recurrence": 3}),
        Model(head="non_local", backbone="resnet50", output_stride=16, head_options={"pairwise": "dot_product"}),
        Model(head="dnlnet", backbone="resnet50", head_options={"temperature": 0.5, "scale": False}),
        Model(head="isanet", backbone="resnet50", head_options={"partition": (4, 6)}),
        Model(head="emanet", backbone="resnet50", head_options={"num_rounds": 5, "momentum": 0.2}),
        Model(head="danet", backbone="resnet18", align_corners=False, backbone_options={"contract_dilation": False}),
        Model(head="fcn", backbone="resnet50", align_corners=False, output_stride=32),
    ],
    ids=lambda network: network.head,
)
def test_what_is_written_is_read_again(network):
    bare = Model(head=network.head, backbone=network.backbone)
    read_back, assumed = complete(write(network, 19), bare)
    assert assumed == {}
    assert read_back.output_stride == network.output_stride
    assert read_back.align_corners == network.align_corners
    assert read_back.head_options.items() >= network.head_options.items()
    assert read_back.backbone_options["contract_dilation"] == network.backbone_options.get("contract_dilation", True)


def test_written_widths_are_those_of_the_network():
    model = read(write(Model(head="emanet", backbone="resnet50", backbone_options={"stem": "plain"}), 7))
    assert model["backbone"]["type"] == "ResNet"
    head = model["decode_head"]
    assert (head["in_channels"], head["ema_channels"], head["channels"], head["num_bases"]) == (2048, 512, 256, 64)
    assert (head["num_classes"], model["auxiliary_head"]["in_channels"]) == (7, 1024)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Model(head="reconet"), "no counterpart of resnet101 with reconet"),
        (Model(head="ccnet", backbone="timm:resnet18"), "no counterpart of timm:resnet18"),
        (Model(head="danet", head_options={"cam_sign": "positive"}), "no counterpart of cam_sign='positive'"),
        (Model(head="dnlnet", head_options={"preset": "official"}), "no counterpart of preset='official'"),
        (Model(head="isanet", head_options={"mask_padding": True}), "no counterpart of mask_padding=True"),
        (Model(head="ccnet", backbone_options={"multi_grid": (1, 2, 4)}), "multi_grid cannot be converted"),
    ],
)
def test_networks_that_mmsegmentation_cannot_express_are_refused(network, message):
    with pytest.raises(ValueError) as error:
        write(network, 19)
    assert message in str(error.value)


@pytest.mark.parametrize("flag", [True, False])
def test_a_pyramid_resizes_as_the_logits_are_upsampled(flag):
    text = f"model = dict(backbone=dict(type='ResNetV1c'), decode_head=dict(type='PSPHead', align_corners={flag}))"
    text = text.replace("'ResNetV1c'", "'ResNetV1c', dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)")
    network, assumed = complete(text, Model(head="psp", backbone="resnet50"))
    assert (network.align_corners, network.head_options["align_corners"], assumed) == (flag, flag, {})
    assert network.head_options["bins"] == (1, 2, 3, 6)
    written = read(write(network, 19))["decode_head"]
    assert (written["align_corners"], written["pool_scales"]) == (flag, (1, 2, 3, 6))
    contradiction = dataclasses.replace(network, align_corners=not flag)
    with pytest.raises(ValueError, match=rf"head option align_corners={flag} and model.align_corners={not flag}"):
        write(contradiction, 19)


def test_dilations_are_the_configurations_the_class_default_or_the_customary_ones():
    network = Model(head="aspp", backbone="resnet50")
    assumed = complete(None, network)
    assert assumed[0].head_options["dilations"] == assumed[1]["dilations"] == (1, 12, 24, 36)
    body = "backbone=dict(type='ResNetV1c', dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1))"
    for head, dilations in (("", (1, 6, 12, 18)), (", dilations=(1, 24)", (1, 24))):
        completed, _ = complete(f"model = dict({body}, decode_head=dict(type='ASPPHead'{head}))", network)
        assert completed.head_options["dilations"] == dilations
        assert read(write(completed, 19))["decode_head"]["dilations"] == dilations
