"""Sweeps: the settings in which the runs of a study differ beside head and seed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segattn import config as configuration
from segattn.config import Experiment
from segattn.records.swept import short_names, value_of

Settings = Mapping[str, Any]
"""Values by path, such as `{"optimization.lr": 0.01}`; the name of an option of the head is a third part."""

_INSTEAD = {
    "model.head": "--heads",
    "seed": "--seeds",
    "name": "an experiment of your own",
    "model.mode": "one study each",
}


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values; the first path changes slowest.

    >>> grid({"optimization.lr": [0.1, 0.2], "optimization.warmup": [5]})
    [{'optimization.lr': 0.1, 'optimization.warmup': 5}, {'optimization.lr': 0.2, 'optimization.warmup': 5}]
    """
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def paths(sweep: Iterable[Settings]) -> list[str]:
    """The paths that a sweep sets, in order."""
    return list(dict.fromkeys(path for settings in sweep for path in settings))


def with_settings(config: Experiment, settings: Settings) -> Experiment:
    """The experiment with these settings.

    Raises:
        ValueError: a path that an experiment does not have, a value of another type or out of range, or what has an option of
            its own.
    """
    raw = configuration.to_dict(config)
    for path, value in settings.items():
        if path in _INSTEAD:
            raise ValueError(f"--sweep {path}: not a setting to sweep over; use {_INSTEAD[path]}")
        *parents, name = path.split(".")
        inside = raw
        for parent in parents:
            if not isinstance(inside.get(parent), dict):
                raise ValueError(f"--sweep {path}: an experiment has no {parent}; write a path such as optimization.lr")
            inside = inside[parent]
        inside[name] = value
    try:
        return configuration.from_dict(raw, allow_modules=None)
    except ValueError as error:
        raise ValueError(f"--sweep {', '.join(settings)}: {error}") from None


def part_of_name(config: Experiment, swept: Sequence[str]) -> str:
    """What a run's folder is named after in a sweep, such as `lr0.01-num_bases64`."""
    raw = configuration.to_dict(config)
    parts = [f"{name}{_plain(value_of(raw, path))}" for path, name in short_names(swept).items()]
    return "-".join(parts)


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text.replace(", ", "x")).strip("-")[:40]
