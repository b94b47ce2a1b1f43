"""What a module declares as `after_step` is called once an optimiser step, by everything that trains."""

from dataclasses import asdict

import pytest
import torch

from segattn import checkpoint
from segattn.benchmark import cases, peak, piece
from segattn.heads import fcn
from segattn.training.train import train
from tests import tiny
from tests.benchmark.test_cases import one
from tests.benchmark.test_peak import case

TOY = "tests.training.toy_head"


@pytest.mark.parametrize("accumulation", [1, 4])
def test_after_step_is_called_once_a_step_and_not_in_evaluation(accumulation, tmp_path):
    optimization = {"iterations": 3, "batch_size": 4, "accumulation": accumulation}
    train(tiny.experiment(TOY, optimization=optimization), tmp_path, device="cpu")  # also evaluates, twice
    counts = checkpoint.load_model(tmp_path, allow_modules=("tests",)).head.attention
    assert counts.steps.item() == 3
    assert counts.forwards.item() == 3 * accumulation
    assert counts.steps_with_gradient.item() == 0
    assert counts.mean_rank.item() == 0  # of the only process; tests/training/test_distributed.py has two


@pytest.fixture
def calls(monkeypatch):
    """What an `after_step` added to FCN's head, which has none of its own, receives."""
    seen = []
    monkeypatch.setattr(fcn.Head, "after_step", lambda self, reduce: seen.append(reduce(torch.ones(()))), raising=False)
    return seen


def test_benchmark_measures_after_step(calls):
    measured = one(names=("fcn",), parts=("network",), phases=("training",), batches=(2,))
    task = piece.task(asdict(measured), asdict(cases.prepare(measured, "cpu")), "cpu", 0)
    assert calls == []
    task.run()
    assert calls == [torch.ones(())]


def test_planned_and_measured_steps_have_after_step(calls):
    peak.simulate(case("fcn", accumulation=2))
    assert len(calls) == 1
    peak.real_step(case("fcn", crop=(33, 33), accumulation=2))()
    assert len(calls) == 2
