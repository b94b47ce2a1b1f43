"""A network that is not finite is no success: nothing of it is written, and the run goes on from its last good checkpoint."""

import json

import pytest
import torch

from segattn import checkpoint, cli, config, records
from segattn.model import build_model
from segattn.training import fits, snapshots
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow

EXPERIMENT = tiny.experiment("emanet", validate_every=0, evaluation={"examples": 0})


class Spoil:
    """A progress callback that spoils a tensor of the network in training once, after an iteration."""

    def __init__(self, monkeypatch, pattern, at, value=float("nan")):
        self.pattern, self.at, self.value, self.model = pattern, at, value, None
        from segattn.training import start as module

        def build(*arguments, **options):
            self.model = build_model(*arguments, **options)
            return self.model

        monkeypatch.setattr(module, "build_model", build)

    def __call__(self, progress):
        if (progress.stage, progress.done) == ("train", self.at):
            name = next(name for name in self.model.state_dict() if self.pattern in name)
            self.model.state_dict()[name].view(-1)[0] = self.value


@pytest.mark.parametrize(
    ("pattern", "value"),
    [("head.classify.conv.weight", float("nan")), ("running_var", float("inf")), ("attention.bases", float("-inf"))],
    ids=["weight", "statistic", "bases"],
)
def test_network_that_is_not_finite_is_not_written(pattern, value, tmp_path, monkeypatch):
    spoil = Spoil(monkeypatch, pattern, 4, value)
    with pytest.raises(
        ValueError, match=rf"not finite after iteration 4: \S*{pattern}.*checkpoint, of iteration 2, is kept"
    ):
        train(EXPERIMENT, tmp_path, device="cpu", on_progress=spoil)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["iteration-00000002"]
    assert not (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "record.json").exists()
    monkeypatch.undo()
    assert len(train(EXPERIMENT, tmp_path, device="cpu").curve) == 5  # the same command goes on


def test_network_that_diverges_in_its_last_iteration_is_no_success(tmp_path, monkeypatch):
    spoil = Spoil(monkeypatch, "head.classify.conv.weight", 5)
    with pytest.raises(ValueError, match="not finite after iteration 5"):
        train(EXPERIMENT, tmp_path, device="cpu", on_progress=spoil)
    assert not (tmp_path / "config.json").exists()


def test_momentum_and_averages_are_checked_too(tmp_path, monkeypatch):
    from segattn.training.averaging import WeightAverage

    def spoil(self, iteration):
        if iteration == 2:
            next(iter(self.values.values())).fill_(float("nan"))

    monkeypatch.setattr(WeightAverage, "update", spoil)
    with pytest.raises(ValueError, match=r"not finite after iteration 2: average\.\S*; there is no checkpoint yet"):
        train(tiny.experiment(optimization={"ema_decay": 0.9}), tmp_path, device="cpu")


def test_message_says_what_to_try_and_the_command_works(tmp_path, monkeypatch, capsys):
    whole = train(EXPERIMENT, tmp_path / "whole", device="cpu")
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(config.to_dict(EXPERIMENT)))
    run = tmp_path / "run"
    command = ["train", str(file), "--device", "cpu", "--out", str(run)]
    spoil = Spoil(monkeypatch, "head.classify.conv.weight", 4)
    with pytest.raises(ValueError, match=r"--resume-from-good --optimization\.lr 0\.025") as caught:
        train(EXPERIMENT, run, device="cpu", on_progress=spoil)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()

    lower = ["--optimization.lr", "0.025"]
    assert cli.main([*command, *lower]) == 2  # another experiment, unless asked for
    assert "different: optimization.lr); choose another --out, or add --resume-from-good" in capsys.readouterr().err
    assert cli.main([*command, *lower, "--resume-from-good"]) == 0
    record = records.read(run / "record.json")
    assert record.earlier_settings == [records.EarlierSettings(until=2, settings={"optimization.lr": 0.05})]
    assert record.config["optimization"]["lr"] == 0.025
    assert [point.loss for point in record.curve[:2]] == [point.loss for point in whole.curve[:2]]
    assert [point.lr for point in record.curve[:2]] == [point.lr for point in whole.curve[:2]]
    assert record.curve[2].lr == pytest.approx(whole.curve[2].lr / 2, rel=2e-3)  # but for min_lr


