"""AdamW's state in checkpoints: a run resumes to the last bit, and a state that is not this run's is named."""

import dataclasses
import signal

import pytest
import torch
from safetensors.torch import load_file

from segattn import records
from segattn.config import Optimization
from segattn.model import build_model
from segattn.training import optimizer_state, resume, snapshots
from segattn.training.interruption import Interrupted
from segattn.training.optimization import optimizer_of
from segattn.training.train import train
from tests import tiny

ADAMW = {
    **{"optimizer": "adamw", "lr": 1e-3, "min_lr": 0.0, "weight_decay": 0.05, "layer_decay": 0.8, "schedule": "cosine"},
    **{"decay_norm_and_bias": False, "clip_norm": 1.0, "warmup": 2, "warmup_ratio": 1e-6, "loss": "ce + 0.5 dice"},
}
OF_ADAMW = Optimization(optimizer="adamw", lr=1e-3, min_lr=0.0)


def weights(run):
    return load_file(run / "model.safetensors")


@pytest.mark.slow
def test_run_resumes_bit_by_bit(tmp_path):
    config = tiny.experiment("danet", optimization={**ADAMW, "ema_decay": 0.9, "label_smoothing": 0.1})
    whole = train(config, tmp_path / "whole", device="cpu")

    def interrupt(progress):
        if (progress.stage, progress.done) == ("train", 3):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", device="cpu", on_progress=interrupt)
    snapshot = snapshots.latest_snapshot(tmp_path / "run")
    saved = snapshot.optimizer
    trained = {name for name, _ in build_model(config.network, 8).named_parameters()}
    assert {f"{kind}.{name}" for kind in optimizer_state.ADAMW for name in trained} <= saved.keys()
    assert {saved[f"step.{name}"].item() for name in trained} == {float(snapshot.iteration)}
    record = train(config, tmp_path / "run", device="cpu")
    assert [point.loss for point in record.curve] == [point.loss for point in whole.curve]
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def stepped():
    """A network and AdamW after one step."""
    model = build_model(tiny.TINY.model, 3)
    optimizer = optimizer_of(model, OF_ADAMW)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


def fresh():
    model = build_model(tiny.TINY.model, 3)
    return model, optimizer_of(model, OF_ADAMW)


def save(tmp_path, model, tensors):
    snapshot = snapshots.Snapshot(2, model.state_dict(), tensors, {"cpu": torch.get_rng_state()})
    snapshots.save_snapshot(snapshot, tmp_path)


def test_state_survives_a_checkpoint_in_the_weights_memory_format(stepped, tmp_path):
    model, optimizer = stepped
    tensors = optimizer_state.tensors(model, optimizer)
    assert len(tensors) == 3 * len(list(model.parameters()))
    save(tmp_path, model, tensors)
    other, its_optimizer = fresh()
    other = other.to(memory_format=torch.channels_last)
    assert resume.restore(tmp_path, resume.State(other, its_optimizer), seed=0) == 2
    for name, parameter in other.named_parameters():
        state = its_optimizer.state[parameter]
        assert torch.equal(state["exp_avg_sq"], tensors[f"exp_avg_sq.{name}"])
        assert state["exp_avg"].stride() == parameter.stride()
        assert state["step"].item() == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda tensors: tensors.pop("exp_avg_sq.backbone.stem.0.weight"),
            r"has no exp_avg_sq\.backbone\.stem\.0\.weight, but",
        ),
        (
            lambda tensors: tensors.update(momentum=torch.ones(2)),
            "has momentum among the optimiser's tensors, which AdamW",
        ),
        (
            lambda tensors: tensors.update({"exp_avg.backbone.stem.0.weight": torch.ones(2)}),
            r"exp_avg\.backbone\.stem\.0\.weight of the optimiser as float32 2; here it is float32 4x3x3x3",
        ),
        (
            lambda tensors: tensors.update({"step.backbone.stem.0.weight": torch.ones(2)}),
            "as float32 2; here it is float32 scalar",
        ),
    ],
    ids=["incomplete", "unknown", "shape", "step"],
)
def test_state_that_does_not_fit_is_named(spoil, message, stepped, tmp_path):
    model, optimizer = stepped
    tensors = optimizer_state.tensors(model, optimizer)
    spoil(tensors)
    save(tmp_path, model, tensors)
    with pytest.raises(ValueError, match=message):
        resume.restore(tmp_path, resume.State(*fresh()), seed=0)


def test_state_of_sgd_is_not_one_of_adamw(stepped, tmp_path):
    model, _ = stepped
    save(tmp_path, model, {name: torch.ones_like(value) for name, value in model.named_parameters()})
    with pytest.raises(ValueError, match=r"has \S+\.bias among the optimiser's tensors, which AdamW does not have"):
        resume.restore(tmp_path, resume.State(*fresh()), seed=0)


@pytest.mark.slow
def test_run_of_another_optimiser_is_another_experiment(tmp_path):
    config = tiny.experiment(optimization={"iterations": 1}, evaluation={"examples": 0})
    train(config, tmp_path, device="cpu")
    other = dataclasses.replace(config, optimization=dataclasses.replace(config.optimization, **ADAMW))
    with pytest.raises(ValueError, match=r"different: .*optimization\.optimizer"):
        train(other, tmp_path, device="cpu")
    assert records.read(tmp_path / "record.json").config["optimization"]["optimizer"] == "sgd"
