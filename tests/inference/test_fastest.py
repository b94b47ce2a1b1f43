"""The fastest form of a network: what is timed, chosen and left out."""

import time

import numpy as np
import pytest
import torch
from torch import nn

import segattn
from segattn.inference import fastest, forms
from tests.inference.test_optimized import trained_looking


@pytest.fixture(scope="module")
def model():
    return trained_looking("ccnet")


class Delayed(nn.Module):
    """The network, later."""

    def __init__(self, network, seconds, error=0.0):
        super().__init__()
        self.network, self.seconds, self.error = network, seconds, error

    def forward(self, images):
        time.sleep(self.seconds)
        return self.network(images) + self.error


@pytest.fixture
def delayed(monkeypatch):
    """Each form takes as long as it is told to, and adds an error to the logits."""
    told = {}

    def build(model, form, folder, calibration):
        if isinstance(told[form], Exception):
            raise told[form]
        return Delayed(model, *told[form])

    monkeypatch.setattr(forms, "build", build)
    monkeypatch.setattr(forms, "missing", lambda form, device: "no compiler" if form == "inductor" else "")
    return told


def test_the_fastest_is_returned_and_the_others_are_told(model, delayed):
    delayed |= {"eager": (0.3,), "optimized": (0.0,), "onnx": (0.6,)}
    network = segattn.fastest(model, (33, 41), candidates=["eager", "inductor", "onnx", "optimized"], rounds=1)
    assert network.seconds == 0.0
    choice = network.choice
    assert (choice.form, list(choice.milliseconds)) == ("optimized", ["optimized", "eager", "onnx"])
    assert choice.milliseconds["onnx"] >= 600
    assert choice.left_out == {"inductor": "no compiler"}
    assert str(choice).startswith("optimized is the fastest at 33x41, batch 1\n  optimized: ")
    assert "inductor: left out, no compiler" in str(choice)


def test_a_form_that_fails_or_computes_something_else_is_left_out(model, delayed):
    delayed |= {"eager": (0.1,), "optimized": (0.0, 1.0), "onnx": RuntimeError("no such operator\nTraceback")}
    choice = segattn.fastest(model, (33, 41), candidates=["eager", "optimized", "onnx"], rounds=1).choice
    assert choice.form == "eager"
    assert "its logits differ from the network's by" in choice.left_out["optimized"]
    assert "no such operator" in choice.left_out["onnx"]
    assert "\n" not in choice.left_out["onnx"]


def test_int8_is_timed_only_where_it_is_named(model, delayed):
    delayed |= dict.fromkeys(forms.FORMS, (0.0,))
    assert "int8" not in segattn.fastest(model, (33, 41), rounds=1).choice.milliseconds
    image = np.zeros((33, 41, 3), np.uint8)
    timed = segattn.fastest(model, (33, 41), candidates=["int8"], calibration=[image], rounds=1).choice
    assert timed.form == "int8"


def test_the_chosen_network_computes_what_the_network_does_and_predicts(model):
    network = segattn.fastest(model, (33, 41), candidates=["optimized", "channels-last"], batch_size=2, rounds=2)
    assert network.choice.form in ("optimized", "channels-last")
    images = torch.randn(1, 3, 57, 89)
    with torch.no_grad():
        expected = model(images)
    torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-3 * expected.std().item())
    labels = segattn.predict(network, np.zeros((33, 41, 3), np.uint8)).labels
    assert labels.shape == (33, 41)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": ["tensorrt"]}, "unknown form 'tensorrt'"),
        ({"candidates": ["int8"]}, "int8 needs calibration images"),
        ({"batch_size": 0}, "batch_size 0 and rounds 5 should be at least 1"),
        ({"rounds": 0}, "should be at least 1"),
    ],
)
def test_mistakes_are_told(model, settings, message):
    with pytest.raises(ValueError, match=message):
        fastest.fastest(model, (33, 41), **settings)


def test_only_the_network_itself_is_taken(model):
    with pytest.raises(ValueError, match="OptimizedModel has one form; give the network of load_model"):
        segattn.fastest(segattn.optimize(model), (33, 41))


def test_nothing_possible_is_an_error_that_says_why(model, delayed):
    with pytest.raises(ValueError, match="no form is possible: no compiler"):
        segattn.fastest(model, (33, 41), candidates=["inductor"])
