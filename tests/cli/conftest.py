"""A network trained for two iterations through the command line, for the commands that need one; and a tiny zoo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segattn import config, zoo
from segattn.cli import main
from tests import tiny
from tests.tiny_zoo import packed, tiny_runs, tiny_zoo  # noqa: F401  pytest finds them here


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def _no_zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No networks ship with this installation, unless a test takes `tiny_zoo`."""
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "no-zoo")


@pytest.fixture(scope="session")
def experiment_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny experiment as a file."""
    short = tiny.experiment(optimization={"iterations": 2}, validate_every=0, evaluation={"examples": 1})
    path = tmp_path_factory.mktemp("experiment") / "tiny.json"
    path.write_text(json.dumps(config.to_dict(short)))
    return path


@pytest.fixture(scope="session")
def trained(experiment_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run."""
    run = tmp_path_factory.mktemp("run") / "ccnet"
    assert main(["train", str(experiment_file), "--head", "ccnet", "--out", str(run), "--device", "cpu"]) == 0
    return run
