"""Accuracy of a model on one split: one confusion matrix over all images, each counted once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segattn import records
from segattn.config import Evaluation
from segattn.data import Dataset
from segattn.data.classes import matched
from segattn.data.features import in_computing_type
from segattn.data.files.shown import shown
from segattn.data.items import Items
from segattn.data.loader import Batch, EvaluationStream
from segattn.data.tools.labels import refuse_one_class, unscorable
from segattn.data.transforms import Normalization, to_tensor
from segattn.evaluation import strata as stratification
from segattn.evaluation.counts import ImageCounts
from segattn.evaluation.metrics import BOUNDARY_DEFINITION, DEFINITION, ConfusionMatrix, boundary_counts
from segattn.inference.legend import colour
from segattn.inference.windows import describe, labels_in_strips, predict_labels
from segattn.model import SegmentationModel

_BLOCK = 64
"""Images whose counts are looked at together."""


@dataclass(frozen=True)
class Evaluated:
    """Scores of a split, and the counts of each image."""

    scores: records.Scores
    confusion: ImageCounts
    """(images, K, K), row = label, column = prediction."""
    names: list[str]
    """Image names in the order of the counts."""
    strata: records.Strata | None = None
    boundary: ImageCounts | None = None
    """(images, 2, K): intersection and union of the boundary bands."""
    by_stratum: ImageCounts | None = None
    """(images, 2, K, sizes, widths): labelled pixels, and those predicted correctly."""

    @property
    def per_image(self) -> np.ndarray:
        """`confusion` as one array, int64 (images, K, K); 8 K^2 bytes an image, which only a small split has room for."""
        return self.confusion[:]


@torch.no_grad()
def evaluate(
    model: SegmentationModel,
    dataset: Dataset,
    inference: Evaluation | None = None,
    *,
    batch_size: int = 4,
    num_workers: int = 0,
    items: Items | None = None,
    strata: bool = False,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    on_image: Callable[[int, int], object] = lambda done, total: None,
    on_prediction: Callable[[int, Tensor], object] = lambda index, prediction: None,
    watched: Callable[[Iterable[Batch]], Iterable[Batch]] = iter,
) -> Evaluated:
    """Score `model` on a labelled split; the model is left in the mode it was in.

    If torch.distributed is initialised, every process takes its share, each image is counted exactly once, and every process
    returns the same result. `on_image(done, total)` is called after each batch, `on_prediction(index, class indices (H, W))` for
    each image; the batches pass through `watched`, which may end the evaluation with an exception. `items` are the split's
    samples with the maps of a frozen backbone instead of images, for a plain pass over whole images. `strata` adds boundary IoU
    and IoU by size and width; on the CPU these take milliseconds per image of 128x256 and tenths of a second at 1024x2048.

    The classes of a model that names them are matched by name: predictions and scores are in the data set's order.

    Raises:
        ValueError: other classes than the model's, or a single one; no labels, every pixel is ignored, or nothing else can be
            scored (`segattn.data.tools.labels`).
    """
    inference = inference or Evaluation()
    in_order = class_order(model, dataset)
    refuse_one_class(dataset)
    if fault := unscorable(dataset):
        raise ValueError(fault)
    rank, world_size = _share()
    share = {"rank": rank, "world_size": world_size, "num_workers": num_workers}
    stream = EvaluationStream(dataset, batch_size=batch_size, items=items, network=model, **share)
    device = next(model.parameters()).device
    K = dataset.num_classes
    confusion = ImageCounts(len(dataset), (K, K))
    boundary = ImageCounts(len(dataset), (2, K))
    by_stratum = ImageCounts(len(dataset), (2, K, len(stratification.SIZES), len(stratification.WIDTHS)))
    was_training = model.training
    model.eval()
    done = 0
    try:
        for batch in watched(stream):
            if batch["label"] is None:
                raise ValueError(f"{dataset.name} {dataset.split} has no labels to score against; use another split")
            with autocast():
                predictions = in_order(_labels(model, batch, inference, device).cpu())
            for index, prediction, label in zip(batch["indices"], predictions, batch["label"], strict=True):
                on_prediction(index, prediction)
                confusion.set(index, ConfusionMatrix(K, dataset.ignore_index).update(prediction, label).numpy())
                if strata:
                    bands = boundary_counts(prediction, label, K, ignore_index=dataset.ignore_index)
                    boundary.set(index, torch.stack(bands).numpy())
                    by_stratum.set(
                        index, stratification.count(prediction.numpy(), label.numpy(), K, dataset.ignore_index)
                    )
            done += len(batch["names"])
            on_image(done, len(stream))
    finally:
        model.train(was_training)
    _of_all_processes(confusion, boundary, by_stratum)
    total = confusion.total()
    if not total.any():
        raise ValueError(
            f"{dataset.name} {dataset.split}: every pixel is ignored (label {dataset.ignore_index}); there is nothing to score"
        )
    names = [dataset.image_name(index) for index in range(len(dataset))]
    summary = scores(total, len(dataset), describe(inference), dataset.ignore_index)
    if not strata:
        return Evaluated(summary, confusion, names)
    return Evaluated(summary, confusion, names, strata_scores(confusion, boundary, by_stratum), boundary, by_stratum)


def class_order(model: SegmentationModel, dataset: Dataset) -> Callable[[Tensor], Tensor]:
    """From the model's class indices to those of the data set: classes are matched by name where the model names them.

    Raises:
        ValueError: the classes are not the same.
    """
    names = getattr(model, "class_names", None)
    if dataset.num_classes != model.num_classes and names is None:
        raise ValueError(
            f"the model has {model.num_classes} classes, {dataset.name} has {dataset.num_classes}; "
            "evaluate it on the data set that it was trained on"
        )
    indices = matched(names, dataset.class_names, what=dataset.name)
    if indices is None:
        return lambda labels: labels
    table = torch.tensor(indices)
    return lambda labels: table.to(labels.device)[labels.long()].to(labels.dtype)


def _labels(model: SegmentationModel, batch: Batch, inference: Evaluation, device: torch.device) -> Tensor:
    """Class indices (B, H, W), from images or from a frozen backbone's maps."""
    if "features" not in batch:
        return predict_labels(model, batch["image"].to(device), inference=inference)
    assert batch["label"] is not None
    features = in_computing_type([x.to(device) for x in batch["features"]])
    height, width = batch["label"].shape[-2:]
    size = (height, width)
    logits = model.decode(features, size, full_size=False)
    assert isinstance(logits, Tensor)
    return labels_in_strips(logits.float(), size, model.align_corners)


