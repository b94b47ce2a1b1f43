"""Training that starts from a trunk of the zoo, by name."""

import pytest
import torch
from safetensors.torch import load_file

import segattn
from segattn.convert import source
from segattn.training.train import train
from tests import tiny


def experiment(head, pretrained, **model):
    model = {"mode": "controlled", "pretrained": pretrained, "init_head": "trunk", **model}
    return tiny.experiment(head, model=model, optimization={"train": "head", "iterations": 1}, validate_every=0)


@pytest.mark.usefixtures("tiny_zoo")
@pytest.mark.parametrize("name", ["streets-local", "streets-local/ccnet"])
def test_a_head_starts_from_a_trunk_by_name(tmp_path, name):
    notices = []
    train(experiment("danet", name), tmp_path / "run", device="cpu", on_notice=notices.append)
    assert notices[-1] == "backbone from streets-local of segattn zoo; head: sandwich from there, attention at random"
    shipped = segattn.load_model("streets-local/fcn").state_dict()
    own = load_file(tmp_path / "run/model.safetensors")
    assert all(torch.equal(shipped[key], value) for key, value in own.items() if key.startswith("backbone."))


@pytest.mark.usefixtures("tiny_zoo")
def test_a_trunk_with_another_backbone_is_refused_with_the_difference(tmp_path):
    with pytest.raises(
        ValueError, match=r"streets-local of segattn zoo has another backbone: backbone_options\.width is 8"
    ):
        train(experiment("danet", "streets-local", backbone_options={"width": 16}), tmp_path / "run", device="cpu")


def test_a_name_that_is_nothing_says_what_can_be_given(tmp_path):
    with pytest.raises(
        ValueError, match=r"streets-lokal: no such file; give the folder of a run, a trunk of segattn zoo"
    ):
        train(experiment("danet", "streets-lokal"), tmp_path / "run", device="cpu")


@pytest.mark.usefixtures("tiny_zoo")
def test_the_zoo_gives_the_named_network_or_that_of_the_same_head():
    named = source.read("streets-local/ccnet")
    assert (named.network["head"], named.where) == ("ccnet", "streets-local/ccnet of segattn zoo")
    assert source.read("streets-local", head="ccnet", mode="controlled").where == named.where
    assert source.read("streets-local", head="danet", mode="faithful").network["head"] == "fcn"
    assert any(name.startswith("head.attention.") for name in named.state)
