"""OCR's cascade of two decode heads, read as one head and written as two."""

import pytest

from segattn.config import Model
from segattn.convert.mmseg_cascade import as_one, sections
from segattn.convert.mmseg_config import complete, read, write
from segattn.convert.mmseg_settings import refuse_others

FIRST = "type='FCNHead', in_channels=1024, in_index=2, channels=256, num_convs=1, concat_input=False, dropout_ratio=0.1"
SECOND = "type='OCRHead', in_channels=2048, in_index=3, channels=512, ocr_channels=256, dropout_ratio=0.1"
TEXT = f"""
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='CascadeEncoderDecoder',
    num_stages=2,
    backbone=dict(type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), contract_dilation=True),
    decode_head=[dict({FIRST}, norm_cfg=norm_cfg), dict({SECOND}, norm_cfg=norm_cfg)])
"""
OCR = Model(head="ocr", backbone="resnet50", align_corners=False)


def test_two_heads_are_read_as_one():
    model = read(TEXT)
    assert model["type"] == "EncoderDecoder"
    assert model["decode_head"]["type"] == "OCRHead"
    assert model["auxiliary_head"]["type"] == "FCNHead"
    network, assumed = complete(TEXT, OCR)
    assert assumed == {}
    assert (network.head_options, network.output_stride) == ({"dropout": 0.1}, 8)
    refuse_others(TEXT)


def test_what_is_written_is_read_again():
    network = Model(head="ocr", backbone="resnet18", align_corners=True, head_options={"channels": 64, "dropout": 0.2})
    text = write(network, 5)
    assert "'type': 'CascadeEncoderDecoder'" in text
    assert "'num_stages': 2" in text
    model = read(text)
    assert (model["auxiliary_head"]["channels"], model["decode_head"]["ocr_channels"]) == (32, 32)
    assert model["auxiliary_head"]["loss_decode"]["loss_weight"] == 0.4
    back, assumed = complete(text, network)
    assert (assumed, back.align_corners, back.head_options) == ({}, True, {"channels": 64, "dropout": 0.2})
    refuse_others(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("in_index=2", "in_index=1", "decode_head[0].in_index=1 cannot be converted; only 2 can"),
        ("num_convs=1, ", "", "decode_head[0].num_convs=2 cannot be converted; only 1 can"),
        ("concat_input=False", "concat_input=True", "decode_head[0].concat_input=True cannot be converted; only False can"),
        ("channels=256, num", "channels=512, num", "decode_head[0].channels=512 cannot be converted; only 256 can"),
        ("ocr_channels=256", "ocr_channels=128", "decode_head[1].ocr_channels=128 cannot be converted; only 256 can"),
        ("dropout_ratio=0.1, norm", "dropout_ratio=0.3, norm", "decode_head[0].dropout_ratio=0.3 cannot be converted"),
        ("ocr_channels=256", "ocr_channels=256, scale=2", "decode_head.scale=2 cannot be converted; only 1 can"),
    ],
    ids=["stage", "convolutions", "input", "width", "OCR's width", "dropout", "scale"],
)  # fmt: skip
def test_settings_that_one_head_cannot_express_are_refused(old, new, message):
    with pytest.raises(ValueError) as error:
        complete(TEXT.replace(old, new, 1), OCR)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"decode_head": {"type": "FCNHead"}},
        {"decode_head": [{"type": "FCNHead"}, {"type": "PointHead"}]},
        {"decode_head": ["FCNHead", "OCRHead"]},
        {"decode_head": [{"type": "OCRHead"}]},
    ],
)
def test_other_models_stay_as_they_are(model):
    assert as_one(model) == model


def test_norms_are_checked():
    with pytest.raises(ValueError, match=r"norm_cfg\.type='GN' cannot be converted"):
        refuse_others(TEXT.replace("SyncBN", "GN"))


def test_heads_without_a_cascade_have_an_auxiliary_head_only_with_a_weight():
    assert sections("ccnet", {"a": 1}, {"b": 2}, 0.0) == {"type": "EncoderDecoder", "decode_head": {"a": 1}}
    assert sections("ccnet", {"a": 1}, {"b": 2}, 0.4)["auxiliary_head"] == {"b": 2}
