"""What a network loses in another form, such as 8 bits: points of mIoU, or of images without labels the pixels that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from segattn.config import Evaluation
from segattn.data import Dataset
from segattn.evaluation.evaluate import evaluate
from segattn.inference.export import ExportedModel
from segattn.inference.files import label_images
from segattn.model import SegmentationModel


@dataclass(frozen=True)
class Loss:
    """How much is lost, in words too."""

    points: float
    """Of mIoU, in percentage points; or percent of the pixels."""
    what: str
    """What the points are of."""
    text: str


@torch.no_grad()
def mean_iou_lost(network: SegmentationModel, exported: ExportedModel, dataset: Dataset, inference: Evaluation) -> Loss:
    """Score both on a labelled split.

    Raises:
        ValueError: as `evaluate`, or a split without a class to score.
    """
    before, after = (evaluate(each, dataset, inference).scores.mean_iou for each in (network, exported))  # type: ignore[arg-type]
    if before is None or after is None:
        raise ValueError(f"{dataset.name} {dataset.split} has no class to score; give other images with --calibration")
    points = 100 * (before - after)
    where = f"{len(dataset)} image{'s' * (len(dataset) > 1)} of {dataset.name} {dataset.split}"
    text = f"mIoU on {where}: {100 * before:.2f} % before, {100 * after:.2f} % after ({-points:+.2f} points)"
    return Loss(points, "points of mIoU", text)


def labels_changed(
    network: SegmentationModel, exported: ExportedModel, images: Sequence[np.ndarray], inference: Evaluation
) -> Loss:
    """The share of the pixels that both label differently; images are uint8 (H, W, bands), of any sizes."""
    changed = pixels = 0
    for image in images:
        first, second = (label_images(each, [image], inference)[0].label for each in (network, exported))
        changed += int((first != second).sum())
        pixels += first.size
    percent = 100 * changed / pixels
    where = f"{len(images)} image{'s' * (len(images) > 1)}"
    return Loss(percent, "% of the labels", f"labels on {where} without masks: {percent:.2f} % of the pixels change")
