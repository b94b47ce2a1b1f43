"""What the record says about the start of a network with pretrained weights."""

import pytest
from safetensors.torch import load_file

from segattn import records
from segattn.model import build_model
from segattn.training.start import start_of
from segattn.training.train import train
from tests import tiny

SHORT = {"validate_every": 0, "evaluation": {"examples": 0, "strata": False}}


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A run of several controlled heads, so that it can be a trunk with and without a mechanism."""
    out = tmp_path_factory.mktemp("trunk") / "several"
    model = {"head_options": {"names": ["fcn", "ccnet"], "channels": 8}, "auxiliary_weight": 0.0}
    several = tiny.experiment("segattn.heads.parts.several", model=model, optimization={"iterations": 1}, **SHORT)
    train(several, out, device="cpu")
    return out


def on(trunk, head, init_head="trunk", **changes):
    model = {"mode": "controlled", "pretrained": str(trunk), "init_head": init_head}
    return tiny.experiment(head, model=model, optimization={"train": "head", "iterations": 1}, **SHORT, **changes)


def started(config):
    return start_of(config, build_model(config.network, 19, seed=config.seed))


@pytest.mark.parametrize(("head", "identity"), [("non_local", True), ("isanet", False), ("reconet", False)])
def test_heads_that_start_as_the_trunk_are_told_from_those_that_do_not(trunk, tmp_path, head, identity):
    small = tmp_path / "small"  # the FCN of the trunk alone has no mechanism to hand on
    train(on(trunk, "fcn"), small, device="cpu")
    start = started(on(small, head))
    assert start.from_pretrained == f"backbone from {small}; head: sandwich from there, attention at random"
    assert (start.init_head, start.identity) == ("trunk", identity)


def test_nothing_is_tried_where_no_mechanism_starts_at_random(trunk):
    assert started(on(trunk, "fcn")).identity is None
    whole = started(on(trunk, "ccnet"))  # its mechanism was trained with the trunk
    assert (whole.identity, whole.from_pretrained.endswith("the whole head from there")) == (None, True)
    plain = started(on(trunk, "isanet", init_head="random"))
    assert (plain.init_head, plain.identity) == ("random", None)
    assert plain.from_pretrained.endswith("; head at random")


def test_random_weights_have_no_start():
    assert started(tiny.experiment("ccnet")) is None


def test_the_record_has_it_and_training_is_as_without(trunk, tmp_path, monkeypatch):
    record = train(on(trunk, "isanet"), tmp_path / "run", device="cpu")
    assert records.read(tmp_path / "run/record.json").start == record.start
    assert record.start.init_head == "trunk"
    monkeypatch.setattr("segattn.training.start.start_of", lambda config, model: None)
    train(on(trunk, "isanet"), tmp_path / "without", device="cpu")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "without"))
    assert all((a[name] == b[name]).all() for name in a)
