"""`kill -9` at random moments: what lies on the disk always loads, and the run goes on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segattn import records
from segattn.config import to_dict
from segattn.training import snapshots
from segattn.training.train import train
from tests import tiny
from tests.places import ROOT

pytestmark = pytest.mark.slow

CONFIG = tiny.experiment(
    "emanet",
    data={"val_images": 2},
    optimization={"iterations": 40, "ema_decay": 0.9},
    evaluation={"examples": 1},
    checkpoint_every=1,
    validate_every=0,
)
SECONDS = 10
"""How long runs are being killed."""


class Trainings:
    """The process that starts trainings."""

    def __init__(self, folder):
        (folder / "experiment.json").write_text(json.dumps(to_dict(CONFIG)))
        command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(folder / "experiment.json")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def start(self, run):
        self.server.stdin.write(f"{run}\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def status(self):
        return int(self.server.stdout.readline())

    def killed_when(self, run, condition):
        """Start a run and kill it as soon as the condition holds; its status."""
        process = self.start(run)
        while not condition() and not (run / "record.json").exists():
            time.sleep(0.001)
        os.kill(process, signal.SIGKILL)  # waited for below: it is ours, dead or alive
        return self.status()


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    started = Trainings(tmp_path_factory.mktemp("server"))
    yield started
    started.server.stdin.close()
    started.server.wait(timeout=30)


def log_without_seconds(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def soon_after_a_checkpoint(run, before, seconds):
    """Whether so many seconds have gone since a checkpoint after `before`: in a later step, or while the next is written."""
    seen = []

    def now():
        if not seen and (snapshots.latest_iteration(run) or 0) > before:
            seen.append(time.monotonic())
        return bool(seen) and time.monotonic() > seen[0] + seconds

    return now


@pytest.mark.long
def test_killed_run_equals_the_uninterrupted_one_bit_by_bit(trainings, tmp_path):
    rng = random.Random(0)
    whole, run = tmp_path / "whole", tmp_path / "run"
    trainings.start(whole)
    assert trainings.status() == 0

    kills, reached = 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and reached < 36:
        is_the_time = soon_after_a_checkpoint(run, reached, rng.expovariate(20))
        assert trainings.killed_when(run, is_the_time) == -signal.SIGKILL
        kills += 1
        snapshot = snapshots.latest_snapshot(run)  # raises where it is damaged
        assert snapshot is not None
        assert snapshot.iteration > reached
        reached = snapshot.iteration
        assert all(torch.isfinite(value).all() for value in snapshot.model.values())
    assert kills >= 3
    # and in what comes after training: first when the model is written, then when the record is
    trainings.killed_when(run, (run / "model.safetensors").exists)
    trainings.killed_when(run, (run / "record.json").exists)
    trainings.start(run)
    assert trainings.status() == 0

    expected, weights = load_file(whole / "model.safetensors"), load_file(run / "model.safetensors")
    assert [name for name in expected if not torch.equal(expected[name], weights[name])] == []
    assert log_without_seconds(whole) == log_without_seconds(run)
    record, other = records.read(whole / "record.json"), records.read(run / "record.json")
    assert (record.scores, record.curve, record.strata) == (other.scores, other.curve, other.strata)
    names = [
        {p.relative_to(folder) for p in folder.rglob("*") if "tensorboard" not in str(p)} for folder in (whole, run)
    ]
    assert names[0] == names[1]  # nothing is left over


def test_run_that_has_ended_is_not_trained_again(tmp_path):
    config = tiny.experiment(optimization={"iterations": 1})
    first = train(config, tmp_path, device="cpu")
    steps = []
    assert train(config, tmp_path, device="cpu", on_progress=steps.append) == first
    assert steps == []
