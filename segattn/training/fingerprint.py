"""What a frozen backbone's maps depend on: weights and options, the data and their files, the augmentation, the type."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import torch
from torch import nn

from segattn import config as configuration
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.features import FORMAT


def facts(
    experiment: Experiment, backbone: nn.Module, opened: tuple[Dataset, Dataset], *, precision: str
) -> dict[str, Any]:
    """Everything that can change a frozen backbone's maps, but for the stages that are stored; as plain JSON types."""
    raw = configuration.to_dict(experiment)
    model = raw["model"]
    return {
        "format": FORMAT,
        "backbone": {name: model[name] for name in ("backbone", "output_stride", "backbone_options")},
        "weights": _digest(backbone),
        "data": raw["data"],
        "samples": [_samples_digest(dataset, experiment.data.root) for dataset in opened],
        "augmentation": raw["augmentation"],
        "features": raw["features"],
        "precision": precision,
    }


def _digest(backbone: nn.Module) -> str:
    """SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


_COMPARED = 8
"""Samples of a split whose pixels are part of the key."""


def _samples_digest(dataset: Dataset, root: str | None) -> str:
    """SHA-256 of the names, of some samples' pixels and labels, and of size and time of change of every file below `root`."""
    digest = hashlib.sha256(json.dumps([dataset.image_name(index) for index in range(len(dataset))]).encode())
    step = max(1, len(dataset) // _COMPARED)
    for index in range(0, len(dataset), step):
        sample = dataset[index]
        digest.update(sample.image.tobytes())
        digest.update(b"" if sample.label is None else sample.label.tobytes())
    for folder, folders, files in os.walk(root) if root is not None else ():
        folders.sort()
        for name in sorted(files):
            status = os.stat(os.path.join(folder, name))
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
