"""What fits of a network's tensors into another, and classes matched by name."""

import pytest
import torch
from torch import nn

from segattn import heads
from segattn.backbones.fitting import class_dims, fit, match
from segattn.heads.parts.layers import AuxiliaryHead


@pytest.mark.parametrize(
    ("source", "own", "how", "rows"),
    [
        (["road", "sky"], ["road", "sky"], "same", (0, 1)),
        (["road", "sky"], ["sky", "road"], "name", (1, 0)),
        (["road", "sky", "car"], ["tree", "car"], "name", (None, 2)),
        (["road", "bed "], ["Bed", "road"], "name", (1, 0)),  # ADE20K in mmsegmentation has a space there
        (["Sign", "sign"], ["sign", "Sign", "SIGN"], "name", (1, 0, None)),
        (["road", "sky"], ["tree", "car"], "none", (None, None)),
        (["class 0", "class 1"], ["tree", "car"], "number", (0, 1)),
        (["tree", "car"], ["class 0", "class 1"], "number", (0, 1)),
        (["class 0", "class 1", "class 2"], ["tree", "car"], "unnamed", (None, None)),
        (None, ["tree", "car"], "unnamed", (None, None)),
    ],
)
def test_classes_are_matched_by_name_where_both_lists_have_names(source, own, how, rows):
    classes = match(source, own, num_source=19)
    assert (classes.how, classes.rows) == (how, rows)


def test_the_words_count_both_sides():
    assert match(["a", "b", "c"], ["c", "d"]).words() == "1 of 2 classes by name, 1 at random"
    assert match(["a"], ["c", "d"]).words() == "at random (1 classes there and 2 here, none with an equal name)"
    assert match(None, ["c", "d"], num_source=5).words().endswith("(5 classes there and 2 here, not all of them named)")
    assert match(["a", "b"], ["a", "b"]).words() == "all 2 classes"


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("name", heads.names())
def test_the_tensors_that_depend_on_the_classes_are_those_of_the_outputs(name, mode):
    """Channels equal to the number of classes must not be taken for classes: both are 7."""

    def build(num_classes):
        return heads.create(name, (7, 7, 7, 7), num_classes, mode=mode, channels=8)

    before = torch.random.get_rng_state()
    dims = class_dims(build, 7)
    assert torch.equal(torch.random.get_rng_state(), before)
    head = build(7).eval()
    features = [torch.randn(1, 7, 8, 8)] * 4
    outputs = head.train()([x.expand(2, -1, -1, -1) for x in features])
    last = {name.rpartition(".")[0] for name in dims}
    assert len(last) == len(outputs)  # one classifier for each output of training
    assert all(at == (0,) for at in dims.values())


def test_rows_of_equal_classes_are_copied_and_the_others_stay():
    torch.manual_seed(0)
    source, own = AuxiliaryHead(4, 3, channels=5), AuxiliaryHead(4, 2, channels=5)
    dims = class_dims(lambda count: AuxiliaryHead(4, count, channels=5), 2)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    result = fit(source.state_dict(), own.state_dict(), dims, match(["a", "b", "c"], ["d", "c"]))
    own.load_state_dict(result.loaded, strict=False)
    weight, bias = own.state_dict()["classify.conv.weight"], own.state_dict()["classify.conv.bias"]
    assert torch.equal(weight[1], source.state_dict()["classify.conv.weight"][2])
    assert torch.equal(weight[0], before["classify.conv.weight"][0])
    assert bias[1] == source.state_dict()["classify.conv.bias"][2]
    assert torch.equal(own.reduce.conv.weight, source.reduce.conv.weight)
    assert result.partly == ["classify.conv.weight", "classify.conv.bias"]
    assert (result.fresh, result.unused) == ([], [])


def test_classes_without_an_equal_name_are_left_although_the_shapes_agree():
    source, own = AuxiliaryHead(4, 2, channels=5), AuxiliaryHead(4, 2, channels=5)
    dims = class_dims(lambda count: AuxiliaryHead(4, count, channels=5), 2)
    result = fit(source.state_dict(), own.state_dict(), dims, match(["a", "b"], ["c", "d"]))
    assert result.classifier == ["classify.conv.weight", "classify.conv.bias"]
    assert not {*result.classifier} & result.loaded.keys()


def test_another_width_of_the_classifier_is_another_shape_and_no_class_is_said_to_be_taken():
    source, own = AuxiliaryHead(4, 2, channels=3), AuxiliaryHead(4, 2, channels=5)
    dims = class_dims(lambda count: AuxiliaryHead(4, count, channels=5), 2)
    result = fit(source.state_dict(), own.state_dict(), dims, match(["a", "b"], ["b", "d"]))
    assert {"classify.conv.weight", "classify.conv.bias"} <= {*result.other_shape}
    assert result.partly == []
    assert "classify.conv.bias" not in result.loaded


def test_a_head_that_needs_real_tensors_is_measured_too():
    class Own(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            scale = float(torch.ones(1).sum().item())  # fails on the meta device
            self.out = nn.Linear(2, num_classes)
            self.out.weight.data *= scale

    assert class_dims(Own, 3) == {"out.weight": (0,), "out.bias": (0,)}
