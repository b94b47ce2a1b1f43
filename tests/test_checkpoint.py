import json

import pytest
import torch
from safetensors.torch import save_file

from segattn import checkpoint, load_model
from segattn.checkpoint import Snapshot, latest_snapshot, save_snapshot
from segattn.model import build_model
from tests import tiny

NAMES = ["road", "sky", "tree"]
PALETTE = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]


@pytest.fixture
def saved(tmp_path):
    """A model with moved running statistics and the folder that it was saved into."""
    torch.manual_seed(0)
    experiment = tiny.experiment("ccnet", model={"pretrained": None})
    model = build_model(experiment.model, 3).train()
    model(torch.randn(2, 3, 33, 41))
    model.to(memory_format=torch.channels_last)
    checkpoint.save_model(model.eval(), tmp_path / "run", experiment=experiment, class_names=NAMES, palette=PALETTE)
    return model, tmp_path / "run"


def test_model_survives_its_files_bit_by_bit(saved):
    model, run = saved
    expected, found = model.state_dict(), load_model(run).state_dict()
    assert {name: value.dtype for name, value in found.items()} == {name: v.dtype for name, v in expected.items()}
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@torch.no_grad()
def test_loaded_model_predicts_what_the_saved_one_does(saved):
    images = torch.randn(1, 3, 47, 33)
    # Other memory format, other order of sums.
    assert torch.allclose(load_model(saved[1])(images), saved[0](images), rtol=1e-4, atol=1e-6)


def test_loaded_model_is_ready_for_prediction_and_knows_its_classes(saved):
    found = load_model(saved[1])
    assert not found.training
    assert found.class_names == ("road", "sky", "tree")
    assert found.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert found.experiment == tiny.experiment("ccnet")


def test_saved_folder_holds_two_files_and_no_left_over(saved):
    assert sorted(path.name for path in saved[1].iterdir()) == ["config.json", "model.safetensors"]


def test_model_of_a_pretrained_backbone_loads_without_that_file(saved):
    raw = json.loads((saved[1] / "config.json").read_text())
    raw["experiment"]["model"]["pretrained"] = "gone.pth"
    (saved[1] / "config.json").write_text(json.dumps(raw))
    assert torch.equal(load_model(saved[1]).head.attention.gamma, saved[0].head.attention.gamma)


def test_controlled_danet_of_version_0_1_0_loads(tmp_path):
    """It had both attentions one module deeper, in `attention.dual`."""
    experiment = tiny.experiment("danet", model={"mode": "controlled"})
    model = build_model(experiment.model, 3).eval()
    torch.nn.init.constant_(model.head.attention.position.gamma, 0.7)
    run = checkpoint.save_model(model, tmp_path / "run", experiment=experiment, class_names=NAMES, palette=PALETTE)
    state = checkpoint.read_tensors(run / "model.safetensors")
    old = {name.replace("head.attention.", "head.attention.dual."): value for name, value in state.items()}
    save_file(old, run / "model.safetensors")
    assert "head.attention.dual.position.gamma" in old
    assert load_model(run).head.attention.position.gamma.item() == pytest.approx(0.7)


def test_truncated_weights_are_refused(saved):
    path = saved[1] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a readable safetensors file.*truncated"):
        load_model(saved[1])


def test_missing_weights_are_named(saved):
    (saved[1] / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors: no such file"):
        load_model(saved[1])


@pytest.mark.parametrize("place", ["", "nowhere", "run/model.safetensors"])
def test_folder_without_a_model_is_named(saved, place):
    with pytest.raises(ValueError, match=r"no model here.*give the folder of a finished run"):
        load_model(saved[1].parent / place)


def test_wrong_class_count_is_refused(saved):
    path = saved[1] / "config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "class_names": [*NAMES, "rail"]}))
    with pytest.raises(ValueError, match=r"\(4 classes\): missing none; unexpected none; other shape .*conv\.weight"):
        load_model(saved[1])


def test_weights_of_another_head_are_refused_with_the_names(saved):
    path = saved[1] / "config.json"
    raw = json.loads(path.read_text())
    raw["experiment"]["model"]["head"] = "fcn"
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"missing none; unexpected head\.attention\."):
        load_model(saved[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not the configuration of a segattn model"),
        ('{"class_names": []}', "not the configuration of a segattn model"),
        ('{"class_names": ["a"], "palette": [], "experiment": {"name": "x", "tempo": 3}}', "unknown field tempo"),
    ],
)
def test_damaged_configuration_is_named(saved, text, message):
    (saved[1] / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}"):
        load_model(saved[1])


# Snapshots to resume from


def snapshot(iteration):
    generator = torch.Generator().manual_seed(iteration)
    weight = torch.randn(3, 5, 7, 7, generator=generator).to(memory_format=torch.channels_last)
    return Snapshot(
        iteration=iteration,
        model={"weight": weight, "tracked": torch.tensor(iteration), "half": weight[:, 0].half()},
        optimizer={"weight": 2 * weight},
        random={"cpu": torch.get_rng_state()},
    )


def equal(a, b):
    return a.iteration == b.iteration and all(
        getattr(a, part).keys() == getattr(b, part).keys()
        and all(torch.equal(value, getattr(b, part)[name]) for name, value in getattr(a, part).items())
        for part in ("model", "optimizer", "random")
    )


def test_snapshot_survives_its_files(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_run_without_checkpoints_has_no_snapshot(tmp_path):
    assert latest_snapshot(tmp_path) is None
    assert latest_snapshot(tmp_path / "nowhere") is None


def test_two_newest_snapshots_are_kept(tmp_path):
    for iteration in (9, 10, 100, 99_999_999):
        save_snapshot(snapshot(iteration), tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["iteration-00000100", "iteration-99999999"]
    assert latest_snapshot(tmp_path).iteration == 99_999_999


def test_half_written_snapshot_is_ignored(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    (tmp_path / "checkpoints" / ".writing-00000007").mkdir()
    (tmp_path / "checkpoints" / ".writing-00000007" / "model.safetensors").write_bytes(b"half")
    assert latest_snapshot(tmp_path).iteration == 5
    save_snapshot(snapshot(7), tmp_path)  # and is overwritten
    assert equal(latest_snapshot(tmp_path), snapshot(7))


@pytest.mark.parametrize("failing", ["save_file", "_sync"])
def test_failure_while_writing_leaves_the_last_snapshot(failing, tmp_path, monkeypatch):
    save_snapshot(snapshot(5), tmp_path)
    genuine, calls = getattr(checkpoint, failing), []

    def fail_at_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return genuine(*arguments)

    monkeypatch.setattr(checkpoint, failing, fail_at_second)
    with pytest.raises(OSError, match="No space left"):
        save_snapshot(snapshot(7), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_same_iteration_can_be_saved_again(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    save_snapshot(snapshot(5), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_tied_tensors_are_both_kept(tmp_path):
    shared = torch.arange(6.0)
    tied = Snapshot(iteration=1, model={"a": shared, "b": shared[2:]}, optimizer={}, random={})
    save_snapshot(tied, tmp_path)
    assert equal(latest_snapshot(tmp_path), tied)


@pytest.mark.parametrize("name", ["state.json", "model.safetensors"])
def test_damaged_snapshot_is_named(name, tmp_path):
    folder = save_snapshot(snapshot(5), tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:7])
    with pytest.raises(ValueError, match=r"iteration-00000005.*(damaged|not a readable)"):
        latest_snapshot(tmp_path)
