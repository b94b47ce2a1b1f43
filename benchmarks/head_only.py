"""Time of a study on frozen features against the same study with full training.

    python -m benchmarks.head_only TRUNK              a study of ten heads x 3 seeds, 200 iterations of 8 crops of 128x256
    python -m benchmarks.head_only TRUNK --iterations 50 --precision fp32 -o benchmarks/results/head-only.json

TRUNK is the run of a network with a half-width ResNet-18, or a trunk of `segattn zoo`. The head-only study is run whole, features
included. Of the full study, each head trains for a few iterations from the same trunk, one head after the other; the median time
of an iteration times their number, plus the measured time around training (building, last evaluation, record), gives its whole
time. The heads' own arithmetic, which no scheme can save, is the time of steps on maps that are in memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from segattn import config as configuration
from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization
from segattn.cost import baselines_first
from segattn.data.splits import open_data
from segattn.experiments import STUDY_HEADS
from segattn.study.run import run_study
from segattn.training.features import compute, plan_features
from segattn.training.results import environment_of
from segattn.training.train import train

MEASURED = 8
"""Iterations of full training that are timed for each head, after as many that are not."""


def experiment(chosen: argparse.Namespace, train_part: str) -> Experiment:
    """The study; only the part that is trained differs."""
    backbone_options = json.loads(chosen.backbone_options)
    return Experiment(
        name=f"head-only-{train_part}",
        data=Data(name="streets", size=(256, 512), train_images=chosen.images, val_images=20),
        augmentation=Augmentation(crop_size=(128, 256), scale_range=(0.75, 1.5)),
        model=Model(
            mode="controlled",
            backbone="resnet18",
            align_corners=False,
            pretrained=chosen.trunk,
            head_options={"channels": 64},
            backbone_options=backbone_options,
        ),
        optimization=Optimization(
            train=train_part,  # type: ignore[arg-type]
            iterations=chosen.iterations,
            batch_size=8,
            lr=0.05,
            weight_decay=1e-4,
            precision=chosen.precision,
        ),
        evaluation=Evaluation(examples=0, strata=False),
        validate_every=0,
        checkpoint_every=10_000,
        log_every=1,
    )


def head_only(chosen: argparse.Namespace, names: list[str], folder: Path) -> dict[str, Any]:
    """The whole study on frozen features."""
    wanted = experiment(chosen, "head")
    runs = [configuration.with_head(wanted, name, seed=0) for name in names]
    began = time.perf_counter()
    opened = open_data(wanted.data)
    plan = plan_features(runs, opened, folder / "features", device="cpu")
    compute(plan)
    features = time.perf_counter() - began
    run_study(wanted, folder, head_names=names, seeds=range(chosen.seeds), device="cpu", on_notice=lambda notice: None)
    total = time.perf_counter() - began
    steps = {
        name: statistics.median(
            step
            for seed in range(chosen.seeds)
            for step in step_seconds_of(folder / f"{name}-controlled-s{seed}" / "log.jsonl")
        )
        for name in names
    }
    return {"seconds": total, "features_seconds": features, "features_bytes": plan.num_bytes, "step_seconds": steps}


def step_seconds_of(log: Path) -> list[float]:
    """Seconds of each iteration but the first few, from a log of every iteration."""
    times = [json.loads(line)["seconds"] for line in log.read_text().splitlines()]
    skipped = min(MEASURED, len(times) // 2)
    return [after - before for before, after in zip(times[skipped:-1], times[skipped + 1 :], strict=True)]


def full(chosen: argparse.Namespace, names: list[str], folder: Path) -> dict[str, Any]:
    """The same study with full training, from a few iterations of each head."""
    wanted = experiment(chosen, "all")
    optimization = dataclasses.replace(wanted.optimization, iterations=2 * MEASURED)
    wanted = dataclasses.replace(wanted, optimization=optimization)
    opened = open_data(wanted.data)
    steps, around = {}, {}
    for name in names:
        began = time.perf_counter()
        log = folder / name / "log.jsonl"
        train(configuration.with_head(wanted, name, seed=0), log.parent, device="cpu", opened=opened)
        whole = time.perf_counter() - began
        trained = json.loads(log.read_text().splitlines()[-1])["seconds"]
        steps[name], around[name] = statistics.median(step_seconds_of(log)), whole - trained
    seconds = chosen.seeds * sum(around[name] + chosen.iterations * steps[name] for name in names)
    return {"seconds": seconds, "step_seconds": steps, "around_seconds": around}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trunk")
    parser.add_argument("--backbone-options", default='{"width": 32}', help="of the trunk, as JSON")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("-o", "--out", type=Path)
    chosen = parser.parse_args()
    names = baselines_first(STUDY_HEADS)
    with tempfile.TemporaryDirectory() as folder:
        whole = full(chosen, names, Path(folder, "full"))
        frozen = head_only(chosen, names, Path(folder, "head"))
    runs = len(names) * chosen.seeds
    arithmetic = chosen.seeds * chosen.iterations * sum(frozen["step_seconds"].values())
    record = {
        "what": f"{len(names)} heads x {chosen.seeds} seeds, {chosen.iterations} iterations of 8 crops of 128x256",
        "precision": chosen.precision,
        "environment": dataclasses.asdict(environment_of(torch.device("cpu"), chosen.precision)),
        "full": whole,
        "head_only": frozen,
        "ratio": whole["seconds"] / frozen["seconds"],
        "heads_arithmetic_seconds": arithmetic,
        "share_of_limit": arithmetic / frozen["seconds"],
    }
    print(f"{runs} runs: full {whole['seconds']:,.0f} s, head-only {frozen['seconds']:,.0f} s with features "
          f"({frozen['features_seconds']:,.0f} s): {record['ratio']:.2f}x less; the heads' own steps are "
          f"{100 * record['share_of_limit']:.0f} % of it")  # fmt: skip
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
