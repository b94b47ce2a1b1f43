"""Recorded runs that nobody trained: one tiny run, copied with other counts of images and the scores of these counts."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segattn import config as configuration
from segattn import cost, records
from segattn.config import Experiment
from segattn.evaluation.counts import ImageCounts
from segattn.evaluation.counts import write as write_counts
from segattn.evaluation.metrics import ConfusionMatrix
from segattn.evaluation.strata import SIZES, WIDTHS
from segattn.training.train import train

DISTINCT = 50
"""Files of counts that differ; the runs take turns."""


def record_runs(
    runs: Mapping[str, Experiment], swept: Sequence[str], folder: Path, out: Path, *, num_images: int
) -> None:
    """Write a record and counts of images for each run, by the name of its folder in `out`, and the study's record.

    `folder`, on the same file system, is for the run that is trained and for the files of counts.
    """
    one = dataclasses.replace(next(iter(runs.values())), seed=0)
    train(one, folder / "one", device="cpu", on_notice=lambda line: None)
    record: records.RunRecord = records.read(folder / "one/record.json")
    names = {run.model.head for run in runs.values()}
    facts = {name: cost.head_facts(name, "faithful") for name in sorted(names)}
    drawn = [_counts(folder / f"counts-{number}.npz", record, number, num_images) for number in range(DISTINCT)]
    for number, (name, run) in enumerate(runs.items()):
        file, scores = drawn[number % DISTINCT]
        changes = {"head": run.model.head, "seed": run.seed, "config": configuration.to_dict(run), "scores": scores}
        records.write(
            dataclasses.replace(record, **changes, head_facts=facts[run.model.head]), out / name / "record.json"
        )
        os.link(file, out / name / "per_image.npz")
        shutil.copy(folder / "one/log.jsonl", out / name)
    study = records.StudyRecord(
        experiment=record.experiment,
        command="",
        runs=[f"{name}/record.json" for name in runs],
        costs=[],
        environment=record.environment,
        head_facts=facts,
        swept=list(swept),
    )
    records.write(study, out / "study.json")


def _counts(file: Path, record: records.RunRecord, number: int, num_images: int) -> tuple[Path, records.Scores]:
    """Write counts of images, the same labels in every file, and return the scores that they add up to."""
    K = len(record.class_names)
    labels = np.random.default_rng(0).multinomial(2**19, np.full(K, 1 / K), num_images)
    rng = np.random.default_rng(1 + number)
    confusion, boundary = ImageCounts(num_images, (K, K)), ImageCounts(num_images, (2, K))
    strata = ImageCounts(num_images, (2, K, len(SIZES), len(WIDTHS)))
    recall = 0.5 + 0.4 * rng.random(K)
    for index, pixels in enumerate(labels):
        right = rng.binomial(pixels, recall)
        matrix = np.diag(right)
        matrix[np.arange(K), (np.arange(K) + 1 + index % (K - 1)) % K] += (
            pixels - right
        )  # the class that looks alike here
        confusion.set(index, matrix)
        boundary.set(index, np.stack([right // 4, pixels // 2]))
        by_class = np.stack([pixels, right])[..., None, None] // 9
        strata.set(index, np.broadcast_to(by_class, (2, K, len(SIZES), len(WIDTHS))))
    names = np.array([f"image_{index:05d}" for index in range(num_images)])
    write_counts(file, {"confusion": confusion, "names": names, "boundary": boundary, "strata": strata})
    matrix_of_all = ConfusionMatrix.from_matrix(confusion.total())
    scores = dataclasses.replace(
        record.scores,
        mean_iou=matrix_of_all.mean_iou(),
        pixel_accuracy=matrix_of_all.pixel_accuracy(),
        mean_accuracy=matrix_of_all.mean_accuracy(),
        iou=matrix_of_all.iou().tolist(),
        accuracy=matrix_of_all.class_accuracy().tolist(),
        confusion=confusion.total().tolist(),
        num_images=num_images,
    )
    return file, scores
