"""The settings that a study sweeps over: their short names and their values in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def value_of(config: Mapping[str, Any], path: str) -> Any:
    """The value at a path of an experiment in plain JSON types; None where there is none.

    >>> value_of({"optimization": {"lr": 0.1}}, "optimization.lr")
    0.1
    """
    value: Any = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def short_names(swept: Sequence[str]) -> dict[str, str]:
    """The last part of each path; the whole path where two have the same last part.

    >>> short_names(["optimization.lr", "evaluation.crop_size", "augmentation.crop_size"])
    {'optimization.lr': 'lr', 'evaluation.crop_size': 'evaluation.crop_size', 'augmentation.crop_size': 'augmentation.crop_size'}
    """
    last = [path.rpartition(".")[2] for path in swept]
    return {path: name if last.count(name) == 1 else path for path, name in zip(swept, last, strict=True)}
