"""The runs of a study: every head with every seed, and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from segattn import config as configuration
from segattn import cost, data, records
from segattn.config import Experiment
from segattn.study.sweep import Settings, part_of_name, paths, with_settings
from segattn.training.checks import check


def train_again(folder: Path) -> str:
    """What to do about a run whose files are damaged."""
    return f"remove {folder}, and the study's command trains that run again"


def run_name(config: Experiment, swept: Sequence[str] = ()) -> str:
    """Name of a run's folder, such as `ccnet-faithful-s0`; in a sweep over these paths `ccnet-faithful-lr0.01-s0`."""
    middle = f"{part_of_name(config, swept)}-" if swept else ""
    return f"{config.model.head.replace('.', '-')}-{config.model.mode}-{middle}s{config.seed}"


def study_name(config: Experiment) -> str:
    """Name of a study's folder below `runs`: the experiment's name, or the name of the folder that the user's own data are in.

    Letters and digits of any script, and . _ - stay; the rest becomes a dash. An experiment other than `folder` is named too.

    >>> study_name(Experiment(name="folder", data=configuration.Data(name="folder", root="~/my data/Pets (2)/")))
    'Pets-2'
    >>> study_name(Experiment(name="camvid", data=configuration.Data(name="folder", root="pets")))
    'camvid-pets'
    """
    where = config.data.root or config.data.options.get("dataset")
    if config.data.name not in data.OWN or not where:
        return config.name
    folder = re.sub(r"[^\w.-]+", "-", Path(str(where)).expanduser().resolve().name).strip("-.") or "data"
    return folder if config.name in data.OWN else f"{config.name}-{folder}"


def plan(
    config: Experiment, head_names: Sequence[str], seeds: Sequence[int], sweep: Sequence[Settings] = ()
) -> list[Experiment]:
    """The runs of a study: all heads with one seed, then all with the next seed.

    Args:
        sweep: settings that replace those of the experiment; for each of them there are all heads and seeds.

    Raises:
        ValueError: unknown head, an option that a head does not have, a head or settings named twice, or nothing to run.
    """
    if not head_names or not seeds:
        raise ValueError("a study needs at least one head and one seed")
    twice = sorted({head for head in head_names if list(head_names).count(head) > 1})
    if twice:
        raise ValueError(
            f"{', '.join(twice)} given more than once; name each head once, and give more seeds for repetitions"
        )
    points = [with_settings(config, settings) for settings in sweep] or [config]
    runs = [
        configuration.with_head(point, head, seed=seed) for seed in seeds for point in points for head in head_names
    ]
    of_one_seed = runs[: len(head_names) * len(points)]
    for run in of_one_seed:
        check(run)
    for model in {repr(run.model): run.model for run in of_one_seed}.values():
        cost.check_head(model)  # a wrong option fails before the first run
    names = [run_name(run, paths(sweep)) for run in of_one_seed]
    if again := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--sweep gives {again[0]} more than once; name each value once")
    return runs


def is_finished(folder: Path, run: Experiment) -> bool:
    """Whether the folder holds the record of exactly this run.

    Raises:
        ValueError: it holds the record of another experiment, or one that cannot be read.
    """
    path = folder / "record.json"
    if not path.exists():
        return False
    try:
        record: records.RunRecord = records.read(path)
    except ValueError as error:
        raise ValueError(f"{error}; {train_again(folder)}") from None
    # read as an experiment: settings that an older version did not have take their defaults
    recorded = configuration.from_dict(record.config, allow_modules=None)
    if configuration.to_dict(recorded) != configuration.to_dict(run):
        raise ValueError(f"{folder} holds the record of another experiment; choose another --out or remove that folder")
    return True
