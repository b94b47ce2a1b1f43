"""Networks of the hub: names, downloads from a stand-in on the loopback address, and what is handed over for an upload."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import constants
from PIL import Image

from segattn import checkpoint, cli, create_model, load_model, push_to_hub, zoo
from segattn.convert.source import read as read_source
from segattn.zoo import hub
from tests import tiny
from tests.places import ROOT
from tests.zoo.hub_server import COMMIT, serve

NAMES = ["road", "sky | <b>*", "tree"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run without a record, whose settings name places on this machine."""
    torch.manual_seed(0)
    experiment = tiny.experiment("ccnet", model={"pretrained": "/home/me/weights.pth"}, data={"root": "/home/me/roads"})
    model = create_model(
        "ccnet", num_classes=3, backbone="resnet18", head_options={"channels": 8}, backbone_options={"width": 8}
    )
    return checkpoint.save_model(
        model,
        tmp_path_factory.mktemp("runs") / "ccnet",
        experiment=experiment,
        class_names=NAMES,
        palette=[(1, 2, 3)] * 3,
    )


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("hf://mylab/ccnet-roads", "mylab/ccnet-roads", None),
        ("hf:/mylab/ccnet-roads", "mylab/ccnet-roads", None),  # as a Path has it
        ("hf://mylab/ccnet.v2@refs/pr/1", "mylab/ccnet.v2", "refs/pr/1"),
    ],
)
def test_name_is_a_repository_and_a_revision(text, name, revision):
    assert hub.repository(text) == hub.repository(Path(text)) == hub.Repository(name, revision)
    assert str(hub.repository(text)).startswith("hf://mylab/")


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://ccnet",
        "hf://a/b/c",
        "hf://a/../b",
        "hf://a/..",
        "hf://a /b",
        "hf://a/b@",
        "hf://a/b\nc",
        "hf://ä/b",
    ],
)
def test_name_of_another_form_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="is no repository of the hub; give hf://USER/NAME or hf://USER/NAME@REVISION"):
        hub.repository(text)


