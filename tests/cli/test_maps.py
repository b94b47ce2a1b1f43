import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segattn import data, zoo
from segattn.cli import main
from segattn.cli.maps import choose, pixel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "street.png"
    Image.fromarray(data.load("streets", "val", height=48, width=80)[0].image).save(path)
    return path


@pytest.fixture(scope="session")
def study(experiment_file, tmp_path_factory):
    """A study of two heads, one without maps, and a second seed that is a copy of the first."""
    out = tmp_path_factory.mktemp("study") / "tiny"
    heads = ["--heads", "fcn", "danet"]
    assert main(["study", str(experiment_file), *heads, "--out", str(out), "--device", "cpu"]) == 0
    second = out / "danet-faithful-s1"
    shutil.copytree(out / "danet-faithful-s0", second)
    changed = json.loads((second / "config.json").read_text())
    changed["experiment"]["seed"] = 1
    (second / "config.json").write_text(json.dumps(changed))
    return out


def maps(photo, *arguments, at="60,30"):
    return main(["maps", "--image", str(photo), "--pixel", at, "--device", "cpu", *map(str, arguments)])


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_figure_of_a_run_is_written(trained, photo, ending, tmp_path, capsys):
    out = tmp_path / "new" / f"figure.{ending}"
    assert maps(photo, trained, "--out", out) == 0
    assert out.stat().st_size > 5000
    shown = capsys.readouterr().out
    assert shown.startswith("ccnet: ")
    assert str(out) in shown


def test_figure_lies_here_by_default(trained, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert maps(photo, trained, "--every-map", "--max-side", "64") == 0
    with Image.open("maps-street-60-30.png") as figure:
        assert figure.width == 1696  # 10.6 inches of 160 dots
        assert len(np.unique(np.asarray(figure.convert("L")))) > 50


def test_study_is_drawn_by_its_lowest_seed_without_heads_that_have_no_maps(study, photo, tmp_path, capsys):
    assert maps(photo, study, "--out", tmp_path / "figure.png") == 0
    shown = capsys.readouterr().out
    assert "left out: head fcn has no attention maps" in shown
    assert shown.count("danet: ") == 1


def test_networks_of_a_study_are_chosen_by_head_and_seed_and_single_runs_as_they_are(study, trained):
    assert choose([study], ["all"], None) == [
        ("danet", study / "danet-faithful-s0"),
        ("fcn", study / "fcn-faithful-s0"),
    ]
    assert choose([study], ["danet"], 1) == [("danet", study / "danet-faithful-s1")]
    named = [name for name, _ in choose([study, trained, study / "danet-faithful-s1"], ["ccnet", "danet"], None)]
    assert named == ["ccnet", "danet faithful seed 0", "danet faithful seed 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "fcn"], "head fcn has no attention maps: nothing in it attends"),
        (["--heads", "danett"], "no trained 'danett' in {study}; did you mean danet? There are: danet, fcn"),
        (["--seed", "7"], "no run of seed 7 in {study}; seeds: 0, 1"),
        (["--out", "figure.jpg"], "figure.jpg: the figure is written as .png, .pdf, .svg"),
        (["{study}/.."], "has no trained network; give the folder of a finished run, or of a study"),
        (["--pixel", "80,0"], "pixel (80, 0) is outside the image of 80 x 48 pixels: x goes from 0 to 79"),
        (["--pixel", "here"], "--pixel 'here' should be X,Y in pixels"),
        (["--image", "gone.jpg"], "gone.jpg: no such image"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_named(arguments, message, study, photo, capsys):
    words = [argument.format(study=study) for argument in arguments]
    assert maps(photo, study, *words) == 2
    assert message.format(study=study) in capsys.readouterr().err


def test_networks_of_other_classes_are_refused(study, trained, photo, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    changed = json.loads((other / "config.json").read_text())
    changed["class_names"][0] = "snow"
    (other / "config.json").write_text(json.dumps(changed))
    assert maps(photo, study, other, "--heads", "danet", "ccnet") == 2
    assert "danet knows 19 classes (road, " in capsys.readouterr().err


def test_checkpoint_of_another_class_count_is_refused(trained, photo, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    changed = json.loads((other / "config.json").read_text())
    changed["class_names"] = changed["class_names"][:11]
    changed["palette"] = changed["palette"][:11]
    (other / "config.json").write_text(json.dumps(changed))
    assert maps(photo, other) == 2
    assert "does not fit the network that config.json beside it describes (11 classes)" in capsys.readouterr().err


# Networks of the zoo ----------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("tiny_zoo")
def test_controlled_networks_of_the_local_trunk_are_the_default_and_it_says_so(photo, tmp_path, capsys):
    assert maps(photo, "--out", tmp_path / "figure.png") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("No run given: the study's heads on streets-local of segattn zoo, trained on generated")
    assert "left out: head fcn has no attention maps" in shown
    assert re.findall(r"^(\S+): ", shown.partition("maps: ")[2].partition("\nNext: ")[0], re.MULTILINE) == [
        "ccnet",
        "emanet",
    ]


@pytest.mark.usefixtures("tiny_zoo")
def test_networks_of_the_zoo_are_chosen_by_name_and_head(study):
    named = {name: str(source) for name, source in choose([Path("streets-local"), study], ["ccnet", "danet"], None)}
    assert named == {
        "ccnet controlled seed 0": "streets-local/ccnet",
        "ccnet faithful seed 0": "streets-local/ccnet-faithful",
        "danet faithful seed 0": str(study / "danet-faithful-s0"),
    }
    both = choose([Path("streets/ccnet"), Path("streets-local/ccnet")], ["all"], None)
    assert [name for name, _ in both] == [
        "ccnet controlled seed 0 (streets)",
        "ccnet controlled seed 0 (streets-local)",
    ]


def test_networks_of_the_zoo_are_drawn_whatever_their_seed(tiny_zoo):
    first, second, _ = zoo.networks("streets")
    assert [name for name, _ in choose([first, replace(second, seed=4)], ["all"], None)] == ["ccnet", "fcn"]


@pytest.mark.usefixtures("tiny_zoo")
def test_mistakes_with_the_zoo_are_named(photo, capsys):
    assert maps(photo, "--heads", "danett") == 2
    assert (
        "no trained 'danett' in streets-local; did you mean emanet? There are: ccnet, emanet, fcn"
        in capsys.readouterr().err
    )
    assert maps(photo, "streets/danet") == 2
    assert "unknown network 'streets/danet'; did you mean " in capsys.readouterr().err


def test_without_a_zoo_a_run_is_asked_for(photo, capsys):
    assert maps(photo) == 2
    assert "segattn maps needs the folder of a study or of runs" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "expected"), [("300,200", (300, 200)), ("(3, 4)", (3, 4)), ("-1,5", (-1, 5))])
def test_pixel_is_read_as_x_and_y(text, expected):
    assert pixel(text) == expected
