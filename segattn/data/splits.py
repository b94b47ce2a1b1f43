"""The splits of an experiment's data set: opened with its settings and checked before anything is computed."""

from __future__ import annotations

import inspect
from typing import Any

from segattn import config, data
from segattn.data.tools import labels
from segattn.data.transforms import Normalization


def open_data(section: config.Data) -> tuple[data.Dataset, data.Dataset]:
    """The training and the validation split of an experiment, checked sample by sample.

    Raises:
        ValueError: as `open_split`; the training labels have fewer than two classes.
    """
    train_set = open_split(section, section.train_split, section.train_images)
    labels.refuse_unlearnable(train_set)
    return train_set, open_split(section, section.val_split, section.val_images)


def open_split(section: config.Data, split: str, limit: int | None) -> data.Dataset:
    """One split of an experiment's data set, its first `limit` images or all, checked sample by sample.

    Raises:
        ValueError: a file or value that would fail later, a single class, a setting that this data set does not have, or one
            that is given twice.
    """
    dataset = load_split(section, split, limit)
    labels.refuse_one_class(dataset)
    data.verify(dataset)
    return dataset


def load_split(section: config.Data, split: str, limit: int | None) -> data.Dataset:
    """One split of an experiment's data set, its first `limit` images or all; no sample is read.

    Raises:
        ValueError: a setting that this data set does not have, or one that is given twice; files that are missing or unpaired.
    """
    options = dict(section.options)
    allowed = inspect.signature(data.module(section.name).load).parameters
    if section.size is not None:
        if not {"height", "width"} <= allowed.keys():
            raise ValueError(f"data.size is for generated images; {section.name} has images of its own, leave it out")
        _add(options, "data.size", height=section.size[0], width=section.size[1])
    if limit is not None and "num_images" in allowed:
        _add(options, "data.train_images or data.val_images", num_images=limit)
    dataset = data.load(section.name, split, root=section.root, **options)
    if limit is not None and len(dataset) > limit:
        dataset = dataset.first(limit)
    return dataset


def notices(*datasets: data.Dataset, network: config.Model | None = None) -> list[str]:
    """What a user should know about the labels and images of these splits, as far as they were read; each sentence once.

    That `network` has no statistics of their bands is said too.
    """
    sentences = [sentence for dataset in datasets for sentence in (dataset.notice, labels.remark(dataset))]
    lines = [
        f"{dataset.name} {dataset.split}: {line}"
        for dataset in datasets
        for _, line in getattr(dataset.reader, "notes", list)()
    ]
    if network is not None and not (entry := Normalization.of(network)).is_given:
        word = "band" if entry.in_channels == 1 else "bands"
        lines.append(
            f"No model.mean and model.std are given for {entry.in_channels} {word}: each enters with mean {entry.mean[0]} and "
            f"standard deviation {entry.std[0]}. `segattn data statistics` computes those of the training images"
        )
    return list(dict.fromkeys([*filter(None, sentences), *lines]))


def _add(options: dict[str, Any], setting: str, **values: Any) -> None:
    for name, value in values.items():
        if name in options:
            raise ValueError(f"data.options has {name}, which {setting} says too; give one of them")
        options[name] = value
