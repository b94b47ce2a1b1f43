"""Whatever a network can start from is read, and what is not one is refused in one line."""

import json
import os
import shutil

import pytest
import torch

from segattn import checkpoint
from segattn.convert import source
from segattn.convert.mmseg_file import export_file
from segattn.model import build_model
from tests import tiny
from tests.convert.fabricate_mmseg import segmentor

NAMES = ["road", "sky", "tree"]


@pytest.fixture
def run(tmp_path):
    """A trained network's folder, in one that is named with a space."""
    experiment = tiny.experiment("ccnet", model={"auxiliary_weight": 0.4})
    torch.manual_seed(1)
    model = build_model(experiment.model, 3)
    return checkpoint.save_model(
        model,
        tmp_path / "my runs" / "ccnet-faithful-s0",
        experiment=experiment,
        class_names=NAMES,
        palette=[(0, 0, 0)] * 3,
    )


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


def test_run_its_file_and_its_study_are_the_same_network(run):
    of_run = source.read(run)
    assert (of_run.class_names, of_run.network["head"], of_run.where) == (NAMES, "ccnet", str(run))
    assert any(name.startswith("auxiliary.") for name in of_run.state)
    for where in (run / "model.safetensors", run.parent):
        assert same(source.read(where, head="ccnet", mode="faithful", seed=0).state, of_run.state)


def test_a_study_without_that_run_lists_what_it_has(run):
    with pytest.raises(ValueError, match=r"no run of danet, faithful, seed 0; give one of its runs: ccnet-faithful-s0"):
        source.read(run.parent, head="danet", mode="faithful", seed=0)


def test_of_a_large_study_the_most_similar_runs_are_named(run, tmp_path):
    ours = json.loads((run / "config.json").read_text())
    for head, mode, seed in (
        *(("ccnet", "controlled", seed) for seed in range(9)),
        ("fcn", "faithful", 0),
        ("fcn", "controlled", 1),
    ):
        folder = tmp_path / f"{head}-{mode}-s{seed}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        experiment = ours["experiment"] | {
            "seed": seed,
            "model": ours["experiment"]["model"] | {"head": head, "mode": mode},
        }
        (folder / "config.json").write_text(json.dumps(ours | {"experiment": experiment}))
    with pytest.raises(ValueError, match="no run of fcn, controlled, seed 3") as raised:
        source.read(tmp_path, head="fcn", mode="controlled", seed=3)
    named = ", ".join(["fcn-controlled-s1", "fcn-faithful-s0", *(f"ccnet-controlled-s{seed}" for seed in range(3))])
    assert str(raised.value).endswith(f"give one of its runs: {named} and 6 more")


def test_a_changed_run_is_refused(run):
    with (run / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(ValueError, match=r"model.safetensors: changed since it was written"):
        source.read(run)


@pytest.fixture
def exported(run, tmp_path):
    """The same network as mmsegmentation has it, with its configuration inside."""
    folder = tmp_path / "work dir"
    folder.mkdir()
    export_file(run, folder / "iter_100.pth")
    return folder


def test_mmsegmentation_is_read_from_the_file_and_from_its_folder(run, exported):
    expected = source.read(run)
    for where in (exported / "iter_100.pth", exported):
        network = source.read(where)
        assert same(network.state, expected.state)
        assert (network.class_names, network.network["head"]) == (NAMES, "ccnet")
        assert network.network["output_stride"] == expected.network["output_stride"]


def test_of_several_checkpoints_the_named_one_is_taken(exported):
    shutil.copy(exported / "iter_100.pth", exported / "iter_50.pth")
    with pytest.raises(ValueError, match=r"which of its checkpoints is meant\? Give one of iter_100.pth, iter_50.pth$"):
        source.read(exported)
    (exported / "last_checkpoint").write_text("/somewhere/else/iter_50.pth\n")
    assert source.read(exported).where.endswith("iter_50.pth")


def test_a_checkpoint_without_configuration_takes_the_one_beside_it_or_says_what_is_assumed(tmp_path):
    torch.save({"state_dict": segmentor("ccnet")}, tmp_path / "net.pth")
    assumed = source.read(tmp_path / "net.pth")
    assert assumed.class_names is None
    assert any("put the configuration beside it as net.py" in notice for notice in assumed.notices)
    (tmp_path / "net.py").write_text(
        "model = dict(backbone=dict(type='ResNetV1c'), decode_head=dict(type='CCHead', align_corners=True))"
    )
    assert source.read(tmp_path / "net.pth").network["align_corners"] is True


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_file_of_weights_has_a_backbone_and_says_no_network(run, tmp_path, prefix):
    state = source.read(run).state
    backbone = {
        prefix + name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")
    }
    torch.save({**backbone, f"{'head.' if prefix else ''}fc.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    weights = source.read(tmp_path / "weights.pth")
    assert weights.network is None
    assert {name for name in weights.state if not name.startswith("head.")} == {
        n for n in state if n.startswith("backbone.")
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"is not a folder; give the folder of a finished run"),
        (lambda path: path.mkdir(), r"no trained network and no checkpoint \(\.pth\) of mmsegmentation; give"),
        (lambda path: path.write_bytes(b"no weights"), r"not readable|is not a checkpoint"),
    ],
)
def test_what_is_no_network_is_refused_with_advice(make, message, tmp_path):
    path = tmp_path / "some thing"
    make(path)
    with pytest.raises(ValueError, match=message) as caught:
        source.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(20)
def test_a_pipe_is_no_network(tmp_path):
    os.mkfifo(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth: neither a file nor a folder"):
        source.read(tmp_path / "weights.pth")