def test_folder_of_that_name_comes_first(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.is_on_hub("hf://mylab/ccnet")
    shutil.copytree(run, tmp_path / "hf:/mylab/ccnet")
    assert not hub.is_on_hub("hf://mylab/ccnet")
    assert load_model("hf://mylab/ccnet").class_names == tuple(NAMES)


# Downloads ----------------------------------------------------------------------------------------------------------------
LOADS = """
import json, sys
from segattn import checkpoint, create_model, load_model
for where in sys.argv[1:]:
    try:
        model = load_model(where)
        total = sum(float(value.double().sum()) for value in model.state_dict().values())
        print(json.dumps([where, model.class_names, total, [str(path) for path in checkpoint.find_models(where)]]))
    except ValueError as error:
        print(json.dumps([where, str(error)]))
"""


def loaded(environment, *names):
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {line[0]: line[1:] for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def downloads(run, tmp_path_factory):
    """What a first process got of the hub, what it asked for, and what a second one got offline."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("changed", "other", "code"):
        shutil.copytree(run, folder / name)
    weights = folder / "changed/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (folder / "other/config.json").unlink()
    (folder / "code/modeling.py").write_text("raise SystemExit('code was run')")
    served = {"mylab/ccnet": folder / "code", "mylab/changed": folder / "changed", "mylab/other": folder / "other"}
    environment = {
        "HF_HOME": str(folder / "cache"),
        "HF_TOKEN": "",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with serve(served, revisions=("main", "v1")) as (address, asked):
        online = loaded(
            {**environment, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0"},
            *("hf://mylab/ccnet@v1", "hf://mylab/ccnet", "hf://mylab/ccnet@v2"),
            *("hf://mylab/nothing", "hf://mylab/changed", "hf://mylab/other"),
        )
        seen, asked[:] = list(asked), []
        offline = loaded(
            {**environment, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "1"}, "hf://mylab/ccnet", "hf://mylab/new"
        )
        assert asked == []
    return online, seen, offline


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hf://mylab/ccnet", "hf://mylab/ccnet@v1"])
def test_network_of_the_hub_is_the_one_of_the_folder(downloads, run, name):
    names, total, (folder,) = downloads[0][name]
    expected = sum(float(value.double().sum()) for value in load_model(run).state_dict().values())
    assert names == NAMES
    assert total == expected
    assert sorted(path.name for path in Path(folder).iterdir()) == ["config.json", "model.safetensors"]
    assert Path(folder).name == COMMIT


@pytest.mark.slow
def test_only_description_and_weights_are_asked_for_and_once(downloads):
    files = [path.rpartition("/")[2] for path in downloads[1] if path.startswith("/mylab/ccnet/resolve")]
    assert set(files) == {"config.json", "model.safetensors"}
    assert files.count("model.safetensors") <= 2  # its facts and itself; the second revision is the same commit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://mylab/ccnet@v2", "the repository has no such branch, tag or commit; check what follows the @"),
        (
            "hf://mylab/nothing",
            "the hub has no such repository, or a private one; check the name, or run `hf auth login`",
        ),
        ("hf://mylab/changed", "changed since it was written (its SHA-256 is not the one in config.json)"),
        ("hf://mylab/other", "hf://mylab/other has no config.json, so it is no network of segattn"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(downloads, name, message):
    (error,) = downloads[0][name]
    assert message in error
    assert "\n" not in error


@pytest.mark.slow
def test_offline_the_cache_is_enough_and_what_it_lacks_is_one_line(downloads):
    online, _, offline = downloads
    assert offline["hf://mylab/ccnet"] == online["hf://mylab/ccnet"]
    (error,) = offline["hf://mylab/new"]
    assert error.startswith("hf://mylab/new: HF_HUB_OFFLINE is set, and the network is not in the local cache")
    assert "\n" not in error


def test_hub_is_a_start_for_training_and_a_network_for_every_command(run, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda where: run if hub.repository(where).name == "mylab/ccnet" else None)
    where = "hf://mylab/ccnet"
    weights = load_model(run).backbone.state_dict()
    assert checkpoint.find_models(where) == checkpoint.find_models(Path(where)) == [run]
    assert zoo.source(Path(where)) == run
    small = {"backbone": "resnet18", "head_options": {"channels": 8}, "backbone_options": {"width": 8}}
    model = create_model("fcn", num_classes=3, pretrained=where, **small)
    assert model.started_from.startswith("backbone from hf://mylab/ccnet; head at random")
    assert all(torch.equal(value, weights[name]) for name, value in model.backbone.state_dict().items())
    source = read_source(where, head="ccnet", mode="faithful")
    assert {"head", "backbone"} <= {name.partition(".")[0] for name in source.state}
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "photo.png")
    assert (
        cli.main(["predict", where, str(tmp_path / "photo.png"), "-o", str(tmp_path / "labels"), "--device", "cpu"])
        == 0
    )
    assert (tmp_path / "labels").is_dir()


# Folders that are shared --------------------------------------------------------------------------------------------------
def header(folder):
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_shared_folder_is_the_network_without_places_of_this_machine(run, tmp_path):
    folder = checkpoint.save_pretrained(run, tmp_path / "shared", licence="cc-by-4.0")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    experiment = json.loads((folder / "config.json").read_text())["experiment"]
    assert (experiment["data"]["root"], experiment["model"]["pretrained"]) == ("roads", "weights.pth")
    assert "/home" not in (folder / "README.md").read_text() + (folder / "config.json").read_text()
    first, second = load_model(run).state_dict(), load_model(folder).state_dict()
    assert first.keys() - second.keys() == set()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert header(folder)["license"] == "cc-by-4.0"
    assert "model-index" not in header(folder)
    assert "No scores are recorded" in (folder / "README.md").read_text()


def test_network_in_memory_writes_itself_and_is_loaded_again(tmp_path):
    model = create_model(
        "danet", num_classes=3, backbone="resnet18", head_options={"channels": 8}, backbone_options={"width": 8}
    )
    folder = model.save_pretrained(tmp_path / "my net")
    other = load_model(folder)
    assert other.class_names == ("class 0", "class 1", "class 2")
    assert len(set(other.palette)) == 3
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    again = load_model(other.save_pretrained(tmp_path / "again"))
    assert again.experiment == other.experiment


@pytest.mark.usefixtures("tiny_zoo")
def test_network_of_the_zoo_keeps_its_scores_and_loses_nothing(tmp_path):
    entry = zoo.find("streets/ccnet")
    folder = checkpoint.save_pretrained("streets/ccnet", tmp_path / "shared")
    (result,) = header(folder)["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(entry.mean_iou, abs=1e-6)
    first, second = load_model("streets/ccnet"), load_model(folder)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert load_model(first.save_pretrained(tmp_path / "from memory")).class_names == entry.class_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run, folder: folder.write_text(""), "is a file; give a folder for the network"),
        (lambda run, folder: (folder / "checkpoints").mkdir(parents=True), "is the folder of a run; give another one"),
    ],
)
def test_files_and_runs_are_not_written_over(run, tmp_path, change, message):
    folder = tmp_path / "shared"
    change(run, folder)
    with pytest.raises(ValueError, match=message):
        checkpoint.save_pretrained(run, folder)


def test_record_of_other_weights_is_refused_and_nothing_is_written(run, tmp_path):
    model = load_model(run)
    with torch.no_grad():
        model.head.attention.gamma.add_(1.0)
    with pytest.raises(
        ValueError, match="holds other weights than the network; its scores are not those of the network"
    ):
        model.save_pretrained(tmp_path / "shared", record=run)
    assert not (tmp_path / "shared").exists()


def test_module_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Linear is no network of segattn; give one of load_model or create_model"):
        checkpoint.save_pretrained(torch.nn.Linear(2, 3), tmp_path / "shared")


# Uploads ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def uploads(monkeypatch):
    """What is handed to the hub's client, in order; of `upload_folder` also the files that the folder has then."""
    calls = []

    class Api:
        def create_repo(self, name, **settings):
            calls.append(("create_repo", name, settings))

        def create_branch(self, name, **settings):
            calls.append(("create_branch", name, settings))

        def upload_folder(self, *, folder_path, **settings):
            files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
            calls.append(("upload_folder", settings, files))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_test")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return calls


def test_upload_is_three_files_in_one_commit(run, uploads):
    address = push_to_hub(run, "hf://mylab/ccnet-roads", private=True)
    assert address == f"{constants.ENDPOINT}/mylab/ccnet-roads"
    (_, name, made), (_, settings, files) = uploads
    assert (name, made) == ("mylab/ccnet-roads", {"private": True, "exist_ok": True})
    assert (settings["repo_id"], settings["revision"]) == ("mylab/ccnet-roads", None)
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    card = files["README.md"].decode()
    assert 'segattn.load_model("hf://mylab/ccnet-roads")' in card
    assert "/tmp" not in card


def test_method_uploads_to_a_branch(run, uploads):
    load_model(run).push_to_hub("hf://mylab/ccnet@v2")
    assert [call[0] for call in uploads] == ["create_repo", "create_branch", "upload_folder"]
    assert uploads[1][2]["branch"] == uploads[2][1]["revision"] == "v2"


def test_without_login_or_offline_nothing_is_uploaded(run, uploads, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(ValueError, match="not logged in to the hub; run `hf auth login`, or set HF_TOKEN"):
        push_to_hub(run, "hf://mylab/ccnet")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="nothing is uploaded while HF_HUB_OFFLINE is set"):
        push_to_hub(run, "hf://mylab/ccnet")
    assert uploads == []


def test_command_uploads_or_writes_a_folder(run, uploads, tmp_path, capsys):
    assert cli.main(["push", str(run), "hf://mylab/ccnet", "--license", "mit"]) == 0
    assert "license: mit" in uploads[-1][2]["README.md"].decode()
    assert 'Load it: segattn.load_model("hf://mylab/ccnet")' in capsys.readouterr().out
    assert cli.main(["push", str(run), "-o", str(tmp_path / "my net")]) == 0
    assert load_model(tmp_path / "my net").class_names == tuple(NAMES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hf://mylab"], "hf://mylab is no repository of the hub; give hf://USER/NAME"),
        ([], "segattn push needs hf://USER/NAME to upload to, or --out FOLDER to write to; give one of them"),
        (["hf://a/b", "-o", "x"], "give one of them"),
        (["-o", "x", "--private"], "--private is for a repository of the hub; leave it out with --out"),
    ],
)
def test_mistake_of_the_command_is_a_line(run, words, message, capsys):
    assert cli.main(["push", str(run), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
