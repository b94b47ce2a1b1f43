"""Loading runs no code: whatever a file names as head or data set, no command imports it without the user's own word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import segattn
from segattn import catalogue, checkpoint, config
from segattn.cli import main
from segattn.demo import networks
from tests.places import ROOT
from tests.trust.conftest import PACKAGE, Watch, change

HEAD = """
from segattn.heads.ccnet import *
open("ran", "a").write("x")
"""
DATA = """
open("ran", "a").write("x")
from segattn.data import streets
def load(split, *, root=None, height=32, width=64, num_images=3):
    return streets.load(split, root=root, height=height, width=width, num_images=num_images)
"""


def name_head(experiment: dict[str, Any]) -> None:
    experiment["model"]["head"] = f"{PACKAGE}.tenth"


def name_data(experiment: dict[str, Any]) -> None:
    experiment["data"]["name"] = f"{PACKAGE}.scenes"


def name_member(experiment: dict[str, Any]) -> None:
    """A head of segattn that takes names of heads."""
    experiment["model"] |= {"head": "segattn.heads.parts.several", "mode": "faithful"}
    experiment["model"]["head_options"] = {"names": ["fcn", f"{PACKAGE}.tenth"], "per_step": 1}


PLACES = {"head": name_head, "data": name_data, "member": name_member}


@pytest.fixture
def hostile(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder as the working directory, with the package `weights` beside the weights."""
    run = copy / "ccnet-faithful-s0"
    (run / PACKAGE).mkdir()
    (run / PACKAGE / "__init__.py").write_text("open('ran', 'a').write('x')")
    (run / PACKAGE / "tenth.py").write_text(HEAD)
    (run / PACKAGE / "scenes.py").write_text(DATA)
    monkeypatch.chdir(run)
    return run


def poison(run: Path, place: str) -> None:
    """Let every file of the run and of its study name the package."""
    alter = PLACES[place]
    change(run / "config.json", lambda raw: alter(raw["experiment"]))
    change(run / "experiment.json", alter)
    change(run / "record.json", lambda raw: alter(raw["config"]))
    if place == "head":
        change(run / "record.json", lambda raw: raw.update(head=f"{PACKAGE}.tenth"))
        change(run.parent / "study.json", lambda raw: [cost.update(head=f"{PACKAGE}.tenth") for cost in raw["costs"]])


def commands(run: Path, photo: Path, out: Path) -> dict[str, list[str]]:
    """Every command that reads a run or an experiment; ends well or with a mistake."""
    file = str(run / "experiment.json")
    return {
        "predict": ["predict", ".", str(photo), "-o", str(out)],
        "evaluate": ["evaluate", ".", "--device", "cpu"],
        "evaluate without attention": ["evaluate", ".", "--without-attention"],
        "maps": ["maps", ".", "--image", str(photo), "--pixel", "3,3", "-o", str(out / "maps.png")],
        "maps of the study": [
            "maps",
            str(run.parent),
            "--image",
            str(photo),
            "--pixel",
            "3,3",
            "-o",
            str(out / "m.png"),
        ],
        "convert": ["convert", "to-mmseg", ".", "-o", str(out / "network.pth")],
        "train": ["train", file, "--out", str(out / "run"), "--device", "cpu"],
        "data features": ["data", "features", file, "--dry-run", "-o", str(out)],
        "plan": ["plan", str(run.parent), "--budget", "100GFLOPs", "--heads", "fcn", "--dataset", "streets"],
    }


LOADING = ["predict", "evaluate", "evaluate without attention", "maps", "maps of the study", "convert"]


