"""Rare class sampling in training: counts the labels that it draws by, once for all runs of a study, shared by all processes."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from accelerate import Accelerator

from segattn.config import Experiment
from segattn.data import Dataset, rare_classes
from segattn.data.items import LabelledItems
from segattn.data.rare_classes import RareClasses
from segattn.training import execution

_COUNTED: WeakKeyDictionary[Dataset, dict[object, tuple[np.ndarray, np.ndarray]]] = WeakKeyDictionary()
"""Pixels and presence of each class in the labels of the data sets in use, and of their augmented copies."""


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
    size, of_dataset = len(dataset if items is None else items), _COUNTED.setdefault(dataset, {})
    key = None if items is None else (repr(config.augmentation), repr(config.features), size)
    if key not in of_dataset:
        if accelerator.is_main_process:
            say(f"rare class sampling: counting the labels of {size:,} {'images' if items is None else 'crops'}")
        pixels, present = np.zeros(dataset.num_classes, np.int64), np.zeros((size, dataset.num_classes), np.uint8)
        for index in range(accelerator.process_index, size, accelerator.num_processes):
            label = dataset.lazily(index).label if items is None else items.label(index)
            if label is None:
                raise ValueError(f"{dataset.name} {dataset.split} has no labels to count")
            counts = np.bincount(label.reshape(-1), minlength=256)[: dataset.num_classes]
            pixels += counts
            present[index] = rare_classes.presence(counts)
        total = execution.total(accelerator)  # each row of `present` is of one process
        of_dataset[key] = total(torch.from_numpy(pixels)).cpu().numpy(), total(torch.from_numpy(present)).cpu().numpy()
    try:
        return RareClasses.of(*of_dataset[key], temperature)
    except ValueError as error:
        raise ValueError(f"{dataset.name} {dataset.split}: {error}") from None
