"""State dicts of mmsegmentation to ours and back: names, shapes, what is recognised and what is refused."""

import pytest
import torch

from segattn.convert.mmseg import from_mmseg, to_mmseg
from segattn.model import create_model
from tests.convert.fabricate_mmseg import CHANNELS, CLASSES, HEAD_NAMES, head_keys, segmentor


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_full_size_keys_and_shapes_are_those_of_mmsegmentation(head, backbone):
    expected = head_keys("non_local" if head == "fcn" else head)
    if head == "fcn":
        expected = {name: shape for name, shape in expected.items() if not name.startswith("nl_block.")}
    expected = {f"decode_head.{name}": shape for name, shape in expected.items()}
    if head != "ocr":  # whose first head is in its place
        expected |= {f"auxiliary_head.{name}": shape for name, shape in head_keys("auxiliary").items()}
    with torch.device("meta"):
        ours = create_model(head, num_classes=19, backbone=backbone).state_dict()
    renamed = {
        name: tuple(value.shape)
        for name, value in to_mmseg(ours, head).items()
        if not name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }
    assert renamed == expected


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_there_and_back_is_the_same(head, plain):
    state = segmentor(head, plain=plain)
    converted = from_mmseg(state)
    converted.build()
    back = to_mmseg(converted.state, head)
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value), name


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_head_backbone_and_classes_follow_from_the_keys(head):
    converted = from_mmseg(segmentor(head))
    assert converted.network.head == head
    assert converted.network.backbone == "resnet18"
    assert converted.network.backbone_options == {"stem": "deep", "width": 8, "contract_dilation": True}
    assert converted.network.head_options["channels"] == CHANNELS
    assert converted.network.auxiliary_weight == 0.4
    assert converted.num_classes == CLASSES
    assert converted.assumed["align_corners"] is False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("stem", ["deep", "plain"])
def test_deeper_backbones_are_recognised(name, stem):
    options = {"stem": stem, "width": 8}
    ours = create_model("ccnet", num_classes=3, backbone=name, backbone_options=options, head_options={"channels": 16})
    converted = from_mmseg(to_mmseg(ours.state_dict(), "ccnet"))
    assert converted.network.backbone == name
    assert converted.network.backbone_options["stem"] == stem
    assert all(torch.equal(converted.state[key], value) for key, value in ours.state_dict().items())


def test_a_wide_stem_is_recognised():
    ours = create_model("fcn", num_classes=3, backbone="resnet18", backbone_options={"width": 8, "stem_channels": 16})
    assert from_mmseg(to_mmseg(ours.state_dict(), "fcn")).network.backbone_options["stem_channels"] == 16


@pytest.mark.parametrize(("head", "scale"), [("ccnet", "cca.gamma"), ("danet", "pam.gamma"), ("danet", "cam.gamma")])
def test_scalars_of_old_checkpoints_have_one_dimension_and_no_scale(head, scale):
    state = segmentor(head)
    value = state.pop(f"decode_head.{scale}.scale")
    old = state | {f"decode_head.{scale}": value.reshape(1)}
    converted = from_mmseg(old)
    new = to_mmseg(converted.state, head)
    assert new[f"decode_head.{scale}.scale"].shape == ()
    assert new[f"decode_head.{scale}.scale"] == value
    written = to_mmseg(converted.state, head, old_keys=True)
    assert written[f"decode_head.{scale}"].shape == (1,)
    assert written[f"decode_head.{scale}"] == value


def test_data_parallel_prefix_is_dropped():
    state = segmentor("non_local")
    wrapped = {f"module.{name}": value for name, value in state.items()}
    assert from_mmseg(wrapped).state.keys() == from_mmseg(state).state.keys()


def test_counters_of_batches_may_be_missing():
    state = segmentor("ccnet")
    without = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert from_mmseg(without).state["backbone.layer1.0.bn1.num_batches_tracked"] == 0


def test_auxiliary_head_can_be_left_out():
    state = segmentor("isanet")
    converted = from_mmseg(state, keep_auxiliary=False)
    assert converted.network.auxiliary_weight == 0
    assert converted.build().auxiliary is None
    image = torch.randn(1, 3, 33, 41)
    torch.testing.assert_close(converted.build()(image), from_mmseg(state).build()(image), rtol=0, atol=0)


def test_missing_and_unexpected_keys_are_all_listed():
    state = segmentor("non_local")
    del state["decode_head.nl_block.phi.conv.bias"], state["backbone.layer2.1.bn2.weight"]
    state["decode_head.surplus.weight"] = torch.zeros(2)
    with pytest.raises(ValueError) as error:
        from_mmseg(state)
    missing, unexpected = str(error.value).splitlines()[1:]
    assert missing == "  missing: backbone.layer2.1.bn2.weight, decode_head.nl_block.phi.conv.bias"
    assert unexpected == "  unexpected: decode_head.surplus.weight"


