"""The jobs of a study: which runs are executed apart, which side by side, and which share the maps of a frozen backbone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segattn import config as configuration
from segattn.config import Experiment, with_head
from segattn.study.features import Splits
from segattn.study.job import Features, Job

_OF_MAPS = ("train", "precision", "channels_last", "compile")
"""Settings of the optimisation that can change the maps of a frozen backbone."""


def groups(runs: Mapping[str, Experiment], key: Callable[[Experiment], str]) -> dict[str, dict[str, Experiment]]:
    """The runs, by folder, that have the same key."""
    together: dict[str, dict[str, Experiment]] = {}
    for name, run in runs.items():
        together.setdefault(key(run), {})[name] = run
    return together


def features_key(run: Experiment) -> str:
    """The same for runs that can share the maps of a frozen backbone: they differ in head, seed and optimisation only."""
    raw = configuration.to_dict(run)
    for name in ("head", "head_options"):
        del raw["model"][name]
    raw["optimization"] = {name: raw["optimization"][name] for name in _OF_MAPS}
    for name in ("seed", "validate_every", "checkpoint_every", "log_every"):
        del raw[name]
    return json.dumps(raw, sort_keys=True)


def shares_a_batch(run: Experiment, other: Experiment) -> bool:
    """Whether two runs differ in their head only, so that they can be trained side by side."""
    return run.seed == other.seed and with_head(run, other.model.head, seed=other.seed) == other


def looked_at(runs: Mapping[str, Experiment], out: Path, finished: Sequence[str]) -> list[Path]:
    """The runs whose pictures are drawn: those of the first seed, and of a sweep's first settings."""
    first = next(iter(runs.values()))
    return [out / name for name, run in runs.items() if name in finished and shares_a_batch(run, first)]


def jobs_of(
    waiting: Mapping[str, Experiment],
    runs: Mapping[str, Experiment],
    out: Path,
    *,
    device: str,
    num_workers: int,
    features: Path,
    splits: Splits | None,
    track: Sequence[str] | None = None,
) -> list[Job]:
    """The jobs that execute the runs which are waiting, of all runs of a study; both by folder.

    Args:
        features: folder of the frozen backbone's maps.
        splits: those whose maps are stored; None where no backbone is frozen.
    """
    plain = {folder: configuration.to_dict(run) for folder, run in runs.items()}
    settings: dict[str, Any] = {"out": str(out), "device": device, "num_workers": num_workers}
    settings["track"] = None if track is None else list(track)
    if splits is None:
        return [Job(runs=[(folder, plain[folder])], **settings) for folder in waiting]
    distinct = {json.dumps(plain[folder]["model"]): plain[folder] for folder in runs}
    shared = Features(root=str(features), heads=list(distinct.values()), splits=splits)
    if splits == "both":
        return [Job(runs=[(folder, plain[folder])], features=shared, **settings) for folder in waiting]
    together: list[list[str]] = []
    for folder, run in waiting.items():
        if not any(folder in each for each in together):
            together.append([other for other, each in runs.items() if shares_a_batch(each, run)])
    return [Job(runs=[(folder, plain[folder]) for folder in each], features=shared, **settings) for each in together]