def test_only_settings_of_the_optimiser_may_change_and_only_in_a_run_that_has_not_ended(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not finite after iteration 4"):
        train(EXPERIMENT, tmp_path, device="cpu", on_progress=Spoil(monkeypatch, "classify.conv.weight", 4))
    monkeypatch.undo()
    other = tiny.experiment("emanet", validate_every=0, evaluation={"examples": 0}, seed=1)
    with pytest.raises(ValueError, match=r"different: seed\); choose another --out$"):
        train(other, tmp_path, device="cpu", resume_from_good=True)
    train(EXPERIMENT, tmp_path, device="cpu", resume_from_good=True)  # nothing differs: as without
    assert records.read(tmp_path / "record.json").earlier_settings == []
    lower = tiny.experiment("emanet", validate_every=0, evaluation={"examples": 0}, optimization={"lr": 0.01})
    with pytest.raises(ValueError, match=r"different: optimization\.lr\); choose another --out$"):
        train(lower, tmp_path, device="cpu", resume_from_good=True)


def test_run_killed_right_after_its_settings_changed_goes_on_when_asked_again(tmp_path, monkeypatch):
    lower = tiny.experiment("emanet", validate_every=0, evaluation={"examples": 0}, optimization={"lr": 0.01})
    with pytest.raises(ValueError, match="not finite after iteration 4"):
        train(EXPERIMENT, tmp_path, device="cpu", on_progress=Spoil(monkeypatch, "classify.conv.weight", 4))
    monkeypatch.undo()

    def killed(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(lower, tmp_path, device="cpu", resume_from_good=True, on_progress=killed)
    with pytest.raises(
        ValueError, match=r"of another experiment \(different: optimization\.lr\); add --resume-from-good"
    ):
        train(lower, tmp_path, device="cpu")
    record = train(lower, tmp_path, device="cpu", resume_from_good=True)
    assert record.earlier_settings == [records.EarlierSettings(until=2, settings={"optimization.lr": 0.05})]


def test_every_adjustable_setting_is_one():
    raw = config.to_dict(EXPERIMENT)["optimization"]
    assert all(name.removeprefix("optimization.") in raw for name in fits.ADJUSTABLE)


def test_one_pass_finds_what_a_look_at_every_number_finds():
    state = {
        "fp32": torch.full((3, 5), 3e38),
        "bf16": torch.full((7,), 3e38, dtype=torch.bfloat16),
        "fp16": torch.full((2,), 65504.0, dtype=torch.float16),
        "fp64": torch.full((2,), 1e308, dtype=torch.float64),
        "whole": torch.arange(3),
        "empty": torch.empty(0),
        "scalar": torch.zeros(()),
    }
    assert checkpoint.not_finite(state) == []
    assert checkpoint.not_finite({}) == []
    for name, value in state.items():
        for bad in (float("nan"), float("inf"), float("-inf")) if value.is_floating_point() and value.numel() else ():
            spoilt = value.clone()
            spoilt.view(-1)[-1] = bad
            assert checkpoint.not_finite({**state, name: spoilt}) == [name]


def test_last_good_checkpoint_outlives_a_damaged_one(tmp_path):
    train(tiny.experiment(optimization={"iterations": 1}), tmp_path / "other", device="cpu")
    state = {"w": torch.zeros(3)}
    for iteration in (2, 4):
        snapshots.save_snapshot(snapshots.Snapshot(iteration, state, {}, {}), tmp_path)
    (tmp_path / "checkpoints/iteration-00000004/model.safetensors").write_bytes(b"")
    assert snapshots.latest_snapshot(tmp_path).iteration == 2
    snapshots.save_snapshot(snapshots.Snapshot(3, state, {}, {}), tmp_path)  # the run went on from iteration 2
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "iteration-00000002",
        "iteration-00000003",
    ]
