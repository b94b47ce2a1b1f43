"""A run that goes on with a longer schedule, `segattn train --extend-to`.

An interrupted run goes on from its newest checkpoint. A finished one has none any more: it goes on from its trained weights, with
fresh momentum and random numbers of its own. Its record is kept as `record-ITERATIONS.json`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segattn import checkpoint, records
from segattn import config as configuration
from segattn.config import Experiment
from segattn.records import integrity
from segattn.training import fits, log, resume, snapshots
from segattn.training.optimization import learning_rate

ITERATIONS = "optimization.iterations"


def may_differ(
    out: Path, config: Experiment, resume_from_good: bool, extend_to: int | None
) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment with the longer schedule, and the settings in which the run in `out` may differ from it.

    Raises:
        ValueError: there is no run to extend, or the schedule would not be longer.
    """
    adjustable = fits.ADJUSTABLE if resume_from_good else ()
    if extend_to is None:
        return config, adjustable
    path = out / "experiment.json"
    if not path.exists():
        raise ValueError(
            f"--extend-to {extend_to}: {out} holds no run; leave it out to begin one, or give --out its folder"
        )
    before = fits.recorded(integrity.read_json(path))["optimization"]["iterations"]
    if extend_to < before or (extend_to == before and (out / "record.json").exists() and not kept(out)):
        raise ValueError(
            f"--extend-to {extend_to}: the schedule of {out} has {before} iterations; give a larger number"
        )
    longer = dataclasses.replace(config.optimization, iterations=extend_to)
    return dataclasses.replace(config, optimization=longer), (ITERATIONS, *adjustable)


def kept(out: Path) -> list[Path]:
    """The records of shorter schedules that the run in this folder once finished."""
    return sorted(out.glob("record-*.json"))


def reopen(out: Path, config: Experiment, state: resume.State, data: Mapping[str, Any]) -> None:
    """Turn the finished run in `out` into an interrupted one, if its schedule is shorter than the experiment's.

    A checkpoint of its weights is written first and its record renamed last: a kill between them leaves the finished run.

    Args:
        data: the fingerprint of the data, for a run of version 0.1.0, which has none.

    Raises:
        ValueError: the trained network is damaged, or a file cannot be written.
    """
    path = out / "record.json"
    record = records.read(path)
    done = record.iterations
    if done >= config.optimization.iterations:
        return
    raw = checkpoint.read_config(out)
    file, weights = checkpoint.weights_of(out, raw)
    if diverged := checkpoint.not_finite(weights):
        raise ValueError(f"{file}: {checkpoint.some(diverged)} is not finite; the file is damaged")
    lines = log.read(out / "log.jsonl", done)
    if lines and lines[-1].iteration == done and lines[-1].mean_iou is None:
        point = dataclasses.replace(lines[-1].point, mean_iou=record.scores.mean_iou)
        lines[-1] = log.Line(**vars(point), seconds=lines[-1].seconds)
        records.write_bytes(b"".join(line.encoded() for line in lines), out / "log.jsonl")
    facts = {
        "experiment": fits.recorded(integrity.read_json(out / "experiment.json")),
        "data": raw.get("data") or data,
        "earlier": [dataclasses.asdict(each) for each in record.earlier_settings],
        "log": log.fingerprint(lines),
        "finished": True,
    }
    seed = int(np.random.SeedSequence((config.seed, done)).generate_state(1)[0])
    random = {"cpu": torch.Generator().manual_seed(seed).get_state()}
    snapshot = snapshots.Snapshot(done, weights, resume.averages_of(state, weights), random, facts)
    try:
        snapshots.save_snapshot(snapshot, out)
        os.replace(path, out / f"record-{done}.json")
        integrity.sync(out)
    except OSError as error:
        raise ValueError(f"{out} cannot be extended: {error.strerror or error}; the finished run is kept") from None


def notice(out: Path, snapshot: snapshots.Snapshot | None, config: Experiment) -> str:
    """How the schedule changes at this checkpoint, in words; empty where it does not."""
    if snapshot is None or snapshot.facts is None:
        return ""
    before = configuration.from_dict(snapshot.facts["experiment"], allow_modules=None).optimization
    now, done = config.optimization, snapshot.iteration
    if before.iterations == now.iterations:
        return ""
    rates = [learning_rate(min(done, each.iterations), each) for each in (before, now)]
    text = (
        f"{out}: the schedule changes from {before.iterations} to {now.iterations} iterations. Iteration {done + 1} has the "
        f"learning rate {rates[1]:.3g}; the shorter schedule had {rates[0]:.3g} there"
    )
    if snapshot.facts.get("finished"):
        text += (
            f". The run was finished and has no checkpoint any more: it goes on from its weights with fresh momentum. "
            f"record-{done}.json has its results until then"
        )
    return text
