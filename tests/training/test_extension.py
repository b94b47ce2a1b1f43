"""A run that goes on with a longer schedule: from its checkpoint, or from its weights once it has finished."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from segattn import records
from segattn.config import Experiment
from segattn.training import extension, snapshots
from segattn.training.optimization import learning_rate
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow
QUIET = {
    "validate_every": 0,
    "checkpoint_every": 2,
    "evaluation": {"examples": 0, "strata": False, "without_attention": False},
}


def experiment(iterations=4, **changes) -> Experiment:
    return tiny.experiment(
        "fcn", optimization={"iterations": iterations, **changes.pop("optimization", {})}, **QUIET, **changes
    )


class Cut(Exception):
    pass


def cut_at(iteration):
    def report(progress):
        if (progress.stage, progress.done) == ("train", iteration):
            raise Cut

    return report


def test_an_interrupted_run_goes_on_from_its_checkpoint_with_the_rates_of_the_longer_schedule(tmp_path):
    notices = []
    with pytest.raises(Cut):
        train(experiment(), tmp_path, device="cpu", on_progress=cut_at(3))
    momentum = load_file(next((tmp_path / "checkpoints").glob("*2/optimizer.safetensors")))
    assert momentum
    record = train(experiment(), tmp_path, device="cpu", extend_to=6, on_notice=notices.append)
    longer = experiment(6).optimization
    assert [point.lr for point in record.curve[2:]] == [learning_rate(i, longer) for i in range(2, 6)]
    assert [point.lr for point in record.curve[:2]] == [learning_rate(i, experiment().optimization) for i in range(2)]
    assert record.earlier_settings == [records.EarlierSettings(until=2, settings={"optimization.iterations": 4})]
    assert record.iterations == record.config["optimization"]["iterations"] == 6
    (text,) = [notice for notice in notices if "schedule" in notice]
    assert f"{tmp_path}: the schedule changes from 4 to 6 iterations. Iteration 3 has the learning rate" in text
    assert "finished" not in text


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, train(experiment(), out, device="cpu")


@pytest.fixture
def finished(once, tmp_path):
    """A folder with a run that has finished, and its record."""
    return shutil.copytree(once[0], tmp_path / "run"), once[1]


def test_a_finished_run_goes_on_from_its_weights_and_keeps_its_record(finished, monkeypatch):
    out, before = finished
    weights, notices, seen = load_file(out / "model.safetensors"), [], []
    genuine = snapshots.save_snapshot
    monkeypatch.setattr(
        snapshots, "save_snapshot", lambda snapshot, run, **options: seen.append(snapshot) or genuine(snapshot, run)
    )
    record = train(experiment(), out, device="cpu", extend_to=6, on_notice=notices.append)
    assert seen[0].iteration == 4
    assert all(torch.equal(seen[0].model[name], value) for name, value in weights.items())
    assert seen[0].optimizer == {}  # fresh momentum
    assert records.read(out / "record-4.json") == before
    assert [point.iteration for point in record.curve] == [1, 2, 3, 4, 5, 6]
    assert record.curve[3].mean_iou == before.scores.mean_iou
    earlier = records.EarlierSettings(until=4, settings={"optimization.iterations": 4}, fresh_momentum=True)
    assert record.earlier_settings == [earlier]
    text = notices[-1]
    assert "from its weights with fresh momentum. record-4.json has its results until then" in text
    assert (
        f"learning rate {learning_rate(4, experiment(6).optimization):.3g}; the shorter schedule had 0.0001 there"
        in text
    )
    assert train(experiment(), out, device="cpu", extend_to=6) == record  # the same command again
    twice = train(experiment(), out, device="cpu", extend_to=7)
    assert [each.until for each in twice.earlier_settings] == [4, 6]
    assert extension.kept(out) == [out / "record-4.json", out / "record-6.json"]


def test_an_extension_that_was_interrupted_goes_on_by_the_same_command(finished):
    out, _ = finished
    with pytest.raises(Cut):
        train(experiment(), out, device="cpu", extend_to=8, on_progress=cut_at(5))
    record = train(experiment(), out, device="cpu", extend_to=8)
    assert [each.until for each in record.earlier_settings] == [4]
    assert record.earlier_settings[0].fresh_momentum
    assert record.iterations == 8


def test_a_kill_before_the_record_is_renamed_leaves_the_finished_run(finished, monkeypatch):
    out, before = finished

    def killed(*paths):
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(extension.os, "replace", killed)
        with pytest.raises(Cut):
            train(experiment(), out, device="cpu", extend_to=6)
    assert train(experiment(), out, device="cpu") == before
    assert not (out / "checkpoints").exists()


def test_averaged_weights_are_what_a_finished_run_goes_on_from(tmp_path):
    config = experiment(optimization={"ema_decay": 0.5})
    train(config, tmp_path, device="cpu")
    record = train(config, tmp_path, device="cpu", extend_to=5)
    assert record.iterations == 5


def test_what_cannot_be_extended_is_refused_with_advice(finished, tmp_path):
    out, _ = finished
    for shorter in (3, 4):
        with pytest.raises(
            ValueError, match=rf"--extend-to {shorter}: the schedule of .* has 4 iterations; give a larger"
        ):
            train(experiment(), out, device="cpu", extend_to=shorter)
    with pytest.raises(ValueError, match=r"--extend-to 9: .*other holds no run; leave it out to begin one"):
        train(experiment(), tmp_path / "other", device="cpu", extend_to=9)
    with pytest.raises(
        ValueError, match=r"different: optimization.iterations\); choose another --out, or add --extend-to 9"
    ):
        train(experiment(9), out, device="cpu")
    with pytest.raises(
        ValueError, match=r"different: optimization.iterations, optimization.lr\); choose another --out$"
    ):
        train(experiment(optimization={"lr": 0.01}), out, device="cpu", extend_to=9)
    assert not (tmp_path / "other").exists()


def test_changed_weights_are_not_gone_on_from(finished):
    out, _ = finished
    raw = json.loads((out / "config.json").read_text())
    raw["weights"]["sha256"] = "0" * 64
    (out / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"changed since it was written"):
        train(experiment(), out, device="cpu", extend_to=6)
    assert (out / "record.json").exists()
