"""`segattn study status|cancel|collect` and `--dry-run`, as a user sees them at 80 columns."""

import json

import pytest
import torch
from safetensors.torch import save_file

from segattn import experiments, records
from segattn.cli import main
from segattn.study import failures, folder
from segattn.study.folder import CANCEL
from tests import tiny


@pytest.fixture
def out(tmp_path):
    """The folder of a study of which nothing has run, with a space in its name."""
    place = tmp_path / "my study"
    folder.write(place, {f"fcn-faithful-s{seed}": tiny.experiment(seed=seed) for seed in range(3)})
    return place


def test_status_shows_every_run_within_80_columns(out, capsys):
    failures.write(
        [out / "fcn-faithful-s1"], "its process was ended by SIGKILL (out of memory?) (3 attempts)", 3, "node7"
    )
    assert main(["study", "status", str(out)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:4])) <= 80
    assert "fcn-faithful-s0  waiting        0/5" in shown
    assert "fcn-faithful-s1: its process was ended by SIGKILL (out of memory?) (3 attempts)" in shown
    assert shown.rstrip().endswith("3 runs: 1 failed, 2 waiting")


def test_status_is_json_too(out, capsys):
    assert main(["study", "status", str(out), "--format", "json"]) == 0
    assert [run["state"] for run in json.loads(capsys.readouterr().out)] == ["waiting"] * 3


def test_watching_ends_when_all_runs_have(out, capsys):
    for seed in range(3):
        failures.write([out / f"fcn-faithful-s{seed}"], "no", 1)
    assert main(["study", "status", str(out), "--watch"]) == 0
    assert "3 runs: 3 failed" in capsys.readouterr().out


def test_cancel_says_what_stays(out, capsys):
    assert main(["study", "cancel", str(out)]) == 0
    assert capsys.readouterr().out == "3 runs: 3 waiting\n"
    assert (out / CANCEL).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status"], "segattn study status needs FOLDER"),
        (["status", "/nowhere"], "/nowhere has no plan.json; give the folder of a study (its --out)"),
        (["cancel", "/nowhere"], "/nowhere has no plan.json"),
        (["status", "/nowhere", "--watch", "--format", "json"], "--watch shows a table"),
        (["status", "/nowhere", "--every", "0"], "--every 0 should be above 0"),
        (["cancel", "/nowhere", "--wait", "-1"], "--wait -1 should be 0 or more"),
        (["collect"], "segattn study collect needs a folder"),
        (["collect", "/nowhere"], "/nowhere is no folder"),
        (["stats", "/nowhere"], "unknown experiment 'stats'"),
        (["quick", "--jobs", "0"], "--jobs 0: at least 1"),
        (["quick", "--sweep", "optimization.lrr=1"], "no setting lrr; did you mean lr"),
        (["quick", "--partition", "gpu"], "--slurm.partition is for --engine slurm"),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_experiment_named_like_a_command_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(experiments, "names", lambda: ["quick", "status"])
    assert main(["study", "status"]) == 2
    assert "the experiment status has the name of a command of segattn study" in capsys.readouterr().err


@pytest.mark.slow
def test_dry_run_lists_runs_times_and_memory_and_writes_nothing(experiment_file, tmp_path, capsys):
    words = [
        "study",
        str(experiment_file),
        "--heads",
        "fcn",
        "ccnet",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--seeds", "2", "--dry-run", "--sweep", "optimization.lr=0.1,0.2"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    rows = [line.split() for line in shown.splitlines() if line.startswith(("fcn-", "ccnet-"))]
    assert len(rows) == 8
    assert rows[0][:5] == ["fcn-faithful-lr0.1-s0", "fcn", "0", "waiting", "?"]
    assert all(float(row[5]) > 0.1 and row[6] == "GB" for row in rows)
    assert "8 runs: 8 waiting" in shown
    assert not (tmp_path / "out").exists()


def test_dry_run_refuses_weights_that_do_not_fit_and_downloads_none(experiment_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["study", str(experiment_file), "--heads", "fcn", "--seeds", "1", "--device", "cpu", "--dry-run"]
    save_file({"layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)}, "other.safetensors")
    assert main([*words, "--model.pretrained", "other.safetensors"]) == 2
    shown = capsys.readouterr()
    assert "1 run: 1 waiting" in shown.out
    assert "pretrained backbone other.safetensors does not fit: missing" in shown.err
    assert main([*words, "--model.pretrained", "runs/nothing"]) == 2
    assert "pretrained backbone runs/nothing: no such file" in capsys.readouterr().err
    assert main([*words, "--init-from", "runs/nothing"]) == 2
    assert "runs/nothing" in capsys.readouterr().err
    assert main([*words, "--model.pretrained", "https://localhost:1/weights.pth"]) == 0


@pytest.mark.long
def test_workers_of_the_command_finish_name_what_fails_and_dry_run_knows_how_long_it_took(
    experiment_file, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["study", str(experiment_file), "--heads", "fcn", "reconet", "--device", "cpu", "--out", str(out)]
    out.mkdir()
    (out / "reconet-faithful-s0").write_text("in the way")
    assert main([*words, "--jobs", "1", "--cores-per-run", "1"]) == 1
    shown = capsys.readouterr()
    assert "[1] fcn-faithful-s0: done in " in shown.out
    assert "reconet-faithful-s0: failed" in shown.out
    assert "segattn: error: 1 of 2 runs failed: reconet-faithful-s0: " in shown.err
    assert records.read(out / "study.json").runs == ["fcn-faithful-s0/record.json"]
    assert (out / "report.html").exists()
    (out / "reconet-faithful-s0").unlink()
    assert main([*words, "--seeds", "2", "--dry-run"]) == 0
    rows = {words[0]: words[3:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}
    assert rows["fcn-faithful-s0"] == ["finished"]
    assert rows["reconet-faithful-s0"][:2] == ["waiting", "?"]
    assert rows["fcn-faithful-s1"][1] != "?"
