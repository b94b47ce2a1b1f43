"""Trained networks and their forms as cases."""

import msgspec
import pytest
import torch

from segattn.benchmark import forms
from segattn.benchmark.cases import build_network, prepare, work
from segattn.benchmark.piece import task
from segattn.cost import network_cost
from segattn.inference.export.runtime import ExportedModel
from segattn.inference.optimized import OptimizedModel
from tests.benchmark.test_cases import one

TRAINED = {
    "parts": ("network",),
    "network": "runs/mine",
    "head_options": {"channels": 16},
    "backbone_options": {"width": 8},
}


def as_json(value):
    return msgspec.to_builtins(value)


def test_a_case_of_a_trained_network_is_as_large_as_its_options_say():
    case = one(**TRAINED)
    cost = network_cost(
        "ccnet", input_size=(33, 41), num_classes=3, backbone="resnet18",
        head_options={"channels": 16}, backbone_options={"width": 8},
    )  # fmt: skip
    assert case.label == "runs/mine"
    assert work(case).macs == cost.network.macs
    assert sum(each.numel() for each in build_network(case, "meta").parameters()) >= cost.network.parameters
    assert work(case).macs < work(one(parts=("network",))).macs


def test_its_head_gets_the_maps_of_its_own_backbone():
    assert prepare(one(**{**TRAINED, "parts": ("head",)}), "cpu").channels == (8, 16, 32, 64)


@pytest.mark.slow
def test_a_graph_is_written_once_for_all_sizes_and_run_from_its_file(tmp_path):
    if reason := forms.forms.missing("onnx"):
        pytest.skip(reason)
    small, large = (one(**TRAINED, forms=("onnx",), sizes=[size]) for size in ((33, 41), (65, 33)))
    prepared = [forms.ready(case, "cpu", str(tmp_path)) for case in (small, large)]
    assert prepared[0].file == prepared[1].file
    assert len(list(tmp_path.iterdir())) == 1
    assert isinstance(forms.network(large, prepared[1].file, "cpu"), ExportedModel)
    made = task(as_json(large), as_json(prepared[1]), "cpu", 0)
    made.warm_up()
    assert made.run().shape == (1, 3, 65, 33)


def test_an_optimized_case_runs_the_optimized_network():
    case = one(**TRAINED, forms=("optimized",))
    prepared = forms.ready(case, "cpu", "")
    assert prepared.file == ""
    assert isinstance(forms.network(case, "", "cpu"), OptimizedModel)
    assert task(as_json(case), as_json(prepared), "cpu", 0).run().shape == (1, 3, 33, 41)


def test_a_form_that_is_not_possible_is_refused(monkeypatch):
    monkeypatch.setattr(forms.forms, "missing", lambda form, device: "bf16 is not faster on this processor")
    with pytest.raises(ValueError, match="bf16 is not faster"):
        forms.ready(one(**TRAINED, forms=("bf16",)), "cpu", "")


def test_records_without_the_new_fields_still_read():
    raw = as_json(one())
    for name in ("network", "form", "head_options", "backbone_options"):
        raw.pop(name)
    case = msgspec.convert(raw, type(one()))
    assert (case.label, case.form, case.head_options) == ("ccnet", "eager", {})
    assert torch.is_tensor(next(build_network(case, "meta").parameters()))
