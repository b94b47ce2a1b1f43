"""What fits is loaded, by name and shape and by the names of classes; the summary says what was not."""

import dataclasses

import pytest
import torch

from segattn import heads
from segattn.backbones.fitting import class_dims
from segattn.config import Model
from segattn.convert import transfer
from segattn.convert.source import Source
from segattn.model import build_model

SMALL = Model(backbone="resnet18", head="ccnet", head_options={"channels": 8}, backbone_options={"width": 8})
NAMES = ["road", "sky", "car"]


def network(seed, num_classes, **changes):
    torch.manual_seed(seed)
    return build_model(dataclasses.replace(SMALL, **changes), num_classes)


def source_of(model, class_names=NAMES, **changes):
    described = {**vars(SMALL), **changes}
    return Source(
        "runs/first", {name: value.clone() for name, value in model.state_dict().items()}, described, class_names
    )


def moved(model, source, class_names, **changes):
    return transfer.load(model, source, dataclasses.replace(SMALL, **changes), class_names)


def test_the_same_network_is_loaded_whole():
    first, second = network(0, 3), network(1, 3)
    result = moved(second, source_of(first), NAMES)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert all(count == total for count, total in result.loaded.values())
    assert result.sentence() == "backbone, head, auxiliary from runs/first; classifier: all 3 classes"
    assert (result.skipped, result.fresh, result.taken) == ([], [], NAMES)


@pytest.mark.long("ocr", "danet", "fcn")
@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("head", heads.names())
def test_every_classifier_of_every_head_takes_the_classes_of_equal_names(head, mode):
    changes = {"head": head, "mode": mode}
    first, second = network(0, 3, **changes), network(1, 2, **changes)
    before = {name: value.clone() for name, value in second.state_dict().items()}
    result = moved(second, source_of(first, **changes), ["tree", "sky"], **changes)
    dims = class_dims(lambda count: network(2, count, **changes), 2)
    assert len({name.rpartition(".")[0] for name in dims}) == len(second.loss_weights)
    for name, value in second.state_dict().items():
        if name in dims:
            assert torch.equal(value[1], first.state_dict()[name][1])  # sky
            assert torch.equal(value[0], before[name][0])  # tree is new
        else:
            assert torch.equal(value, first.state_dict()[name])
    assert result.taken == ["sky"]
    assert "classifier: 1 of 2 classes by name, 1 at random" in result.sentence()


@pytest.mark.parametrize(
    ("source_names", "own", "words", "taken"),
    [
        (NAMES, ["a", "b", "c"], "none with an equal name", []),
        (None, ["a", "b", "c"], "by number, because not all of them have names", ["a", "b", "c"]),
        (None, ["a", "b"], "3 classes there and 2 here, not all of them named", []),
        (NAMES, ["car", "road", "sky"], "3 of 3 classes by name, 0 at random", ["car", "road", "sky"]),
    ],
)
def test_the_summary_says_how_classes_were_taken(source_names, own, words, taken):
    result = moved(network(1, len(own)), source_of(network(0, 3), source_names), own)
    assert words in " ".join(result.lines().split())
    assert result.taken == taken


def test_another_head_takes_what_fits_and_says_the_rest():
    second = network(1, 3, head="danet")
    before = {name: value.clone() for name, value in second.head.state_dict().items()}
    result = moved(second, source_of(network(0, 3)), NAMES, head="danet")
    assert result.loaded["backbone"][0] == result.loaded["backbone"][1]
    assert result.loaded["head"][0] == 0
    assert all(torch.equal(value, before[name]) for name, value in second.head.state_dict().items())
    text = " ".join(result.lines().split())
    assert "skipped not in this network head.sandwich, head.attention" in text
    assert "at random head.position_in" in text
    assert max(map(len, result.lines().splitlines())) <= 80


def test_another_width_of_the_head_is_said_with_both_shapes():
    changes = {"head_options": {"channels": 16}}
    result = moved(network(1, 3, **changes), source_of(network(0, 3)), NAMES, **changes)
    assert any("of another shape head." in reason and "there" in reason for reason in result.skipped)
    assert any(module.startswith("head.") for module in result.fresh)
    assert result.loaded["auxiliary"][0] == result.loaded["auxiliary"][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backbone": "resnet34"},
            r"runs/first has another backbone: backbone is 'resnet18' there and 'resnet34' here",
        ),
        ({"backbone": "patches", "output_stride": 16}, r"backbone is 'resnet18' there and 'patches' here"),
        ({"mean": (0.0, 0.0, 0.0)}, r"takes images with mean \[0.485, 0.456, 0.406\]"),
        ({"channel_order": "bgr"}, r"takes images with channel_order rgb, this one with bgr"),
    ],
)
def test_another_backbone_or_input_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        moved(network(1, 3, **changes), source_of(network(0, 3)), NAMES, **changes)


@pytest.mark.parametrize("output_stride", [4, 16])
def test_another_output_stride_takes_all_weights_and_is_told(output_stride):
    first, second = network(0, 3), network(1, 3, output_stride=output_stride)
    result = moved(second, source_of(first), NAMES, output_stride=output_stride)
    assert all(count == total for count, total in result.loaded.values())
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert result.notices == [f"output_stride is 8 there and {output_stride} here"]


def test_a_backbone_whose_weights_depend_on_the_output_stride_is_refused():
    patches = {"backbone": "patches", "backbone_options": {"width": 8}}
    with pytest.raises(ValueError, match="runs/first does not fit"):
        moved(
            network(1, 3, **patches, output_stride=16),
            source_of(network(0, 3, **patches), **patches),
            NAMES,
            **patches,
            output_stride=16,
        )


def test_a_backbone_alone_leaves_the_head_at_random():
    state = {name: value for name, value in network(0, 3).state_dict().items() if name.startswith("backbone.")}
    result = moved(network(1, 3), Source("weights.pth", state), NAMES)
    assert result.sentence() == (
        "backbone from weights.pth; at random: head.sandwich, head.attention, auxiliary.reduce, auxiliary.classify"
    )


def test_weights_that_are_none_are_refused():
    first = network(0, 3)
    first.head.sandwich.reduce.bn.weight.data[0] = float("nan")
    with pytest.raises(ValueError, match=r"runs/first does not fit: head.sandwich.reduce.bn.weight is not finite"):
        moved(network(1, 3), source_of(first), NAMES)
    with pytest.raises(ValueError, match=r"pretrained backbone weights.pth does not fit: missing"):
        moved(network(1, 3), Source("weights.pth", {"other.weight": torch.zeros(1)}), NAMES)


def test_another_alignment_is_noted():
    result = moved(network(1, 3), source_of(network(0, 3), align_corners=False), NAMES)
    assert result.notices == ["align_corners is False there and True here"]
