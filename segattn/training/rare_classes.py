"""Rare class sampling in training: counts the labels that it draws by, once for all runs of a study, shared by all processes."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from accelerate import Accelerator

from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.items import LabelledItems
from segattn.data.rare_classes import RareClasses
from segattn.training import execution

_COUNTED: WeakKeyDictionary[Dataset, dict[object, np.ndarray]] = WeakKeyDictionary()
"""Pixels of each class in the labels of the data sets in use, and of their augmented copies."""


def sampling(
    config: Experiment,
    dataset: Dataset,
    items: LabelledItems | None,
    accelerator: Accelerator,
    say: Callable[[str], object] = lambda notice: None,
) -> RareClasses | None:
    """What draws the samples of a training, as set in its options; None for the usual permutations.

    Args:
        items: the augmented copies that are drawn from; by default the images of `dataset`.
        say: told on rank 0 before the labels are counted, which takes minutes where each has to be painted or decoded.

    Raises:
        ValueError: a sample has no label, or no pixel is labelled.
    """
    temperature = config.optimization.rare_class_sampling
    if not temperature:
        return None
    counted, which = _COUNTED.setdefault(dataset, {}), None if items is None else (config.augmentation, config.features)
    if which not in counted:
        size = len(dataset if items is None else items)
        if accelerator.is_main_process:
            say(f"rare class sampling: counting the labels of {size:,} {'images' if items is None else 'crops'}")
        counts = np.zeros((size, dataset.num_classes), np.int32)
        for index in range(accelerator.process_index, size, accelerator.num_processes):
            label = dataset.lazily(index).label if items is None else items.label(index)
            if label is None:
                raise ValueError(f"{dataset.name} {dataset.split} has no labels to count")
            counts[index] = np.bincount(label.reshape(-1), minlength=256)[: dataset.num_classes]
        counted[which] = execution.total(accelerator)(torch.from_numpy(counts)).cpu().numpy()
    try:
        return RareClasses.of(counted[which], temperature)
    except ValueError as error:
        raise ValueError(f"{dataset.name} {dataset.split}: {error}") from None