def scores(confusion: Any, num_images: int, inference: str, ignore_index: int = 255) -> records.Scores:
    """Scores of the summed confusion matrices (K, K) of `num_images` images."""
    matrix = ConfusionMatrix.from_matrix(confusion, ignore_index)
    return records.Scores(
        mean_iou=matrix.mean_iou(),
        pixel_accuracy=matrix.pixel_accuracy(),
        mean_accuracy=matrix.mean_accuracy(),
        iou=_or_none(matrix.iou()),
        accuracy=_or_none(matrix.class_accuracy()),
        confusion=matrix.matrix.tolist(),
        num_images=num_images,
        definition=DEFINITION,
        inference=inference,
    )


def strata_scores(
    confusion: np.ndarray | ImageCounts, boundary: np.ndarray | ImageCounts, by_stratum: np.ndarray | ImageCounts
) -> records.Strata:
    """Boundary IoU, and IoU by size and width, from the counts of each image as in `Evaluated`."""
    bands = np.zeros(boundary.shape[1:], np.int64)
    counts = np.zeros(by_stratum.shape[1:], np.int64)
    K, sizes, widths = counts.shape[1:]
    unions = [np.zeros((K, sizes)), np.zeros((K, widths))]
    for start in range(0, len(confusion), _BLOCK):
        images = slice(start, start + _BLOCK)
        matrices, own = confusion[images], by_stratum[images]
        false = matrices.sum(1) - matrices.diagonal(axis1=1, axis2=2)
        for kind, axis in enumerate((4, 3)):
            union = stratification.unions(own[:, 0].sum(axis - 1), false)  # (images, K, strata)
            unions[kind] = np.concatenate([unions[kind][None], union]).sum(0)  # in order, as over all images at once
        bands += boundary[images].sum(0)
        counts += own.sum(0)

    def scored(names: tuple[str, ...], union: np.ndarray, axis: int) -> list[records.Stratum]:
        pixels, right = counts.sum(axis)  # (K, strata) each
        iou = _ratio(right, union)
        shares = pixels.sum(0) / max(1, pixels.sum())
        return [
            records.Stratum(
                name=name, share=float(shares[index]), iou=_or_none(iou[:, index]), mean_iou=_mean(iou[:, index])
            )
            for index, name in enumerate(names)
        ]

    boundary_iou = _ratio(*bands)
    return records.Strata(
        boundary_iou=_or_none(boundary_iou),
        boundary_mean_iou=_mean(boundary_iou),
        sizes=scored(stratification.SIZES, unions[0], 3),
        widths=scored(stratification.WIDTHS, unions[1], 2),
        definition=f"{BOUNDARY_DEFINITION} {stratification.DEFINITION}",
    )


def write_examples(
    model: SegmentationModel,
    dataset: Dataset,
    folder: Path,
    *,
    count: int,
    inference: Evaluation | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    before_writing: Callable[[], object] = lambda: None,
) -> list[records.Example]:
    """Write image, coloured label and coloured prediction of `count` evenly spaced images into `folder`.

    `before_writing` is called before the pictures of each image. The returned paths are relative to the folder's parent, where
    the record is.
    """
    examples: list[records.Example] = []
    if count < 1:
        return examples
    before_writing()
    folder.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)).tolist():
        sample = dataset[index]
        with autocast():
            image = to_tensor(sample.image, Normalization.of(model))[None].to(device)
            prediction = predict_labels(model, image, inference=inference)[0].cpu().numpy()
        stem = f"{index:05d}"
        pictures = {"image": shown(sample.image), "prediction": colour(prediction, dataset.palette)}
        if sample.label is not None:
            pictures["label"] = colour(sample.label, dataset.palette)
        before_writing()
        for kind, picture in pictures.items():
            with records.writing(folder / f"{stem}-{kind}.png") as temporary:
                Image.fromarray(picture).save(temporary, optimize=True)
        examples.append(
            records.Example(
                name=sample.name,
                image=f"{folder.name}/{stem}-image.png",
                label=f"{folder.name}/{stem}-label.png" if "label" in pictures else None,
                prediction=f"{folder.name}/{stem}-prediction.png",
            )
        )
    return examples


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """float64; nan where the denominator is 0."""
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _or_none(values: Tensor | np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _share() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _of_all_processes(*counts: ImageCounts) -> None:
    """Add what other processes have counted; each image was counted by one of them."""
    if (world_size := _share()[1]) == 1:
        return
    shares: list[list[dict[int, tuple[np.ndarray, np.ndarray]]]] = [[] for _ in range(world_size)]
    torch.distributed.all_gather_object(shares, [each.entries for each in counts])
    for share in shares:
        for each, entries in zip(counts, share, strict=True):
            each.entries.update(entries)