def test_another_shape_is_named_with_both():
    state = segmentor("ccnet")
    state["decode_head.cca.key_conv.weight"] = torch.zeros(3, CHANNELS, 1, 1)
    with pytest.raises(ValueError, match=r"cca.key_conv.weight \(3, 32, 1, 1\) instead of \(4, 32, 1, 1\)"):
        from_mmseg(state)


def test_classes_of_both_heads_have_to_agree():
    state = segmentor("ccnet")
    state["auxiliary_head.conv_seg.bias"] = torch.zeros(CLASSES + 1)
    with pytest.raises(ValueError, match=r"auxiliary_head.conv_seg.bias \(6,\) instead of \(5,\)"):
        from_mmseg(state)


def test_narrow_auxiliary_head_is_refused_with_the_way_out():
    state = segmentor("ccnet")
    state["auxiliary_head.convs.0.conv.weight"] = torch.zeros(64, 32, 3, 3)
    with pytest.raises(ValueError, match="keep_auxiliary=False"):
        from_mmseg(state)


def test_another_head_than_expected():
    with pytest.raises(ValueError, match="decode head is danet, not ccnet"):
        from_mmseg(segmentor("danet"), head="ccnet")


def test_another_class_count_than_expected():
    with pytest.raises(ValueError, match="has 5 classes, not 19"):
        from_mmseg(segmentor("danet"), num_classes=19)


def test_foreign_decode_head_is_refused():
    state = {name: value for name, value in segmentor("fcn").items() if not name.startswith("decode_head.")}
    state |= {"decode_head.linear_fuse.conv.weight": torch.zeros(2), "decode_head.conv_seg.weight": torch.zeros(2)}
    with pytest.raises(
        ValueError, match=r"of conv_seg, linear_fuse\) cannot be converted; these can: aspp, ccnet, danet"
    ):
        from_mmseg(state)


def test_backbone_alone_is_refused():
    state = {name: value for name, value in segmentor("fcn").items() if name.startswith("backbone.")}
    with pytest.raises(ValueError, match="no keys under decode_head"):
        from_mmseg(state)


def test_foreign_backbone_is_refused():
    state = segmentor("ccnet")
    state["backbone.layer3.2.conv1.weight"] = torch.zeros(32, 32, 3, 3)
    with pytest.raises(ValueError, match=r"\(2, 2, 3, 2\) blocks per stage.*resnet18, resnet34, resnet50, resnet101"):
        from_mmseg(state)


def test_half_a_head_is_refused():
    half = {name: value for name, value in segmentor("ccnet").items() if not name.startswith("decode_head.convs.0")}
    with pytest.raises(ValueError, match=r"is incomplete: convs\.0\.conv\.weight is missing"):
        from_mmseg(half)


@pytest.mark.parametrize("intruder", [3, "text", [1.0], None])
def test_anything_but_tensors_is_refused(intruder):
    with pytest.raises(ValueError, match=f"'epoch': {type(intruder).__name__}; it should hold tensors only"):
        from_mmseg(segmentor("ccnet") | {"epoch": intruder})


@pytest.mark.parametrize("nothing", [{}, [], None])
def test_no_state_dict(nothing):
    with pytest.raises(ValueError, match="not a state dict"):
        from_mmseg(nothing)


def test_heads_that_mmsegmentation_lacks_are_refused():
    with pytest.raises(ValueError, match=r"no counterpart of head 'reconet'; it has aspp, ccnet, danet"):
        to_mmseg({"head.x": torch.zeros(1)}, "reconet")


def test_controlled_head_of_another_form_is_refused():
    ours = create_model("danet", num_classes=3, mode="controlled", backbone="resnet18", backbone_options={"width": 8})
    with pytest.raises(ValueError, match=r"sandwich.reduce.* has no counterpart"):
        to_mmseg(ours.state_dict(), "danet")


@pytest.mark.parametrize(
    ("head", "key", "other"),
    [
        ("psp", "lateral_convs.0.conv.weight", "UPerNet"),
        ("aspp", "c1_bottleneck.conv.weight", r"DeepLabV3\+"),
        ("aspp", "aspp_modules.1.depthwise_conv.conv.weight", r"DeepLabV3\+"),
    ],
)
def test_heads_that_share_a_key_with_ours_are_refused_by_name(head, key, other):
    state = segmentor(head) | {f"decode_head.{key}": torch.ones(4, 4, 1, 1)}
    with pytest.raises(ValueError, match=rf"so it is {other}, not {head}, and cannot be converted; these can: aspp, "):
        from_mmseg(state)


def test_ocr_with_one_logit_is_refused():
    state = segmentor("ocr")
    for name in ("0.conv_seg", "1.conv_seg"):
        for part in ("weight", "bias"):
            state[f"decode_head.{name}.{part}"] = state[f"decode_head.{name}.{part}"][:1]
    with pytest.raises(ValueError, match="ocr with one logit cannot be converted"):
        from_mmseg(state)


def test_ocr_without_its_first_head_does_not_fit():
    state = {key: value for key, value in segmentor("ocr").items() if not key.startswith("decode_head.0.")}
    with pytest.raises(ValueError, match=r"missing: decode_head\.0\.conv_seg\.bias"):
        from_mmseg(state)
