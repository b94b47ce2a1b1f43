"""Class weights of the loss, computed from the histogram of the training labels.

    log       w_k = 1 / ln(1.02 + n_k / sum_j n_j)                     Paszke et al., ENet, arXiv 1606.02147
    median    w_k = median_j(f_j) / f_k,   f_k = n_k / m_k             Eigen, Fergus, arXiv 1411.4734

where n_k is the number of pixels of class k and m_k the number of labelled pixels in the images that contain class k; ignored
pixels are excluded. A class that never occurs has weight 1 and is excluded from the median.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from segattn.catalogue import read_json
from segattn.config import Optimization
from segattn.data import Dataset
from segattn.records import writing


def class_weights(
    optimization: Optimization,
    dataset: Dataset,
    *,
    rank: int = 0,
    world_size: int = 1,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
    say: Callable[[str], object] = lambda notice: None,
) -> Tensor | None:
    """Class weights (K,), float32, as set in the options; None if all are 1.

    Each process counts its share of the labels; `total` sums over processes. `say` is told before they are counted, which takes
    minutes where every label has to be painted or decoded.

    Raises:
        ValueError: the number of weights is not the number of classes, or no pixel is labelled.
    """
    K = dataset.num_classes
    weights = optimization.class_weights
    if weights:
        if len(weights) != K:
            raise ValueError(f"optimization.class_weights has {len(weights)} weights; {dataset.name} has {K} classes")
        return torch.tensor(weights)
    if optimization.class_balance == "none":
        return None

    def told() -> None:
        if rank == 0:
            say(f"class weights ({optimization.class_balance}): counting the labels of {len(dataset):,} images")

    counts = histogram(dataset, rank, world_size, before=told)
    pixels, present = (row.numpy() for row in total(torch.from_numpy(counts)).cpu())
    if not pixels.any():
        raise ValueError(f"{dataset.name} {dataset.split}: no pixel is labelled; class_balance needs labels")
    return torch.from_numpy(balanced(optimization.class_balance, pixels, present)).float()


def balanced(kind: str, pixels: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Class weights (K,) from n_k (`pixels`) and m_k (`present`).

    >>> balanced("median", np.array([60, 30, 10]), np.array([100, 100, 50])).round(3).tolist()
    [0.5, 1.0, 1.5]
    """
    occurs = pixels > 0
    weights = np.ones(len(pixels))
    if kind == "log":
        weights[occurs] = 1 / np.log(1.02 + pixels[occurs] / pixels.sum())
    elif kind == "median":
        frequency = pixels[occurs] / present[occurs]
        weights[occurs] = np.median(frequency) / frequency
    else:
        raise ValueError(f"class_balance {kind!r} is not known; use none, log or median")
    return weights


_COUNTED: WeakKeyDictionary[Dataset, dict[tuple[int, int], np.ndarray]] = WeakKeyDictionary()
"""Histograms of the data sets in use: a study counts the labels once for all its runs."""
_FOLDERS: WeakKeyDictionary[Dataset, Path] = WeakKeyDictionary()
"""Where the counts of a data set are kept for the next process."""


def keep_counts(dataset: Dataset, folder: Path) -> None:
    """Keep the counts of all labels in a folder that stands for this data set alone: that of its stored features."""
    _FOLDERS[dataset] = folder


def histogram(
    dataset: Dataset, rank: int = 0, world_size: int = 1, *, before: Callable[[], object] = lambda: None
) -> np.ndarray:
    """n_k and m_k of every `world_size`-th label, starting at `rank`; int64 (2, K). `before` is called before counting."""
    counted = _COUNTED.setdefault(dataset, {})
    if (rank, world_size) not in counted:
        folder = _FOLDERS.get(dataset) if world_size == 1 else None  # several processes may not see the same files
        counts = None if folder is None else _kept(folder, dataset.num_classes)
        if counts is None:
            before()
            counts = _histogram(dataset, rank, world_size)
            if folder is not None and folder.is_dir():
                _keep(folder, counts)
        counted[rank, world_size] = counts
    return counted[rank, world_size]


_FILE = "class-counts.json"


def _keep(folder: Path, counts: np.ndarray) -> None:
    """Write the counts for the next process; a folder that may only be read is left as it is."""
    with contextlib.suppress(OSError), writing(folder / _FILE) as path:
        path.write_text(json.dumps(counts.tolist()))


def _kept(folder: Path, K: int) -> np.ndarray | None:
    """Counts of an earlier process; None where there are none or the file is damaged."""
    try:
        counts = np.array(read_json(folder / _FILE))
    except (OSError, ValueError):
        return None
    if counts.shape != (2, K) or counts.dtype != np.int64:
        return None
    pixels, present = counts  # an image that holds a class has at least as many labelled pixels as it has of the class
    return counts if ((pixels >= 0) & (present >= pixels) & ((pixels > 0) == (present > 0))).all() else None


def _histogram(dataset: Dataset, rank: int, world_size: int) -> np.ndarray:
    K = dataset.num_classes
    pixels, present = np.zeros((2, K), np.int64)
    for index in range(rank, len(dataset), world_size):
        label = dataset.lazily(index).label  # the image is not decoded
        if label is None:
            raise ValueError(f"{dataset.name} {dataset.split} has no labels to count")
        counts = np.bincount(label.reshape(-1), minlength=256)[:K]
        pixels += counts
        present += np.where(counts > 0, counts.sum(), 0)
    return np.stack([pixels, present])
