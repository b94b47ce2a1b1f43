"""Folders of trained networks."""

import pytest

from segattn import load_model
from segattn.zoo.runs import find_runs, runs_inside


@pytest.fixture
def study(tmp_path):
    for name in ("ccnet-s0", "danet-s0", ".hidden"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "model.safetensors"):
            (tmp_path / name / file).write_text("{}")
    (tmp_path / "unfinished").mkdir()
    return tmp_path


def test_finished_runs_are_found(study):
    assert [path.name for path in find_runs(study)] == ["ccnet-s0", "danet-s0"]
    assert find_runs(study / "ccnet-s0") == [study / "ccnet-s0"]


def test_where_one_is_wanted_the_runs_inside_are_named(study):
    said = rf"give the folder of a finished run, such as {study}/ccnet-s0; it holds ccnet-s0, danet-s0$"
    with pytest.raises(ValueError, match=said):
        load_model(study)


def test_many_are_counted(tmp_path):
    for number in range(13):
        (tmp_path / f"run-{number:02}").mkdir()
        for file in ("config.json", "model.safetensors"):
            (tmp_path / f"run-{number:02}" / file).write_text("{}")
    assert runs_inside(tmp_path).endswith("run-08, run-09 and 3 more")
    assert runs_inside(tmp_path / "run-00") == ""
