"""Purity of attention maps: the share of a query's attention that lies on pixels of its own class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segattn import checkpoint
from segattn.data import Dataset
from segattn.data.transforms import Normalization, to_tensor

ON_GRID = ("positions", "half_grid")
"""Kinds of maps whose weights belong to places of the image."""


@torch.no_grad()
def purity(
    run: Path,
    dataset: Dataset,
    classes: Callable[[int], np.ndarray],
    query: Callable[[int], tuple[int, int]],
    count: int,
) -> dict[str, list[float]]:
    """By map of the run's network, the purity on each of the first `count` images; {} if it has no maps of places.

    A place that is partly of the class counts in part. Weights that do not sum to 1, as rectified ones, are divided by their sum.

    Args:
        classes: the class of each pixel of an image (H, W), 255 where it has none.
        query: row and column of the pixel whose attention is read.

    Raises:
        ValueError: no trained network in the folder.
    """
    model = checkpoint.load_model(run)
    kinds, purities = model.declared("map_kinds"), dict[str, list[float]]()
    for index in range(min(count, len(dataset))):
        features = model.backbone(to_tensor(dataset[index].image, Normalization.of(model)).unsqueeze(0))
        (row, column), labels = query(index), classes(index)
        stride = labels.shape[0] // features[-1].shape[-2]
        maps = model.head.attention_maps(features, (row // stride, column // stride))  # type: ignore[operator]
        same = torch.from_numpy((labels == labels[row, column]).astype(np.float32))
        for name, weights in maps.items():
            if kinds.get(name, ON_GRID[0]) in ON_GRID:
                purities.setdefault(name, []).append(_share(weights[0], same))
    return purities


def _share(weights: Tensor, same: Tensor) -> float:
    """The share of the weights (h, w) on places of the class, of which `same` (H, W) marks the pixels."""
    of_places = F.adaptive_avg_pool2d(same[None, None], (weights.shape[-2], weights.shape[-1]))[0, 0]
    total = weights.sum()
    return float((weights * of_places).sum() / total) if total > 0 else 0.0
