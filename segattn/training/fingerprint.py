"""What a run's data are: classes, names and sizes of all samples, and the contents of those that are read when a split is opened.

Also, with the same fingerprint, everything that a frozen backbone's maps depend on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from segattn import config as configuration
from segattn import data, records
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.classes import named
from segattn.data.features import FORMAT
from segattn.records import integrity

_SHOWN = 3


class DataChanged(Exception):
    """The data are not those that a run began with."""


@dataclass(frozen=True)
class Split:
    """One split of the data."""

    split: str
    class_names: list[str]
    images: int
    """Number of samples."""
    names: str
    """SHA-256 of their names, in order."""
    sizes: str
    """SHA-256 of what is stored of each: bytes of its files, extent in a packed file."""
    contents: dict[str, str]
    """The beginning of the SHA-256 of samples, by name: of all, or of those that `data.verify` reads of a large split."""


def of_split(dataset: Dataset) -> Split:
    """The fingerprint of an open split. No file is opened, unless `data.verify` has not read its samples yet."""
    if dataset.contents is None:
        data.verify(dataset)
    indices = range(len(dataset))
    return Split(
        split=dataset.split,
        class_names=list(dataset.class_names),
        images=len(dataset),
        names=integrity.sha256_of([dataset.image_name(index) for index in indices]),
        sizes=integrity.sha256_of([dataset.stored(index) for index in indices]),
        contents=dict(dataset.contents or {}),
    )


def of_splits(train_set: Dataset, val_set: Dataset) -> dict[str, Any]:
    """The fingerprint of an experiment's data, as plain JSON types."""
    return {"train": dataclasses.asdict(of_split(train_set)), "val": dataclasses.asdict(of_split(val_set))}


def difference(before: Any, now: Mapping[str, Any]) -> str:
    """In what the data differ, in words; empty if they are the same.

    Raises:
        ValueError: `before` is no fingerprint.
    """
    if before == now:
        return ""
    try:
        written = msgspec.convert(before, dict[str, Split])
        splits = [(name, written[name], msgspec.convert(now[name], Split)) for name in now]
    except (msgspec.ValidationError, KeyError) as error:
        raise ValueError(f"the fingerprint of the data is damaged ({error})") from None
    return "; ".join(f"{name}: {fault}" for name, old, new in splits if (fault := _difference(old, new)))


def noted(class_names: Sequence[str], trained_on: Any, dataset: Dataset) -> str:
    """What a user should know before a network is scored on this split: in what it differs from the training's; often empty.

    Args:
        class_names: of the network.
        trained_on: `data` of its config.json; None in files of version 0.1.0 and in the zoo.
    """
    if class_names and len(class_names) == dataset.num_classes and not named(class_names):
        return f"the network's classes have no names; they are taken in the order of {dataset.name} {dataset.split}"
    fault = classes_differ(list(class_names), list(dataset.class_names))
    if fault and set(class_names) == set(dataset.class_names):
        fault += ". Classes are matched by name"
    if not fault and isinstance(trained_on, dict):
        now = {"val": dataclasses.asdict(of_split(dataset))}
        before = {"val": trained_on.get("val")}
        if isinstance(before["val"], dict) and before["val"].get("split") == dataset.split:
            fault = difference(before, now).removeprefix("val: ")
    return f"{dataset.name} {dataset.split} is not what it was when the network was trained: {fault}" if fault else ""


def check_trained_on(runs: Sequence[Path], opened: tuple[Dataset, Dataset]) -> None:
    """Raise ValueError unless these finished runs were trained and scored on the data as they are now.

    Of runs of version 0.1.0, which noted no fingerprint, only the classes are compared.
    """
    files = [run / "config.json" for run in runs if (run / "config.json").exists()]
    noted_by = {path.parent: raw.get("data") for path in files if isinstance(raw := integrity.read_json(path), dict)}
    now = of_splits(*opened) if any(noted_by.values()) else {}
    classes = list(opened[1].class_names)
    for run in runs:
        if (before := records.read(run / "record.json").class_names) != classes:
            raise ValueError(
                f"{run} was trained with the classes {', '.join(before)}; now they are {', '.join(classes)}. Restore the class "
                "list, or choose another --out"
            )
        if (written := noted_by.get(run)) is not None and (fault := difference(written, now)):
            raise ValueError(
                f"{run} was trained on other data: {fault}. Restore them to go on with the study, or choose another --out"
            )


def _difference(old: Split, new: Split) -> str:
    if old.class_names != new.class_names:
        return classes_differ(old.class_names, new.class_names)
    if old.images != new.images:
        return f"{old.images} images then, {new.images} now"
    if old.names != new.names:
        return "other names of images, or another order"
    changed = [name for name, digest in old.contents.items() if new.contents.get(name, digest) != digest]
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        return f"image or mask of {', '.join(changed[:_SHOWN])}{more} is another"
    return "the size of a file is another" if old.sizes != new.sizes else ""


def classes_differ(before: list[str], now: list[str]) -> str:
    """The first difference of two lists of classes, in words; empty if they are the same."""
    if len(before) != len(now):
        return f"{len(before)} classes then, {len(now)} now"
    if set(before) == set(now) and before != now:
        return f"another order of the classes: class {_first(before, now)} was {before[_first(before, now)]}"
    if before != now:
        at = _first(before, now)
        return f"class {at} was {before[at]} and is {now[at]}"
    return ""


def _first(before: list[str], now: list[str]) -> int:
    return next(index for index, names in enumerate(zip(before, now, strict=True)) if names[0] != names[1])


# A frozen backbone's maps ---------------------------------------------------------------------------------------------------
def facts(
    experiment: Experiment, backbone: nn.Module, opened: tuple[Dataset, Dataset], *, precision: str
) -> dict[str, Any]:
    """Everything that can change a frozen backbone's maps, but for the stages that are stored; as plain JSON types."""
    raw, usual = configuration.to_dict(experiment), configuration.to_dict(configuration.Model())
    model = raw["model"]
    entry = {
        name: model[name] for name in ("in_channels", "mean", "std", "channel_order") if model[name] != usual[name]
    }
    return {
        "format": FORMAT,
        "backbone": {name: model[name] for name in ("backbone", "output_stride", "backbone_options")},
        "weights": _digest(backbone),
        "data": raw["data"],
        "samples": integrity.sha256_of(of_splits(*opened)),
        "files": _files_digest(experiment.data.root),
        "augmentation": raw["augmentation"],
        "features": raw["features"],
        "precision": precision,
        **({"input": entry} if entry else {}),  # maps that were stored before these settings existed stay valid
    }


def _digest(backbone: nn.Module) -> str:
    """SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _files_digest(root: str | None) -> str:
    """SHA-256 of size and time of change of every file below `root`: maps are computed anew rather than once too seldom."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root) if root is not None else ():
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))  # data sets skip what is hidden
        for name in sorted(name for name in files if not name.startswith(".")):
            status = os.stat(os.path.join(folder, name))
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
