"""Two processes on the CPU, started by torchrun, against one process with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segattn import checkpoint, records
from segattn.config import to_dict
from segattn.data.splits import open_split
from segattn.evaluation.evaluate import evaluate
from segattn.evaluation.without_attention import evaluate_without
from segattn.training.train import train
from tests import tiny
from tests.places import ROOT

pytestmark = pytest.mark.slow

ALIKE = {  # nothing that each process draws or measures by itself
    "model": {"head": "emanet", "head_options": {"channels": 8, "dropout": 0.0}, "auxiliary_weight": 0.0},
    "optimization": {"freeze_norm": True, "batch_size": 4, "lr": 0.05, "precision": "fp32", "iterations": 6},
    "augmentation": {"crop_size": (48, 48)},  # taller than the images: many pixels are ignored, unequally many
}
DROPPED = {**ALIKE, "model": {**ALIKE["model"], "head_options": {"channels": 8, "dropout": 0.4}}}
OWN = {"model": {"head": "danet"}, "optimization": {"batch_size": 4, "iterations": 5}}  # dropout, batch norm
COUNTED = {"batch_size": 4, "accumulation": 2, "iterations": 3}
LOSS = "ce + 0.5 focal + 0.01 boundary"
CLIPPED = {"clip_norm": 0.5, "loss": LOSS, "class_balance": "log", "rare_class_sampling": 0.05}
STOPS = [
    {"stop_at": ["evaluate", 1], "stop_rank": 1, "evaluation": 2},  # it has no other image, and waits
    {"stop_at": ["evaluate", 2], "stop_rank": 0, "evaluation": 2},  # the one after 4 again, and the last
    {},
]


LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = [
    "-c",  # its command imports torchvision, whose operators tests/conftest.py defines where they are missing
    "import tests.conftest; from accelerate.commands.accelerate_cli import main; main()",
    *("launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),
]


def environment():
    package = str(ROOT)
    paths = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folder with the runs of two processes, and each process's notes on them."""
    folder = tmp_path_factory.mktemp("two")
    alike, own = to_dict(tiny.experiment(**ALIKE)), to_dict(tiny.experiment(**OWN))
    balanced, toy = to_dict(tiny.experiment(**with_loss(class_balance="log"))), "tests.training.toy_head"
    jobs = [
        {"config": alike, "out": str(folder / "alike")},
        {"config": own, "out": str(folder / "whole")},
        {"config": own, "out": str(folder / "parts"), "stop_at": ["train", 3], "stop_rank": 1},
        {"config": own, "out": str(folder / "parts")},
        {"config": balanced, "out": str(folder / "balanced")},
        {"config": to_dict(tiny.experiment(**with_loss(**CLIPPED))), "out": str(folder / "clipped")},
        # evaluations: after iterations 2 and 4 and at the end; rank 0 has two images in one batch and rank 1 one
        *({"config": own, "out": str(folder / "stopped"), **stop} for stop in STOPS),
        {"config": own, "out": str(folder / "split"), "stop_at": ["train", 1], "stop_rank": 0},
        {"config": own, "out": str(folder / "split"), "elsewhere": "-on-another-disk"},
        {"config": to_dict(tiny.experiment(**DROPPED)), "out": str(folder / "dropped")},
        {"config": to_dict(tiny.experiment(toy, optimization=COUNTED)), "out": str(folder / "toy")},
    ]
    return folder, run_jobs(jobs, folder, LAUNCHER)


