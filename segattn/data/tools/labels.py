"""Whether a network can learn from a split's labels, and be scored on them.

A sample is asked first. Where it holds fewer than two classes, all labels are read until two are met, so that an error is never
based on a sample.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

import numpy as np
import yaml

from segattn.data._dataset import Dataset, Labels
from segattn.data.tools.threads import file_threads

ENOUGH = 2
"""Classes that a network needs, to tell one from the other."""


class Tally:
    """Collects classes from the labels of `dataset` until two have been met; threads share it."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.classes: set[int] = set()
        self.ignored = self.labelled = False

    @property
    def is_enough(self) -> bool:
        return len(self.classes) >= ENOUGH

    def add(self, label: np.ndarray | None) -> None:
        """Include a label (H, W) of class indices; nothing is counted once two classes have been met."""
        if label is None:
            return
        self.labelled = True
        if not self.is_enough:
            values = np.flatnonzero(np.bincount(label.reshape(-1), minlength=256)).tolist()
            self.ignored |= self.dataset.ignore_index in values
            self.classes.update(value for value in values if value != self.dataset.ignore_index)

    def finished(self, read: Iterable[int], threads: int | None = None) -> Labels:
        """What the labels hold, given that those of the samples `read` have been added; the others are read where need be.

        Raises:
            ValueError: a label cannot be read.
        """
        suspicious = self.labelled and not self.is_enough
        if suspicious:
            missing = sorted(set(range(len(self.dataset))) - set(read))
            with file_threads(threads) as readers:
                for _ in readers.map(self._read, missing):
                    pass
        return Labels(tuple(sorted(self.classes)), self.ignored, self.labelled, rare=suspicious and self.is_enough)

    def _read(self, index: int) -> None:
        if not self.is_enough:
            self.add(self.dataset.label(index))


def refuse_unlearnable(dataset: Dataset) -> None:
    """Raise ValueError if a network cannot learn from this split, which `verify` has read."""
    if fault := unlearnable(dataset):
        raise ValueError(fault)


def refuse_unscorable(dataset: Dataset) -> None:
    """Raise ValueError if a network cannot be scored on this split, which `verify` has read."""
    if fault := unscorable(dataset):
        raise ValueError(f"{fault}; score another split, or write the labels")


def refuse_one_class(dataset: Dataset) -> None:
    """Raise ValueError for a list of one class: each pixel is then that class, whatever a network computes."""
    if dataset.num_classes < ENOUGH:
        raise ValueError(one_class(dataset))


def one_class(dataset: Dataset) -> str:
    """What is wrong with a list of one class, and what to do."""
    name = dataset.class_names[0]
    return (
        f"{dataset.name} has one class ({name}), so every pixel is {name} and nothing can be learnt or scored; name two: "
        "background first, then the object, with mask values 0 and 1"
    )


def unlearnable(dataset: Dataset) -> str:
    """Why nothing can be learnt from this split; empty if something can, or if `verify` has not read it."""
    labels = dataset.labels
    if labels is None or len(labels.classes) >= ENOUGH:
        return ""
    where = f"{dataset.name} {dataset.split}"
    if not labels.labelled:
        return f"{where} has no labels to learn from; use another split, or add the masks"
    if not labels.classes:
        ignored = f"every pixel of all labels ({len(dataset)}) is {dataset.ignore_index}, which is ignored"
        return f"{where} has no label to learn from: {ignored}; write class indices from 0 to {dataset.num_classes - 1}"
    return f"{where} has one class to learn, and a network needs two: {_one_class(dataset, labels)}"


def unscorable(dataset: Dataset) -> str:
    """Why a network cannot be scored on this split; empty if it can, or if `verify` has not read it."""
    labels, where = dataset.labels, f"{dataset.name} {dataset.split}"
    if labels is None or (labels.classes and not is_zero_and_255(dataset)):
        return ""
    if not labels.labelled:
        return f"{where} has no labels to score against"
    if not labels.classes:
        return f"{where}: every pixel is ignored (label {dataset.ignore_index}); there is nothing to score"
    return f"{where} has one class to score: {_one_class(dataset, labels)}"


def remark(dataset: Dataset) -> str:
    """What a user should know about labels that can be used, and look odd; often empty."""
    labels, where = dataset.labels, f"{dataset.name} {dataset.split}"
    if labels is None:
        return ""
    if fault := unscorable(dataset):
        return f"{fault}. No scores are computed."
    names = dataset.class_names
    if labels.rare:
        met = ", ".join(names[index] for index in labels.classes)
        return f"{where}: most labels hold one class or none; among all {len(dataset)}, these were met first: {met}."
    if len(labels.classes) == 1 < dataset.num_classes:
        one = names[labels.classes[0]]
        return f"{where}: every labelled pixel is {one}; its score says nothing about the other classes."
    return ""


def is_zero_and_255(dataset: Dataset) -> bool:
    """Whether all labels hold class 0 and ignored pixels only: 255 was probably meant as the second class."""
    labels, mapping = dataset.labels, getattr(dataset.reader, "mapping", None) or {}
    masks = getattr(dataset.reader, "masks", None)
    meanings = [*mapping.values()] if masks is None else [*masks.values.values(), *masks.colours.values()]
    if dataset.ignore_index in meanings or (masks is not None and masks.others == "ignore"):
        return False  # other stored values are ignored too, as in Cityscapes
    return labels is not None and labels.classes == (0,) and labels.ignored and dataset.num_classes >= ENOUGH


def _one_class(dataset: Dataset, labels: Labels) -> str:
    name = dataset.class_names[labels.classes[0]]
    if not is_zero_and_255(dataset):
        return f"every labelled pixel of all labels ({len(dataset)}) is {name}"
    text = f"all labels ({len(dataset)}) hold 0 ({name}) and {dataset.ignore_index} only, and {dataset.ignore_index} is ignored"
    second = dataset.class_names[1]
    word = shlex.quote(f"values={{255: {_as_yaml(second)}}}")
    option = f", or add --data-options {word}" if dataset.name == "folder" else ""
    return f"{text}; if it means {second}, write 1 instead of 255{option}"


def _as_yaml(name: str) -> str:
    """A name as it is written in a mapping: in quotes where it would be a list, a number or the like without."""
    try:
        is_plain = yaml.safe_load(f"[{name}]") == [name]
    except yaml.YAMLError:
        is_plain = False
    return name if is_plain else json.dumps(name, ensure_ascii=False)
