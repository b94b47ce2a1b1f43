"""The runs of a study: every head with every seed, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segattn import config as configuration
from segattn import cost, records
from segattn.config import Experiment
from segattn.training.checks import check


def run_name(config: Experiment) -> str:
    """Name of a run's folder, such as `ccnet-faithful-s0`."""
    return f"{config.model.head.replace('.', '-')}-{config.model.mode}-s{config.seed}"


def plan(config: Experiment, head_names: Sequence[str], seeds: Sequence[int]) -> list[Experiment]:
    """The runs of a study: all heads with one seed, then all with the next seed.

    Raises:
        ValueError: unknown head, an option that a head does not have, a head named twice, or nothing to run.
    """
    if not head_names or not seeds:
        raise ValueError("a study needs at least one head and one seed")
    twice = sorted({head for head in head_names if list(head_names).count(head) > 1})
    if twice:
        raise ValueError(
            f"{', '.join(twice)} given more than once; name each head once, and give more seeds for repetitions"
        )
    check(config)
    runs = [configuration.with_head(config, head, seed=seed) for seed in seeds for head in head_names]
    for run in runs[: len(head_names)]:
        cost.check_head(run.model)  # a wrong option fails before the first run
    return runs


def is_finished(folder: Path, run: Experiment) -> bool:
    """Whether the folder holds the record of exactly this run.

    Raises:
        ValueError: it holds the record of another experiment, or one that cannot be read.
    """
    path = folder / "record.json"
    if not path.exists():
        return False
    # read as an experiment: settings that an older version did not have take their defaults
    recorded = configuration.from_dict(records.read(path).config, allow_modules=None)
    if configuration.to_dict(recorded) != configuration.to_dict(run):
        raise ValueError(f"{folder} holds the record of another experiment; choose another --out or remove that folder")
    return True
