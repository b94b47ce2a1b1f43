"""What docs/clusters.md tells to type is what the commands take, and its states are those of the command."""

import contextlib
import io
import re

import pytest

from segattn import experiments, records
from segattn.cli import main
from segattn.study.status import STATES
from tests import tiny
from tests.places import ROOT

PAGE = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")


@pytest.fixture
def options(monkeypatch):
    """Every option of study and its commands, as --help-all names them."""
    monkeypatch.setenv("COLUMNS", "200")
    known = {"--help", "--help-all"}
    for command in (["study", "scratch"], ["study", "status"], ["study", "cancel"], ["study", "collect"]):
        with contextlib.redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
            main([*command, "--help-all"])
        known |= set(re.findall(r"--[a-z][a-z0-9._-]*", shown.getvalue()))
    return known


def test_every_option_of_the_page_exists(options):
    ours = re.sub(r"`ray start [^`]*`", "", PAGE)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", ours))
    assert len(named) > 20
    assert named <= options


def test_page_explains_every_state():
    assert {state for state in STATES if f"\n| {state} | " in PAGE} == set(STATES)


@pytest.mark.slow
def test_optuna_example_searches(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install optuna")
    (example,) = re.findall(r"```python\n(import dataclasses.*?)```", PAGE, re.DOTALL)
    assert example.count("n_trials=20") == 1
    small = tiny.experiment(optimization={"iterations": 1}, validate_every=0, evaluation={"examples": 0})
    monkeypatch.setattr(experiments, "load", lambda name: small)
    monkeypatch.chdir(tmp_path)
    searches = []
    create = optuna.create_study
    monkeypatch.setattr(optuna, "create_study", lambda **options: searches.append(create(**options)) or searches[-1])
    exec(compile(example.replace("n_trials=20", "n_trials=2"), "example", "exec"), {"__name__": "example"})
    (search,) = searches
    for trial in search.trials:
        record = records.read(tmp_path / f"runs/search/{trial.number}/record.json")
        assert record.config["optimization"]["lr"] == trial.params["lr"]
        assert record.scores.mean_iou == trial.value
    assert search.best_value == max(trial.value for trial in search.trials)
    assert len(search.trials) == 2
