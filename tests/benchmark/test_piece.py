"""What runs is what the case says."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from segattn import heads
from segattn.benchmark import cases, piece
from tests.benchmark.test_cases import one

pytestmark = pytest.mark.slow

MECHANISMS = [name for name in heads.names() if name != "fcn"]


def task(**changes):
    case = one(**changes)
    return piece.task(asdict(case), asdict(cases.prepare(case, "cpu")), "cpu", 0)


@pytest.mark.long("ccnet", "denoised_nl", "ss2d", "ocr")
@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_every_mechanism_runs_forward(name, dtype):
    work = task(names=(name,), dtypes=(dtype,))
    work.warm_up()
    for one_tensor in cases.tensors(work.run()):
        assert one_tensor.isfinite().all()
        assert not one_tensor.requires_grad


@pytest.mark.long("ccnet", "denoised_nl", "ss2d", "ocr")
@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_runs_backward(name):
    work = task(names=(name,), phases=("training",), batches=(2,))
    work.warm_up()
    work.run()


@pytest.mark.long("ccnet", "denoised_nl", "ss2d")
@pytest.mark.parametrize("name", heads.names())
def test_every_head_trains(name):
    work = task(names=(name,), parts=("head",), phases=("training",), batches=(2,))
    work.warm_up()
    work.run()


def test_training_reaches_inputs_and_weights(monkeypatch):
    seen = {}
    original = piece._inputs
    monkeypatch.setattr(
        piece, "_inputs", lambda case, shapes, device: seen.setdefault(shapes, original(case, shapes, device))
    )
    built = piece._module
    monkeypatch.setattr(piece, "_module", lambda *arguments: seen.setdefault("module", built(*arguments)))
    work = task(phases=("training",), batches=(2,))
    work.run()
    (inputs,) = seen[((2, 512, 5, 6),)]
    assert inputs.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in seen["module"].parameters())


def test_a_networks_step_moves_its_weights_and_the_warm_up_leaves_no_gradients(monkeypatch):
    seen = {}
    built = piece.build_network
    monkeypatch.setattr(piece, "build_network", lambda *arguments: seen.setdefault("model", built(*arguments)))
    work = task(parts=("network",), phases=("training",), batches=(2,))
    work.warm_up()
    assert all(parameter.grad is None for parameter in seen["model"].parameters())
    before = seen["model"].backbone.state_dict()["layer1.0.conv1.weight"].clone()
    work.run()
    assert not torch.equal(before, seen["model"].backbone.state_dict()["layer1.0.conv1.weight"])


@pytest.mark.parametrize(("form", "expected"), [("reference", "reference"), ("fast", "fast")])
def test_form_is_set(form, expected):
    case = one(names=("danet",), implementations=(form,))
    module = piece._module(case, cases.prepare(case, "cpu"), "cpu")
    forms = {child.implementation for child in module.modules() if hasattr(child, "implementation")}
    assert forms == {expected}


def test_inputs_have_the_memory_format_and_arithmetic_of_the_case():
    case = one(channels_last=(True,), dtypes=("bf16",))
    (features,) = piece._inputs(case, ((2, 8, 5, 6),), "cpu")
    assert features.dtype == torch.bfloat16
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_features_are_as_large_as_the_case_says():
    shapes = ((1, 8, 5, 6),)
    features = []
    for scale in (1.0, 10.0):
        torch.manual_seed(0)
        features += piece._inputs(one(feature_scales=(scale,)), shapes, "cpu")
    assert torch.equal(features[1], 10 * features[0])


def test_inputs_are_the_same_in_every_process():
    torch.manual_seed(7)
    first = task(names=("ccnet",)).run()
    torch.manual_seed(8)
    assert torch.equal(first, task(names=("ccnet",)).run())
