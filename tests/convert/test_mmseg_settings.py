"""Settings of mmsegmentation that change the result: carried over, or refused by name."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

import segattn
from segattn import cli
from segattn.config import Evaluation
from segattn.convert.mmseg import from_mmseg, to_mmseg
from segattn.convert.mmseg_file import export_file, import_file, read
from segattn.convert.mmseg_settings import evaluation_of, input_of
from segattn.data.transforms import IMAGENET, Normalization

BACKBONE = (
    "backbone=dict(type='ResNetV1c', depth=18, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True)"
)
BGR = "data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False),"


def text(before="", head="", after=""):
    return (
        f"model = dict(type='EncoderDecoder', {before} {BACKBONE}, decode_head=dict(type='FCNHead', {head}), {after})"
    )


def weights(classes, head="fcn"):
    options = {"backbone": "resnet18", "backbone_options": {"width": 8}, "head_options": {"channels": 16}}
    torch.manual_seed(0)  # not whatever another test has left
    state = segattn.create_model(head, num_classes=classes, **options).state_dict()
    return to_mmseg(state, head)


IMAGENET_BGR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "channel_order": "bgr"}
IMAGENET_RGB = IMAGENET_BGR | {"channel_order": "rgb"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (text(BGR), IMAGENET_BGR),
        (text(BGR.replace(", bgr_to_rgb=False", "")), IMAGENET_BGR),
        (
            text("data_preprocessor=dict(mean=[0, 0, 0], std=[255, 255, 255], bgr_to_rgb=True),"),
            {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "channel_order": "rgb"},
        ),
        (
            text("data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6]),"),
            {"mean": (3 / 255, 2 / 255, 1 / 255), "std": (6 / 255, 5 / 255, 4 / 255), "channel_order": "bgr"},
        ),
        (
            text("data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),"),
            {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255), "channel_order": "rgb"},
        ),
        (
            "data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)\n"
            + text("data_preprocessor=data_preprocessor,"),
            IMAGENET_RGB,
        ),
        (
            "img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=False)\n"
            f"{text()}\ntest_pipeline = [dict(type='LoadImageFromFile'), dict(type='Normalize', **img_norm_cfg), f(1)]",
            {"mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229), "channel_order": "bgr"},
        ),
        (
            f"{text()}\ntest_pipeline = [{{'type': 'Normalize', 'mean': [0, 0, 0], 'std': [255, 255, 255]}}]",
            {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "channel_order": "rgb"},
        ),
        (text(), {}),
        (None, {}),
        ("not (python", {}),
    ],
)
def test_how_images_enter(config, expected):
    fields = input_of(config)
    assert fields.keys() == expected.keys()
    for name, value in expected.items():
        assert fields[name] == (value if name == "channel_order" else pytest.approx(value, abs=1e-12))


LETTERS = "abcdefghijklmnop"
NESTED = "a = dict(x=1)\n" + "".join(
    f"{outer} = dict(p={inner}, q={inner}, r={inner}, s={inner})\n" for inner, outer in pairwise(LETTERS)
)
"""16 names whose last one, written out, has 4 to the power of 15 entries."""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (text("data_preprocessor=dict(mean=f(), std=[1, 1, 1]),"), "data_preprocessor.mean=(an expression)"),
        (text("data_preprocessor=dict(mean=[1, 2], std=[1, 1, 1]),"), "data_preprocessor.mean=[1, 2]"),
        (text("data_preprocessor=dict(mean=[1, 2, 3]),"), "data_preprocessor.std=None"),
        (text("data_preprocessor=dict(mean=[1, 2, 3], std=[1, 0, 1]),"), "data_preprocessor.std=[1, 0, 1]"),
        (text("data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1], rgb_to_bgr=True),"), "data_preprocessor.rgb_to_bgr"),
        (text("data_preprocessor=dict(type='Mine', mean=[1, 2, 3], std=[1, 1, 1]),"), "data_preprocessor.type='Mine'"),
        (text(BGR[:-2] + ", test_cfg=dict(size_divisor=32)),"), "data_preprocessor.test_cfg"),
        (f"{text(BGR)}\np = [dict(type='Normalize', mean=[0, 0, 0], std=[1, 1, 1])]", "normalises images twice"),
        (
            f"{text()}\np = [dict(type='Normalize', mean=[0, 0, 0], std=[1, 1, 1])]\nimg_norm_cfg = dict(mean=[1, 1, 1], "
            "std=[1, 1, 1])",
            "in several ways",
        ),
        (text(head="norm_cfg=dict(type='GN', num_groups=8)"), "decode_head.norm_cfg.type='GN'"),
        ("norm = dict(type='BN', eps=1e-3)\n" + text(head="norm_cfg=norm"), "decode_head.norm_cfg.eps=0.001"),
        (text(head="act_cfg=dict(type='GELU')"), "decode_head.act_cfg={'type': 'GELU'}"),
        (text(head="act_cfg=None"), "decode_head.act_cfg=None"),
        (text(head="in_index=2"), "decode_head.in_index=2"),
        (text("neck=dict(type='FPN'),"), "model.neck"),
        (text().replace("'EncoderDecoder'", "'DepthEstimator'"), "model.type='DepthEstimator'"),
        (text(after="test_cfg=dict(mode='slide')"), "test_cfg of mode='slide'"),
        (text(after="test_cfg=dict(mode='mine')"), "test_cfg of mode='mine'"),
        (text(head="out_channels=1, threshold=1.5"), "decode_head.threshold=1.5"),
        (NESTED + text("data_preprocessor=dict(mean=p, std=p),"), "data_preprocessor.mean"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_over_is_refused_by_name(config, message):
    with pytest.raises(ValueError) as error:
        from_mmseg(weights(1), config=config)
    assert message in str(error.value)
    assert len(str(error.value)) < 400


def test_sliding_window_is_kept(tmp_path):
    config = text(after="test_cfg=dict(mode='slide', crop_size=(64, 96), stride=(40, 60))")
    slide = Evaluation(mode="slide", crop_size=(64, 96), stride=(40, 60))
    assert evaluation_of(config) == slide
    torch.save({"state_dict": weights(2), "meta": {"cfg": config}}, tmp_path / "in.pth")
    import_file(tmp_path / "in.pth", tmp_path / "out")
    assert segattn.load_model(tmp_path / "out").experiment.evaluation == slide
    export_file(tmp_path / "out", tmp_path / "back.pth")
    assert evaluation_of(read(tmp_path / "back.pth").config) == slide


@pytest.mark.parametrize("head", ["fcn", "danet", "emanet"])
@pytest.mark.parametrize(("setting", "threshold"), [("threshold=0.8,", 0.8), ("threshold=0.2,", 0.2), ("", 0.3)])
def test_one_logit_becomes_two_with_the_same_labels(head, setting, threshold):
    image = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(1))
    state = weights(1, head)
    state["decode_head.conv_seg.weight"] *= 300
    with torch.no_grad():  # the usual logits are all above or all below the threshold
        state["decode_head.conv_seg.bias"] -= from_mmseg(state).build().logits(image)[:, 1].median()
    kinds = {"fcn": "FCNHead", "danet": "DAHead", "emanet": "EMAHead"}
    config = text(head=f"num_classes=2, out_channels=1, {setting}").replace("FCNHead", kinds[head])
    converted = from_mmseg(state, config=config)
    assert converted.num_classes == 2
    assert any("One logit z became two" in notice and f"{threshold:g}" in notice for notice in converted.notices)
    model = converted.build()
    with torch.no_grad():
        logits = model.logits(image)
        classifier = state["decode_head.conv_seg.weight"], state["decode_head.conv_seg.bias"]
        seen = []
        last = next(each for name, each in model.head.named_modules() if name.split(".")[-2:] == ["classify", "conv"])
        last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        model.logits(image)
        z = F.conv2d(seen[0], *classifier)[:, 0]
    assert torch.equal(logits[:, 0], torch.zeros_like(z))
    torch.testing.assert_close(logits[:, 1], z - math.log(threshold / (1 - threshold)), rtol=1e-4, atol=1e-4)
    labels, expected = logits.argmax(1), (z.sigmoid() > threshold).long()
    assert 0 < expected.float().mean() < 1
    clear = (z - math.log(threshold / (1 - threshold))).abs() > 1e-3  # others may round to either side
    assert torch.equal(labels[clear], expected[clear])
    assert clear.float().mean() > 0.9


def test_names_of_one_logit(tmp_path):
    torch.save({"state_dict": weights(1), "meta": {"CLASSES": ["crack"], "PALETTE": [[9, 9, 9]]}}, tmp_path / "in.pth")
    import_file(tmp_path / "in.pth", tmp_path / "out")
    model = segattn.load_model(tmp_path / "out")
    assert model.class_names == ("background", "crack")
    assert model.palette == ((0, 0, 0), (9, 9, 9))


def test_input_of_a_converted_network_survives_files_both_ways(tmp_path):
    torch.save({"state_dict": weights(2), "meta": {"cfg": text(BGR)}}, tmp_path / "in.pth")
    import_file(tmp_path / "in.pth", tmp_path / "out")
    model = segattn.load_model(tmp_path / "out")
    assert Normalization.of(model) == Normalization(channel_order="bgr")
    assert Normalization.of(segattn.optimize(model)) == Normalization.of(model) != IMAGENET
    export_file(tmp_path / "out", tmp_path / "back.pth")
    assert input_of(read(tmp_path / "back.pth").config) == IMAGENET_BGR


class HistoryBuffer:
    """Stands for mmengine's, which the checkpoints of its runs hold."""

    def __init__(self):
        self.log_history = torch.ones(3).numpy()


def test_checkpoint_of_a_run_is_read(tmp_path, capsys):
    hub = {"log_scalars": {"train/loss": HistoryBuffer()}, "runtime_info": {"iter": 7}}
    torch.save({"meta": {"cfg": text(BGR)}, "state_dict": weights(2), "message_hub": hub}, tmp_path / "iter_7.pth")
    assert cli.main(["convert", "mmseg", str(tmp_path / "iter_7.pth"), str(tmp_path / "out")]) == 0
    assert "assumed ImageNet" not in capsys.readouterr().out
    assert segattn.load_model(tmp_path / "out").channel_order == "bgr"


def test_command_says_what_was_assumed_and_changed(tmp_path, capsys):
    torch.save({"state_dict": weights(1)}, tmp_path / "in.pth")
    assert cli.main(["convert", "mmseg", str(tmp_path / "in.pth"), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "assumed ImageNet's and RGB" in printed
    assert "One logit z became two, (0, z), with the threshold 0.3 (assumed, mmsegmentation's default)" in printed
