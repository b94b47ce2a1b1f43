"""What stands below the table: commands with the paths of this study, which the commands take."""

import dataclasses
import shlex
import shutil
from pathlib import Path

import pytest

from segattn import records, report
from segattn.cli import main
from segattn.records import Look, Looks
from segattn.report.comparison.compare import select
from tests.report import fabricate


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(folder):
    """Let the runs of a study have networks beside their records, in name."""
    for path in folder.rglob("record.json"):
        path.with_name("model.safetensors").touch()
    return folder


def test_maps_explorer_and_comparison_of_the_first_row_with_the_baseline(here):
    trained(fabricate.study(Path("runs/quick"), ["fcn", "ccnet"], seeds=2))
    assert report.next_steps(report.load("runs/quick")) == [
        "segattn maps runs/quick --image runs/quick/02-faithful-s0/examples/0_image.png \\",
        "    --pixel 32,16",
        "segattn demo runs/quick",
        "segattn compare runs/quick --heads ccnet fcn",
    ]
    assert max(map(len, report.next_steps(report.load("runs/quick")))) <= 80
    assert len(report.next_steps(report.load("runs/quick"), width=120)) == 3


def test_the_pictures_and_networks_named_are_there(ten_by_three, tmp_path):
    folder = trained(shutil.copytree(ten_by_three, tmp_path / "with space"))
    lines = " ".join(report.next_steps(report.load(folder))).replace("\\ ", "")
    words = shlex.split(lines)
    assert Path(words[words.index("--image") + 1]).is_file()
    assert words.count(str(folder)) == 3
    a, b = words[words.index("--heads") + 1 :]
    assert [select(str(folder), name).rows[0].head for name in (a, b)] == ["denoised_nl", "fcn"]


def test_a_telling_pixel_of_the_study_comes_before_the_centre_of_an_example(here):
    folder = trained(fabricate.study(Path("s"), ["fcn", "ccnet"], seeds=1))
    look = Look(
        picture="looks/1.png", photo="looks/1-photo.png", image="street_000", pixel=(3, 7), class_name="pole",
        reason="rare", networks=["ccnet"],
    )  # fmt: skip
    looks = Looks(trunk="", seed=0, key="k", pictures=[look])
    records.write(dataclasses.replace(records.read(folder / "study.json"), looks=looks), folder / "study.json")
    assert "examples/" in report.next_steps(report.load("s"))[0]  # the photo is missing
    (folder / "looks").mkdir()
    (folder / look.photo).touch()
    assert report.next_steps(report.load("s"))[0] == "segattn maps s --image s/looks/1-photo.png --pixel 3,7"


def test_the_comparison_runs_as_written(here, capsys):
    fabricate.study(Path("runs/quick"), ["fcn", "ccnet"], seeds=2)
    (line,) = report.next_steps(report.load("runs/quick"))  # records alone: no networks to look into
    assert main(shlex.split(line)[1:]) == 0
    assert "ccnet" in capsys.readouterr().out


def test_networks_of_a_sweep_are_named_as_their_folders(here, capsys):
    for rate in (0.01, 0.02):
        config = fabricate.run("fcn", 0, Path("x/template"), images=0).config
        config = {**config, "optimization": {**config["optimization"], "lr": rate}}
        for seed in range(2):
            fabricate.run("fcn", seed, Path(f"s/fcn-faithful-lr{rate}-s{seed}"), config=config)
    names = [f"fcn-faithful-lr{rate}-s{seed}/record.json" for rate in (0.01, 0.02) for seed in range(2)]
    study = records.StudyRecord(
        experiment="synthetic",
        command="segattn study synthetic",
        runs=names,
        costs=[],
        environment=fabricate.ENVIRONMENT,
        head_facts={"fcn": fabricate.facts("fcn")},
        swept=["optimization.lr"],
    )
    records.write(study, Path("s/study.json"))
    (line,) = report.next_steps(report.load("s"))
    assert shlex.split(line)[:4] == ["segattn", "compare", "s", "--heads"]
    assert set(shlex.split(line)[4:]) == {"fcn-faithful-lr0.01", "fcn-faithful-lr0.02"}
    assert main(shlex.split(line)[1:]) == 0
    assert "lr=0.02" in capsys.readouterr().out
    half = "half/fcn-faithful-lr0.01-s0"  # a sweep of which one setting is finished
    shutil.copytree("s/fcn-faithful-lr0.01-s0", half)
    assert select("half", "fcn-faithful-lr0.01").rows[0].head == "fcn"
    with pytest.raises(ValueError, match=r"It has fcn-faithful-lr0\.01, fcn-faithful-lr0\.02"):
        select("s", "fcn")


def test_a_leading_baseline_is_compared_with_the_second_row(here):
    fabricate.study(Path("s"), ["fcn", "ccnet"], seeds=1)
    study = report.load("s")
    study.rows.reverse()
    assert report.next_steps(study) == ["segattn compare s --heads fcn ccnet"]


def test_runs_of_several_folders_are_named_one_by_one(here):
    fabricate.run("fcn", 0, Path("a/fcn"), images=0)
    fabricate.run("ccnet", 0, Path("b/ccnet"), images=0)
    assert report.next_steps(report.load(["a/fcn", "b/ccnet"])) == ["segattn compare b/ccnet a/fcn"]


def test_one_run_has_nothing_to_be_compared_with(here):
    fabricate.run("ccnet", 0, Path("a/ccnet"))
    assert report.next_steps(report.load("a/ccnet")) == []
    trained(Path("a"))
    assert report.next_steps(report.load("a/ccnet")) == [
        "segattn maps a/ccnet --image a/ccnet/examples/0_image.png --pixel 32,16",
        "segattn demo a/ccnet",
    ]


def test_a_study_of_baselines_has_no_maps(here):
    trained(fabricate.study(Path("s"), ["fcn"], seeds=2))
    assert report.next_steps(report.load("s")) == []