def run_jobs(jobs, folder, launcher):
    """The notes of both processes."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, *launcher, str(Path(__file__).with_name("two_processes.py")), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"notes-{rank}.json").read_text()) for rank in (0, 1)]


def with_loss(**settings):
    optimization = {**ALIKE["optimization"], "accumulation": 2, "iterations": 2, **settings}
    model = {**ALIKE["model"], "head": "fcn"}  # EMANet's bases move with each part, and the parts are others
    return {**ALIKE, "model": model, "optimization": optimization}


@pytest.mark.parametrize(
    ("run", "settings"),
    [
        ("alike", ALIKE),
        ("dropped", DROPPED),
        ("balanced", with_loss(class_balance="log")),
        ("clipped", with_loss(**CLIPPED)),
    ],
)
def test_loss_curve_is_that_of_one_process_with_the_whole_batch(two, run, settings, tmp_path):
    folder, _ = two
    alone = train(tiny.experiment(**settings), tmp_path, device="cpu")
    record = records.read(folder / run / "record.json")
    losses = [point.loss for point in record.curve]
    assert losses == pytest.approx([point.loss for point in alone.curve], rel=2e-5)
    expected, weights = load_file(tmp_path / "model.safetensors"), load_file(folder / run / "model.safetensors")
    for name, value in expected.items():  # float32 sums in another order
        assert torch.allclose(value.float(), weights[name].float(), rtol=1e-3, atol=1e-5), name


@pytest.mark.long
def test_accelerate_launch_trains_what_torchrun_does(two, tmp_path):
    jobs = [{"config": to_dict(tiny.experiment(**ALIKE)), "out": str(tmp_path / "alike")}]
    notes = run_jobs(jobs, tmp_path, ACCELERATE)
    expected, weights = load_file(two[0] / "alike/model.safetensors"), load_file(tmp_path / "alike/model.safetensors")
    assert [name for name in expected if not torch.equal(expected[name], weights[name])] == []
    assert [rank[0]["confusion"] for rank in notes] == [rank[0]["confusion"] for rank in two[1]]
    assert notes[1][0]["written"] == []


def test_every_image_is_evaluated_exactly_once(two):
    notes = two[1]
    asked = [rank[0]["asked"] for rank in notes]
    evaluations = len(notes[0][0]["confusion"])
    counts = {name: sum(own.count(name) for own in asked) for name in ("val-000000", "val-000001", "val-000002")}
    assert set(counts.values()) == {evaluations}
    assert set(asked[0]).isdisjoint(asked[1])


def test_both_processes_have_all_scores(two):
    first, second = two[1]
    assert [run["confusion"] for run in first] == [run["confusion"] for run in second]
    labelled = np.sum(first[0]["confusion"][-1])
    assert all(np.sum(matrix) == labelled for run in first for matrix in run["confusion"])


def test_bases_of_emanet_and_statistics_of_norms_are_equal_in_both(two):
    first, second = two[1]
    assert "head.attention.bases" in first[0]["buffers"][-1]
    assert "backbone.layer4.0.bn1.running_mean" in first[1]["buffers"][-1]
    for run, other in zip(first, second, strict=True):
        assert run["buffers"] == other["buffers"]


def test_after_step_gets_the_mean_over_processes_once_a_step(two):
    folder, notes = two
    counts = checkpoint.load_model(folder / "toy", allow_modules=("tests",)).head.attention
    assert counts.mean_rank.item() == 0.5  # of ranks 0 and 1
    assert counts.steps.item() == 3
    assert counts.forwards.item() == 3 * 2
    assert notes[0][-1]["buffers"] == notes[1][-1]["buffers"]


def test_only_the_first_process_writes(two):
    first, second = two[1]
    assert all(run["written"] == [] for run in second)
    assert any("log.jsonl" in path for path in first[0]["written"])  # what is noted, is noted


def test_each_process_draws_random_numbers_of_its_own(two):
    first, second = two[1]
    assert first[1]["random"] != second[1]["random"]


@pytest.mark.parametrize(("run", "replacement"), [("whole", "identity"), ("toy", "mean")])
def test_scores_without_the_mechanism_are_those_of_one_process(two, run, replacement):
    folder, _ = two
    model, record = (
        checkpoint.load_model(folder / run, allow_modules=("tests",)),
        records.read(folder / run / "record.json"),
    )
    data = open_split(tiny.TINY.data, "val", tiny.TINY.data.val_images)
    alone = evaluate_without(model, lambda: evaluate(model, data))
    assert record.without_attention.replacement == replacement
    assert record.without_attention.iou == alone.scores.iou


def test_signal_to_one_process_stops_both(two):
    first, second = two[1]
    assert "SIGTERM at iteration" in first[2]["interrupted"]
    assert first[2]["interrupted"] == second[2]["interrupted"]


@pytest.mark.parametrize(
    ("sitting", "where"), [(6, "in the evaluation after iteration 4"), (7, "in the last evaluation")]
)
def test_signal_to_one_process_while_both_evaluate_stops_both(two, sitting, where):
    notes = [rank[sitting] for rank in two[1]]
    assert [run["interrupted"] for run in notes] == [
        f"stopped by SIGTERM {where}; run the same command again to continue"
    ] * 2
    assert [run["evaluations"] for run in notes] == [2, 2]


@pytest.mark.parametrize("run", ["parts", "stopped"])
def test_resumed_equals_uninterrupted_bit_by_bit(two, run):
    folder, _ = two
    expected, weights = load_file(folder / "whole/model.safetensors"), load_file(folder / run / "model.safetensors")
    assert [name for name in expected if not torch.equal(expected[name], weights[name])] == []
    whole, parts = (records.read(folder / of / "record.json") for of in ("whole", run))
    assert whole.curve == parts.curve
    assert whole.scores == parts.scores


def test_folders_that_are_not_shared_are_refused_by_both(two):
    for rank in two[1]:
        assert "interrupted" in rank[9]
        assert "see different checkpoints" in rank[10]["refused"]
        assert "use a folder that all machines share" in rank[10]["refused"]


def test_two_processes_evaluate_each_image_once_and_one_speaks(two, tmp_path):
    folder, _ = two
    results = []
    for name, launcher in (("one", []), ("two", LAUNCHER)):
        command = [*launcher, "-m", "segattn", "evaluate", str(folder / "whole"), "--device", "cpu"]
        command += ["--json", str(tmp_path / f"{name}.json"), "--write-predictions", str(tmp_path / name)]
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=240, env=environment()
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stdout.count("mIoU") == 2  # the scores and their definition, once
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        results.append((json.loads((tmp_path / f"{name}.json").read_text()), files))
    assert results[0] == results[1]
    assert len(results[0][1]) == 3


def test_run_of_two_processes_is_an_ordinary_run(two):
    folder, _ = two
    assert checkpoint.load_model(folder / "whole").num_classes == len(
        records.read(folder / "whole/record.json").palette
    )
