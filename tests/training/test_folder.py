"""A run's folder belongs to one experiment, also when experiments have learnt new settings since."""

import json

import pytest
import torch

from segattn.model import build_model
from segattn.training import folder, resume, snapshots
from segattn.training.log import Log
from segattn.training.optimization import optimizer_of
from segattn.training.trackers import Trackers
from tests import tiny


def test_a_setting_younger_than_the_folder_counts_as_its_default(tmp_path):
    folder.claim(tmp_path, tiny.TINY)
    path = tmp_path / "experiment.json"
    older = json.loads(path.read_text())
    del older["evaluation"]["strata"]
    path.write_text(json.dumps(older))
    folder.refuse_another(tmp_path, tiny.TINY)
    with pytest.raises(ValueError, match=r"different: evaluation\.strata"):
        folder.refuse_another(tmp_path, tiny.experiment(evaluation={"strata": False}))


def test_another_experiment_is_named_by_what_differs(tmp_path):
    folder.claim(tmp_path, tiny.TINY)
    with pytest.raises(ValueError, match=r"different: optimization\.lr, seed"):
        folder.refuse_another(tmp_path, tiny.experiment(seed=7, optimization={"lr": 0.5}))


def test_checkpoints_of_nobody_are_not_gone_on_from(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"checkpoints but no experiment\.json"):
        folder.refuse_another(tmp_path, tiny.TINY)


def test_a_closed_log_has_ended_its_tensorboard_writer(tmp_path):
    pytest.importorskip("tensorboard")
    trackers = Trackers(out=tmp_path)
    log = Log(tmp_path / "log.jsonl", 0, active=True, trackers=trackers)
    trackers.write(None, start=0)
    (board,) = trackers.running
    board.tracker.add_scalar("loss", 1.0, 1)
    log.close()
    assert board.tracker.file_writer is None


def test_momentum_of_a_parameter_that_is_not_there_is_named(tmp_path):
    model = build_model(tiny.TINY.model, 3)
    optimizer = optimizer_of(model, tiny.TINY.optimization)
    snapshot = snapshots.Snapshot(2, model.state_dict(), {"head.attention.dual.gamma": torch.zeros(())}, {})
    snapshots.save_snapshot(snapshot, tmp_path)
    with pytest.raises(
        ValueError, match=r"iteration 2 has the momentum of head\.attention\.dual\.gamma, .* remove .*checkpoints"
    ):
        resume.restore(tmp_path, resume.State(model, optimizer), seed=0)
