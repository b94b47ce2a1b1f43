import json
import os

import pytest
import torch
from safetensors.torch import save_file

from segattn import checkpoint, load_model
from segattn.backbones import pretrained
from segattn.model import build_model
from segattn.records import integrity
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
    raw = json.loads((run / "config.json").read_text())
    del raw["weights"]  # that version wrote no digest
    raw["format"] = 1
    (run / "config.json").write_text(json.dumps(raw))
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


def change_config(run, **changes):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("at", [0, 9, 300, -1000, -1], ids=str)
def test_flipped_bit_in_the_weights_is_refused(saved, at):
    path = saved[1] / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors: (changed since it was written|not a readable)"):
        load_model(saved[1])


def test_weights_of_version_0_1_0_load_without_a_digest(saved):
    raw = json.loads((saved[1] / "config.json").read_text())
    assert raw.pop("weights").keys() == {"size_bytes", "sha256"}
    (saved[1] / "config.json").write_text(json.dumps(raw | {"format": 1}))
    assert torch.equal(load_model(saved[1]).head.attention.gamma, saved[0].head.attention.gamma)


@pytest.mark.parametrize("wrong", [None, 0, 3, "2", [], {"a": 1}])
def test_another_format_is_refused(saved, wrong):
    change_config(saved[1], format=wrong)
    with pytest.raises(ValueError, match=r"config\.json: format .*; this version reads 1 and 2"):
        load_model(saved[1])


def test_configuration_that_has_lost_the_digest_is_refused(saved):
    raw = json.loads((saved[1] / "config.json").read_text())
    del raw["weights"]
    (saved[1] / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"model\.safetensors: config\.json beside it has no size_bytes and sha256"):
        load_model(saved[1])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([float("nan")]), "gamma is not finite; the file is damaged, or its training diverged"),
        (torch.tensor([3]), r"other type head\.attention\.gamma"),
        (torch.tensor([True]), r"other type head\.attention\.gamma"),
    ],
    ids=["nan", "int", "bool"],
)
def test_weight_that_is_no_number_is_refused(saved, value, message):
    path = saved[1] / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in checkpoint.read_tensors(path).items()}
    state["head.attention.gamma"] = value.reshape(state["head.attention.gamma"].shape)
    save_file(state, path)
    change_config(saved[1], weights=integrity.digest(path))
    with pytest.raises(ValueError, match=message):
        load_model(saved[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["road", "sky", "road"]}, "class name 'road' is given twice"),
        ({"class_names": "abc"}, "class_names should be a list of 1 to 255 names"),
        ({"class_names": [1, 2, 3]}, "class_names should be a list of 1 to 255 names"),
        ({"class_names": []}, "class_names should be a list of 1 to 255 names"),
        ({"palette": [[1, 2, 3]] * 2}, "palette should have a colour"),
        ({"palette": [[1, 2, 300]] * 3}, "palette should have a colour"),
        ({"palette": [[True, 2, 3]] * 3}, "palette should have a colour"),
        ({"palette": 7}, "palette should have a colour"),
        ({"weights": {"sha256": "0"}}, "has no size_bytes and sha256"),
        ({"weights": []}, "has no size_bytes and sha256"),
        ({"experiment": None}, "not an experiment"),
    ],
    ids=str,
)
def test_configuration_of_another_form_is_one_line(saved, changes, message):
    change_config(saved[1], **changes)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(saved[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "option", "value", "message"),
    [
        ("head_options", "channels", 10**12, "option channels is 1000000000000; at most 65536"),
        ("head_options", "channels", 60_000, "describes a network of .* numbers, but its weights are"),
        ("head_options", "channels", 0, r"config\.json: head 'ccnet' with channels=0 is not possible"),
        ("head_options", "channels", -3, r"config\.json: "),
        ("head_options", "channels", "many", r"config\.json: "),
        ("head_options", "channels", {"a": []}, r"config\.json: "),
        ("backbone_options", "width", 1e300, r"config\.json: "),
        ("backbone_options", "width", None, r"config\.json: "),
    ],
    ids=str,
)
def test_network_that_cannot_be_built_is_one_line(saved, section, option, value, message):
    raw = json.loads((saved[1] / "config.json").read_text())
    raw["experiment"]["model"][section][option] = value
    (saved[1] / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=message) as caught:
        load_model(saved[1])
    assert "\n" not in str(caught.value)


def test_network_that_is_not_finite_is_not_saved(tmp_path):
    experiment = tiny.experiment("ccnet")
    model = build_model(experiment.model, 3)
    torch.nn.init.constant_(model.head.attention.gamma, float("nan"))
    with pytest.raises(ValueError, match=r"is not written, because head\.attention\.gamma is not finite"):
        checkpoint.save_model(model, tmp_path / "run", experiment=experiment, class_names=NAMES, palette=PALETTE)
    assert not (tmp_path / "run").exists()


def test_run_whose_weights_changed_is_nothing_to_start_from(saved):
    path = saved[1] / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    experiment = tiny.experiment("ccnet", model={"pretrained": str(saved[1])})
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file whose SHA-256 config\.json has"):
        build_model(experiment.model, 3)


def test_hidden_folder_is_no_run_of_a_study(saved):
    study = saved[1].parent
    (study / ".ipynb_checkpoints").mkdir()
    for file in saved[1].iterdir():
        (study / ".ipynb_checkpoints" / file.name).write_bytes(file.read_bytes())
    assert checkpoint.find_runs(study) == [saved[1]]
    assert pretrained.read(study, head="ccnet", mode="faithful").where == str(saved[1])


@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_model_has_the_mode_of_an_ordinary_file(umask, saved, tmp_path):
    before = os.umask(umask)
    try:
        checkpoint.save_model(
            saved[0], tmp_path / "again", experiment=tiny.experiment("ccnet"), class_names=NAMES, palette=PALETTE
        )
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "again").iterdir()}
    assert modes == {"config.json": 0o666 & ~umask, "model.safetensors": 0o666 & ~umask}