@pytest.mark.long("head")
@pytest.mark.parametrize("place", PLACES)
def test_no_command_imports_what_a_file_names(
    place: str, hostile: Path, photo: Path, watch: Watch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(hostile, place)
    refused = {*LOADING, "train"} | ({"data features"} if place != "head" else set())
    for command, words in commands(hostile, photo, tmp_path / "out").items():
        code, printed = main(words), capsys.readouterr().err
        assert watch.asked == [], f"{command} asked for {watch.asked}"
        assert "Traceback" not in printed
        if command in refused:
            assert code == 2, command
            assert printed.count("\n") == 1, printed
            assert f"the module {PACKAGE}." in printed, printed
            assert f"--allow-module {PACKAGE}." in printed
            assert f"allow_modules=('{PACKAGE}." in printed
            assert ".json: " in printed  # the file that names it
    assert not (hostile / "ran").exists()


@pytest.mark.long("head")
@pytest.mark.parametrize("place", PLACES)
def test_reports_import_nothing_and_need_no_word(
    place: str, hostile: Path, watch: Watch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(hostile, place)
    (hostile / "torch.py").write_text("open('ran', 'a').write('x')")
    study, out = str(hostile.parent), str(tmp_path / "report")
    assert main(["report", study, "-o", out]) == 0
    named = f"{study}:{PACKAGE}.tenth" if place == "head" else f"{study}:ccnet"
    assert main(["compare", named, f"{study}:fcn", "-o", out]) == 0
    assert watch.asked == []
    assert not (hostile / "ran").exists()


@pytest.mark.long
def test_study_of_a_file_imports_what_was_typed_only(
    hostile: Path, watch: Watch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(hostile, "data")
    command = ["study", "experiment.json", "--heads", "fcn", "-o", str(tmp_path / "s"), "--device", "cpu"]
    assert main(command) == 2
    assert watch.asked == []
    assert f"names the module {PACKAGE}.scenes as its data set" in capsys.readouterr().err
    assert main([*command, "--data.name", f"{PACKAGE}.scenes"]) == 0
    assert f"{PACKAGE}.scenes" in watch.asked


@pytest.mark.long("tenth")
@pytest.mark.parametrize("module", [f"{PACKAGE}.tenth", PACKAGE])
def test_the_users_word_lets_a_module_of_ones_own_load(
    module: str, hostile: Path, photo: Path, tmp_path: Path, watch: Watch
) -> None:
    poison(hostile, "head")
    for command in LOADING[:5]:
        words = commands(hostile, photo, tmp_path / "out")[command]
        assert main([*words, "--allow-module", module]) == 0, command
    assert (hostile / "ran").exists()
    assert segattn.load_model(hostile, allow_modules=(module,)).experiment is not None


@pytest.mark.long
@pytest.mark.parametrize("word", [["--head", f"{PACKAGE}.tenth"], [f"--model.head={PACKAGE}.tenth"], ["--head", "fcn"]])
def test_train_takes_the_name_that_was_typed(word: list[str], hostile: Path, tmp_path: Path, watch: Watch) -> None:
    poison(hostile, "head")
    assert main(["train", "experiment.json", *word, "-o", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert bool(watch.asked) == ("fcn" not in word)


@pytest.mark.parametrize("word", ["other", f"{PACKAGE}.ten", f"{PACKAGE}.tenth.x", "weight", "", "."])
def test_another_word_does_not(word: str, hostile: Path, watch: Watch) -> None:
    poison(hostile, "head")
    with pytest.raises(ValueError, match="would run its code"):
        segattn.load_model(hostile, allow_modules=(word,))
    assert watch.asked == []


def test_modules_of_segattn_need_no_word_but_lie_inside_the_package() -> None:
    catalogue.refuse_modules("head", ["segattn.heads.parts.several"])
    for name in (
        "segattn.evil",
        "segattn.heads.evil",
        "segattn.heads.ccnet.x",
        "segattn_evil.heads",
        "segattn.__init__.x",
    ):
        with pytest.raises(ValueError, match=f"names the module {name} as its head"):
            catalogue.refuse_modules("head", [name])


def test_a_file_beside_a_package_of_segattn_in_the_working_directory_is_not_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "segattn/heads").mkdir(parents=True)
    (tmp_path / "segattn/heads/evil.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="would run its code"):
        catalogue.refuse_modules("head", ["segattn.heads.evil"])


@pytest.mark.slow
def test_nothing_in_the_working_directory_shadows_what_segattn_imports(
    study: Path, photo: Path, tmp_path: Path
) -> None:
    """`python -m segattn` as typed in a run's folder, which holds a torch.py."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("torch", "yaml", "msgspec", "rich"):
        (folder / f"{name}.py").write_text("open('ran', 'a').write('x')")
    words = ["predict", str(study / "ccnet-faithful-s0"), str(photo), "-o", str(tmp_path / "out"), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "segattn", *words], cwd=folder, env=environment, timeout=120)
    assert done.returncode == 0
    assert not (folder / "ran").exists()


def test_the_explorer_loads_no_code_either(hostile: Path, watch: Watch) -> None:
    poison(hostile, "head")
    with pytest.raises(ValueError, match=f"names the module {PACKAGE}.tenth as its head"):
        networks.load("own", hostile, "cpu")
    assert watch.asked == []
    assert networks.load("own", hostile, "cpu", allow_modules=(PACKAGE,)).cost((32, 64)).head == f"{PACKAGE}.tenth"


@pytest.mark.long
def test_weights_of_a_trunk_import_nothing(hostile: Path, watch: Watch, tmp_path: Path) -> None:
    """`model.pretrained` names a run; only its tensors are read."""
    poison(hostile, "head")
    experiment = config.from_dict(checkpoint.read_config(hostile)["experiment"], allow_modules=None)
    model = segattn.create_model(
        "fcn", num_classes=5, pretrained=hostile, init_head="trunk", backbone="resnet18",
        backbone_options=experiment.model.backbone_options, head_options={"channels": 8},
    )  # fmt: skip
    assert model.started_from
    assert watch.asked == []
