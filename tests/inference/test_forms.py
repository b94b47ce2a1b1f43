"""One network in every form against itself, and why a form is not possible."""

import shutil
from types import SimpleNamespace

import pytest
import torch

import segattn
from segattn.inference import forms
from tests.inference.test_optimized import trained_looking

SLOW = [pytest.param(form, marks=pytest.mark.long if form == "inductor" else pytest.mark.slow) for form in forms.EXACT]


@pytest.fixture(scope="module")
def model():
    return trained_looking("ccnet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("graphs")


@pytest.mark.parametrize("form", SLOW)
def test_forms_in_fp32_return_the_networks_logits(form, model, folder):
    if reason := forms.missing(form):
        pytest.skip(reason)
    images = torch.randn(1, 3, 57, 89, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, logits = model(images), forms.build(model, form, folder)(images)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3 * expected.std().item())


@pytest.mark.long
def test_onnx_and_openvino_share_a_graph_which_may_go_afterwards(model, tmp_path):
    if reason := forms.missing("openvino"):
        pytest.skip(reason)
    onnx, openvino = (forms.build(model, form, tmp_path) for form in ("onnx", "openvino"))
    (graph,) = tmp_path.iterdir()
    assert graph.name == "fp32.onnx"
    graph.unlink()
    images = torch.randn(1, 3, 65, 33)
    torch.testing.assert_close(openvino(images), onnx(images), rtol=1e-3, atol=1e-3)


def test_unknown_form_is_told_with_those_there_are(model, tmp_path):
    with pytest.raises(ValueError, match="unknown form 'tensorrt'; forms: eager, optimized"):
        forms.missing("tensorrt")
    with pytest.raises(ValueError, match="unknown form 'tensorrt'"):
        forms.build(model, "tensorrt", tmp_path)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert forms.missing("inductor").startswith("inductor needs a C++ compiler")
    monkeypatch.setattr(forms, "fast_types", lambda: {"bf16": [], "int8": []})
    assert "no AVX-512 BF16 or AMX" in forms.missing("bf16")
    assert forms.missing("bf16", "cuda") == ""
    monkeypatch.setattr(
        forms.importlib.util, "find_spec", lambda name: None if name == "openvino" else SimpleNamespace()
    )
    assert forms.missing("openvino") == "openvino needs openvino: pip install openvino"
    monkeypatch.setattr(forms.importlib.util, "find_spec", lambda name: None)
    assert forms.missing("onnx").endswith("pip install 'segattn[export]'")
    assert "use --device cpu" in forms.missing("onnx", "cuda")


def test_the_network_itself_stays_as_it_is(model, tmp_path):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert forms.build(model, "eager", tmp_path) is model
    forms.build(model, "channels-last", tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert isinstance(model, segattn.model.SegmentationModel)
