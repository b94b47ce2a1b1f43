"""What the record says about the start of a network with pretrained weights."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from segattn import checkpoint, records
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


def finetuned(source, head="ccnet", **changes):
    changes = {"optimization": {"iterations": 1}, **SHORT, **changes}
    return dataclasses.replace(tiny.experiment(head, **changes), init_from=str(source))


def test_init_from_is_printed_recorded_and_takes_the_place_of_pretrained(tmp_path):
    first, notices = tmp_path / "first", []
    train(tiny.experiment("ccnet", optimization={"iterations": 1}, **SHORT), first, device="cpu")
    config = finetuned(first, model={"pretrained": "no/such/file"})  # never read
    record = train(config, tmp_path / "second", device="cpu", on_notice=notices.append)
    assert notices[-2] == "init_from takes the place of model.pretrained, which is no/such/file"
    assert notices[-1].startswith(
        f"Start from {first} (ccnet, faithful, on resnet18)\n  loaded     tensors of backbone 110"
    )
    start = records.read(tmp_path / "second/record.json").start
    assert start == record.start
    assert start.from_pretrained == f"backbone, head, auxiliary from {first}; classifier: all 19 classes"
    assert start.loaded["head"][0] == start.loaded["head"][1]
    assert (start.classes, start.skipped, start.random) == (record.class_names, [], [])


def test_the_first_step_starts_from_those_weights(tmp_path):
    first = tmp_path / "first"
    train(tiny.experiment("ccnet", optimization={"iterations": 1}, **SHORT), first, device="cpu")
    still = finetuned(first, optimization={"iterations": 1, "lr": 1e-12, "min_lr": 0.0, "freeze_norm": True})
    train(still, tmp_path / "second", device="cpu")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all((a[name] - b[name]).abs().max() < 1e-6 for name in a if not name.endswith("num_batches_tracked"))


def test_head_only_training_starts_from_it_too(tmp_path):
    first = tmp_path / "first"
    train(tiny.experiment("fcn", optimization={"iterations": 1}, **SHORT), first, device="cpu")
    train(finetuned(first, optimization={"iterations": 1, "train": "head"}), tmp_path / "second", device="cpu")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all((a[name] == b[name]).all() for name in b if name.startswith("backbone."))


@pytest.mark.parametrize("names", [("road", "sky", "x"), ("sky", "road", "x", "y")])
def test_a_trunks_classifier_is_taken_by_the_names_of_the_classes(tmp_path, names):
    experiment = tiny.experiment("fcn", model={"auxiliary_weight": 0.0})
    torch.manual_seed(5)
    model = build_model(experiment.model, 3)
    run = checkpoint.save_model(
        model, tmp_path / "run", experiment=experiment, class_names=["sky", "road", "car"], palette=[(0, 0, 0)] * 3
    )
    changed = dataclasses.replace(experiment.model, pretrained=str(run), init_head="trunk")
    started = build_model(changed, len(names), class_names=names)
    weight, before = started.head.sandwich.classify.conv.weight, model.head.sandwich.classify.conv.weight
    assert torch.equal(weight[names.index("sky")], before[0])
    assert torch.equal(weight[names.index("road")], before[1])
    assert not torch.equal(weight[names.index("x")], before[2])
    counts = f"classifier: 2 of {len(names)} classes by name, {len(names) - 2} at random"
    assert started.started_from == f"backbone from {run}; {counts}; the whole head from there"
