"""The record of a task, from the files of its finished runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segattn import records
from segattn.config import Experiment
from segattn.data import probes
from segattn.data.splits import load_split
from segattn.records.probes import ProbeCondition, ProbeRecord, ProbeRun
from segattn.study.plan import is_finished, train_again
from segattn.study.probes.plan import PROBES, Plan
from segattn.training.purity import purity

_PURE_IMAGES = 100
"""Scenes whose attention maps are measured."""


def write_record(
    plan: Plan, task: str, out: Path, proved: tuple[int, list[ProbeCondition]], command: str = ""
) -> Path | None:
    """Write the record of a task from its finished runs; None where none is finished.

    Raises:
        ValueError: a run's files are damaged, or of another experiment.
    """
    of_task, finished, environment = plan.of_task(task), list[ProbeRun](), None
    uniform: dict[str, float] = {}
    for name, (variant, run) in of_task.items():
        if is_finished(out / name, run):
            record: records.RunRecord = records.read(out / name / "record.json")
            environment = record.environment
            of_maps = _purities(out / name, run) if PROBES[task].maps else {}
            uniform = of_maps.pop("uniform", uniform)
            finished.append(
                ProbeRun(
                    variant=variant.name,
                    seed=run.seed,
                    scores=scores(out / name / "per_image.npz"),
                    purity=of_maps,
                    seconds=round(record.train_seconds, 1),
                )
            )
    if environment is None:
        return None
    record_of_task = ProbeRecord(
        task=task,
        measure="iou" if task == "thin" else "accuracy",
        chance=1 / 3 if task == "thin" else 1 / 2,
        sees=proved[0],
        iterations=PROBES[task].iterations,
        conditions=proved[1],
        planned=[(variant.name, run.seed) for variant, run in of_task.values()],
        runs=finished,
        environment=environment,
        command=command,
        uniform_purity=uniform,
    )
    return records.write(record_of_task, out / f"{task}.json")


def scores(per_image: Path) -> dict[str, float]:
    """By condition: accuracy of the query's pixels; where there is ground, the mean IoU of both classes.

    Raises:
        ValueError: the file is missing or damaged, or lists no scenes of the probes.
    """
    try:
        arrays = records.read_arrays(per_image)
    except (OSError, ValueError) as error:
        reason = f"{per_image}: {error.strerror or error}" if isinstance(error, OSError) else error
        raise ValueError(f"{reason}; {train_again(per_image.parent)}") from None
    names = np.array([probes.condition_of(str(name)) for name in arrays["names"]])
    result = {}
    for name in dict.fromkeys(names.tolist()):
        counts = arrays["confusion"][names == name].sum(0)  # (K, K), rows are labels
        right = counts.diagonal()[:2]
        if len(counts) > 2:
            result[name] = float(np.mean(right / (counts.sum(0) + counts.sum(1) - counts.diagonal())[:2]))
        else:
            result[name] = float(right.sum() / counts.sum())
    return result


def _purities(folder: Path, run: Experiment) -> dict[str, dict[str, float]]:
    """Purity by map and condition, and under `uniform` that of attention to all places alike; computed once for a run."""
    path = folder / "purity.json"
    if not path.exists():
        dataset = load_split(run.data, run.data.val_split, run.data.val_images)
        reader: Any = dataset.reader
        count = min(_PURE_IMAGES, len(dataset))
        names = [probes.condition_of(dataset.image_name(index)) for index in range(count)]

        def query(index: int) -> tuple[int, int]:
            box = reader.layout(index).query
            return (box.top + box.bottom) // 2, (box.left + box.right) // 2

        per_image = purity(folder, dataset, reader.classes, query, count)
        per_image["uniform"] = [float(_of_class(reader.classes(index), query(index))) for index in range(count)]
        means = {key: _by_condition(values, names) for key, values in per_image.items()}
        records.write_bytes(json.dumps(means, indent=1).encode() + b"\n", path)
    loaded: dict[str, dict[str, float]] = records.read_json(path)
    return loaded


def _of_class(classes: np.ndarray, query: tuple[int, int]) -> Any:
    return (classes == classes[query]).mean()


def _by_condition(values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    of = {name: [value for value, other in zip(values, names, strict=True) if other == name] for name in names}
    return {name: sum(own) / len(own) for name, own in of.items()}
