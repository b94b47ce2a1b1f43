"""The record of a study from runs that were done one by one."""

import json
import shutil

import pytest

from segattn import records, report
from segattn.study import collect as module
from segattn.study.collect import collect, differing
from segattn.training.train import train
from tests import tiny
from tests.trust.conftest import change

pytestmark = pytest.mark.slow
SHORT = {"validate_every": 0, "optimization": {"iterations": 1}, "evaluation": {"examples": 0}}
RUNS = ["fcn-faithful-s0/record.json", "there/ccnet/record.json", "fcn-faithful-s1/record.json"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with three runs, one of them deeper, one that is not finished, and something else."""
    out = tmp_path_factory.mktemp("elsewhere")
    for place, head, seed in (
        ("fcn-faithful-s0", "fcn", 0),
        ("fcn-faithful-s1", "fcn", 1),
        ("there/ccnet", "ccnet", 0),
    ):
        train(tiny.experiment(head, seed=seed, **SHORT), out / place, device="cpu", on_notice=lambda line: None)
    (out / "begun").mkdir()
    shutil.copy(out / "fcn-faithful-s0/experiment.json", out / "begun")
    (out / "notes.txt").write_text("mine")
    return out


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "reference_costs", lambda names, mode: [])
    return shutil.copytree(trained, tmp_path / "runs")


def test_runs_at_any_depth_become_a_study_that_can_be_reported(runs, tmp_path):
    notices = []
    path = collect([runs], command="segattn study collect runs", on_notice=notices.append)
    record = records.read(path)
    assert (path, record.runs) == (runs / "study.json", RUNS)
    assert (record.experiment, record.command) == ("tiny", "segattn study collect runs")
    assert record.head_facts.keys() == {"fcn", "ccnet"}
    assert notices == [f"{runs / 'begun'} is not finished and is left out"]
    assert report.build(path, tmp_path / "report")["report.html"].stat().st_size > 0


def test_single_runs_need_a_folder_that_holds_them(runs):
    chosen = [runs / "fcn-faithful-s0", runs / "there"]
    with pytest.raises(ValueError, match="add -o OUT, a folder that holds all of them"):
        collect(chosen)
    assert records.read(collect(chosen, runs)).runs == RUNS[:2]
    with pytest.raises(ValueError, match=r"fcn-faithful-s0 is not inside .*there"):
        collect(chosen, runs / "there/..data")
    with pytest.raises(ValueError, match="is the folder of one run; give -o OUT"):
        collect(chosen[:1])


def test_what_a_record_names_besides_its_runs_is_kept(runs):
    collect([runs])
    reached = {"name": "a/fcn", "head": "fcn", "mode": "faithful", "mean_iou": 0.5, "num_images": 3}
    change(runs / "study.json", lambda raw: raw.update(fully_trained=[reached]))
    collect([runs])
    assert [each.name for each in records.read(runs / "study.json").fully_trained] == ["a/fcn"]


def altered(run, **changes):
    change(run / "record.json", lambda raw: raw.update(changes))


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda run: altered(run, experiment="other"), "is of the experiment tiny, .*fcn-faithful-s1 of other"),
        (lambda run: altered(run, dataset="voc"), "is of the data set streets, .*fcn-faithful-s1 of voc"),
        (
            lambda run: altered(run, class_names=["a"]),
            r"fcn-faithful-s1 has other classes than .*: \d+ classes then, 1 now",
        ),
        (
            lambda run: change(run / "config.json", lambda raw: raw["data"]["val"].update(names="0")),
            "fcn-faithful-s0 and .*fcn-faithful-s1 were trained on other data: val: other names of images",
        ),
        (
            lambda run: shutil.copy(run.with_name("fcn-faithful-s0") / "record.json", run),
            r"fcn-faithful-s0 and .*fcn-faithful-s1 are the same run twice \(fcn, seed 0\)",
        ),
    ],
)
def test_runs_that_cannot_stand_together_are_named_and_nothing_is_written(runs, alter, message):
    alter(runs / "fcn-faithful-s1")
    with pytest.raises(ValueError, match=message):
        collect([runs], on_notice=lambda line: None)
    assert not (runs / "study.json").exists()


def test_runs_in_other_precisions_are_remarked(runs):
    change(runs / "there/ccnet/record.json", lambda raw: raw["environment"].update(precision="bf16"))
    notices = []
    collect([runs], on_notice=notices.append)
    assert "in different precisions: 1 in bf16, 2 in fp32" in notices[-1]


@pytest.mark.parametrize("damage", [b"", b'{"kind": "run", "sch'])
def test_a_damaged_record_is_named_and_nothing_is_written(runs, damage):
    (runs / "there/ccnet/record.json").write_bytes(damage)
    with pytest.raises(
        ValueError, match=r"ccnet/record\.json: not a JSON record .*remove .*there/ccnet, and the study's"
    ):
        collect([runs], on_notice=lambda line: None)
    assert not (runs / "study.json").exists()


def test_a_record_of_something_else_is_left_out_with_a_notice(runs):
    (runs / "begun/record.json").write_text('{"artist": "Sibelius"}')
    notices = []
    assert records.read(collect([runs], on_notice=notices.append)).runs == RUNS
    assert notices == [f"{runs / 'begun/record.json'} is no record of segattn and is left out"]


def test_folders_without_finished_runs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no finished run"):
        collect([tmp_path])
    with pytest.raises(ValueError, match="nowhere is no folder"):
        collect([tmp_path / "nowhere"])


def test_settings_that_differ_are_those_beside_head_and_seed(runs):
    every = [records.read(runs / path) for path in RUNS]
    assert differing(every) == []
    raw = json.loads((runs / RUNS[0]).read_text())
    raw["config"]["optimization"]["lr"] = 7.0
    (runs / RUNS[0]).write_text(json.dumps(raw))
    assert differing([records.read(runs / path) for path in RUNS]) == ["optimization.lr"]
