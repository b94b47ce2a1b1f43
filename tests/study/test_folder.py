import json
import os

import pytest

from segattn import config as configuration
from segattn.study import folder
from segattn.study.plan import plan, run_name
from tests import tiny


@pytest.fixture
def written(tmp_path):
    """A plan of two heads and two seeds, and its runs by name."""
    runs = {run_name(run): run for run in plan(tiny.TINY, ("fcn", "ccnet"), (0, 1))}
    folder.write(tmp_path, runs)
    return tmp_path, runs


def test_plan_reads_back_as_the_experiments_of_its_runs(written):
    out, runs = written
    assert folder.read(out).experiments() == {name: configuration.to_dict(run) for name, run in runs.items()}


def test_options_that_a_run_does_not_have_stay_away(tmp_path):
    plain, with_options = tiny.experiment("fcn"), tiny.experiment("ccnet", model={"head_options": {"recurrence": 1}})
    folder.write(tmp_path, {"a": with_options, "b": plain, "c": tiny.experiment("fcn", data={"size": None})})
    read = folder.read(tmp_path).experiments()
    assert [read[name]["model"]["head_options"] for name in "abc"] == [
        {"recurrence": 1},
        {"channels": 8},
        {"channels": 8},
    ]
    assert [read[name]["data"]["size"] for name in "abc"] == [[32, 64], [32, 64], None]


def test_same_plan_is_not_written_again(written):
    out, runs = written
    before = (out / folder.FILE).stat().st_mtime_ns
    folder.write(out, runs)
    assert (out / folder.FILE).stat().st_mtime_ns == before


def test_a_thousand_runs_are_a_small_file(tmp_path):
    runs = {f"fcn-faithful-s{seed}": tiny.experiment(seed=seed) for seed in range(1000)}
    folder.write(tmp_path, runs)
    assert (tmp_path / folder.FILE).stat().st_size < 200_000


def change(out, **changes):
    path = out / folder.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 9}, "a plan of format 9; this version reads 1"),
        ({"kind": "run"}, "a plan of format"),
        ({"experiment": {"name": "x", "lr": 1}}, "unknown field lr"),
        ({"runs": [{"folder": "../other", "settings": {}}]}, r"names the run '\.\./other', which is outside"),
        ({"runs": 3}, "not the plan of a study"),
    ],
)
def test_damaged_plan_is_refused(written, changes, message):
    change(written[0], **changes)
    with pytest.raises(ValueError, match=message):
        folder.read(written[0])


def test_folder_without_a_plan_is_no_study(tmp_path):
    with pytest.raises(ValueError, match=r"has no plan\.json; give the folder of a study"):
        folder.read(tmp_path / "nowhere")


@pytest.mark.timeout(20)
def test_pipe_in_place_of_a_plan_is_one_line(written):
    out, runs = written
    (out / folder.FILE).unlink()
    os.mkfifo(out / folder.FILE)
    with pytest.raises(ValueError, match=r"plan\.json: not the plan of a study \(not a regular file but a pipe\)"):
        folder.read(out)
    with pytest.raises(ValueError, match=r"cannot write the study into .*: not a regular file but a pipe"):
        folder.write(out, runs)
