"""The results of a finished run: record, trained model, example pictures, counts of each image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segattn import __version__, checkpoint, records
from segattn import config as configuration
from segattn.config import Experiment
from segattn.cost import head_facts
from segattn.data import Dataset
from segattn.evaluation import counts
from segattn.evaluation.evaluate import Evaluated, write_examples
from segattn.model import SegmentationModel
from segattn.profile.environment import environment
from segattn.records.image_range import ImageRange
from segattn.training.snapshots import remove_snapshots


def record_of(
    config: Experiment,
    val_set: Dataset,
    result: Evaluated,
    points: list[records.CurvePoint],
    *,
    without: records.WithoutAttention | None,
    gates: dict[str, float],
    train_seconds: float,
    evaluate_seconds: float,
    device: torch.device,
    precision: str,
    cost: records.Cost,
    start: records.Start | None = None,
    earlier: Sequence[records.EarlierSettings] = (),
) -> records.RunRecord:
    """The record of a run, without its example pictures; the last point of its curve has the final mean IoU."""
    last = dataclasses.replace(points[-1], mean_iou=result.scores.mean_iou)
    return records.RunRecord(
        experiment=config.name,
        head=config.model.head,
        mode=config.model.mode,
        seed=config.seed,
        dataset=val_set.title,
        split=val_set.split,
        class_names=list(val_set.class_names),
        palette=list(val_set.palette),
        ignore_index=val_set.ignore_index,
        config=configuration.to_dict(config),
        scores=result.scores,
        curve=[*points[:-1], last],
        iterations=config.optimization.iterations,
        train_seconds=round(train_seconds, 3),
        evaluate_seconds=round(evaluate_seconds, 3),
        environment=environment_of(device, precision),
        cost=cost,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        per_image="per_image.npz",
        strata=result.strata,
        without_attention=without,
        gates=gates,
        head_facts=head_facts(config.model.head, config.model.mode),
        start=start,
        earlier_settings=list(earlier),
    )


def write_network(
    out: Path,
    model: SegmentationModel,
    config: Experiment,
    val_set: Dataset,
    *,
    check: Callable[[], object],
    data: Mapping[str, Any] | None = None,
    images: ImageRange | None = None,
) -> None:
    """Write the trained network, before anything is computed with it that may fail; `check` and errors as in `write`.

    Args:
        data: the fingerprint of the data, for evaluations to come.
        images: the range of the training images, with which other images are compared.
    """
    check()
    names, palette = list(val_set.class_names), list(val_set.palette)
    with _written_into(out):
        facts: dict[str, Any] = {"data": data, "images": images}
        checkpoint.save_model(model, out, experiment=config, class_names=names, palette=palette, **facts)


def write(
    out: Path,
    model: SegmentationModel,
    config: Experiment,
    val_set: Dataset,
    result: Evaluated,
    record: records.RunRecord,
    *,
    without: Evaluated | None,
    autocast: Callable[[], AbstractContextManager[object]],
    check: Callable[[], object],
) -> records.RunRecord:
    """Write what was found with the network of `write_network`, the record last, so that a folder with a record is complete.

    Returns the record with its examples.

    Args:
        check: called before each write; raises if the folder's lease was lost.

    Raises:
        ValueError: the folder cannot be written; the checkpoints are kept.
    """
    with _written_into(out):
        examples = write_examples(
            model,
            val_set,
            out / "examples",
            count=config.evaluation.examples,
            inference=config.evaluation,
            autocast=autocast,
            before_writing=check,
        )
        record = dataclasses.replace(record, examples=examples)
        check()
        _write_counts(out / "per_image.npz", result, without)
        check()
        records.write(record, out / "record.json")
    check()
    remove_snapshots(out)
    return record


@contextmanager
def _written_into(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"the results cannot be written into {out}: {error.strerror or error}; the trained network is in "
            f"{out / 'checkpoints'}. Free some disk space and run the same command again"
        ) from error


def _write_counts(path: Path, result: Evaluated, without: Evaluated | None) -> None:
    arrays: dict[str, np.ndarray | counts.ImageCounts] = {
        "confusion": result.confusion,
        "names": np.array(result.names),
    }
    if without is not None:
        arrays["confusion_without"] = without.confusion
    if result.boundary is not None and result.by_stratum is not None:
        arrays |= {"boundary": result.boundary, "strata": result.by_stratum}
    with records.writing(path) as temporary:
        counts.write(temporary, arrays)


def environment_of(device: torch.device, precision: str) -> records.Environment:
    """The machine, software and precision of a measurement."""
    machine = environment(__version__, device=device, path=Path(__file__).parent)
    return records.Environment(**machine, precision=precision)
