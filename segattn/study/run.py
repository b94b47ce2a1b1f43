"""A study: every head with every seed, under one protocol, one record per run, and the cost of each head at the paper's sizes.

Finished runs are not repeated; an interrupted run resumes from its checkpoint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from segattn import config as configuration
from segattn import cost, records
from segattn.config import Experiment
from segattn.data.features import StoredFeatures
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools.labels import refuse_unscorable
from segattn.study.features import FEATURES_LIMIT, shared_features
from segattn.training import fingerprint, looks
from segattn.training.checks import check
from segattn.training.folder import ended
from segattn.training.run import Progress
from segattn.training.together import train_side_by_side
from segattn.training.train import OnNotice, train


@dataclass(frozen=True)
class Position:
    """Progress of a study, for progress bars."""

    run: int
    """Index of the run, from 0."""
    num_runs: int
    name: str
    progress: Progress | None
    """None when the run is finished, in this call or an earlier one."""
    count: int = 1
    """Runs that the progress is of: those trained side by side, beginning with `run`."""


_OWN = ("folder", "huggingface", "webdataset")
"""Data sets that read a user's own data, and experiments of these names."""

OnPosition = Callable[[Position], object]


def run_name(config: Experiment) -> str:
    """Name of a run's folder, such as `ccnet-faithful-s0`."""
    return f"{config.model.head.replace('.', '-')}-{config.model.mode}-s{config.seed}"


def study_name(config: Experiment) -> str:
    """Name of a study's folder below `runs`: the experiment's name, or the name of the folder that the user's own data are in.

    Letters and digits of any script, and . _ - stay; the rest becomes a dash. An experiment other than `folder` is named too.

    >>> study_name(Experiment(name="folder", data=configuration.Data(name="folder", root="~/my data/Pets (2)/")))
    'Pets-2'
    >>> study_name(Experiment(name="camvid", data=configuration.Data(name="folder", root="pets")))
    'camvid-pets'
    """
    where = config.data.root or config.data.options.get("dataset")
    if config.data.name not in _OWN or not where:
        return config.name
    folder = re.sub(r"[^\w.-]+", "-", Path(str(where)).expanduser().resolve().name).strip("-.") or "data"
    return folder if config.name in _OWN else f"{config.name}-{folder}"


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


def run_study(
    config: Experiment,
    out: str | Path,
    *,
    head_names: Sequence[str],
    seeds: Sequence[int] = (0,),
    command: str = "",
    device: str = "auto",
    num_workers: int = 0,
    features: str | Path | None = None,
    features_limit: int = FEATURES_LIMIT,
    fully_trained: Sequence[records.FullyTrained] = (),
    on_position: OnPosition = lambda position: None,
    on_notice: OnNotice = print,
) -> Path:
    """Run everything that is not finished yet; returns the path of the study's record.

    At the end, pictures of where the networks look are written into `looks` in `out`, and named in the record.

    In a head-only study the frozen backbone's maps are computed once and stored. Where they would not fit, the heads of a seed
    are trained side by side, which gives the same networks.

    Args:
        features: folder for the maps; by default `features` in `out`.
        features_limit: bytes that the maps may take; what is free on the disk is a limit too.
        fully_trained: networks of the zoo to show beside the study's; goes into its record.

    Raises:
        ValueError: as `plan` and `segattn.training.train.train`; no network could be scored on the validation split; a finished
            run has other classes than the data.
        segattn.training.train.Interrupted: a signal was received; the same call resumes the study.
    """
    out = Path(out)
    runs = plan(config, head_names, seeds)
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes, only rank 0 writes and prints
    said: set[str] = set()

    def say_once(notice: str) -> None:
        if first and notice not in said:
            said.add(notice)
            on_notice(notice)

    opened = None
    finished_before = [out / run_name(run) for run in runs if _is_finished(out / run_name(run), run)]
    if len(finished_before) < len(runs):
        opened = open_data(config.data)  # a damaged file fails before the first network is trained
        refuse_unscorable(opened[1])
        fingerprint.check_trained_on(finished_before, opened)
        for notice in notices(*opened):
            say_once(notice)
    costs = reference_costs(head_names, config.model.mode)
    settings: dict[str, Any] = {"device": device, "num_workers": num_workers, "opened": opened, "on_notice": say_once}
    if opened is not None and config.optimization.train == "head":
        settings["stored"] = shared_features(
            runs,
            opened,
            out / "features" if features is None else Path(features),
            limit=features_limit,
            device=device,
            on_progress=lambda progress: on_position(Position(0, len(runs), "features", progress)),
            on_notice=say_once,
        )
    finished: list[str] = []
    path = out / "study.json"
    pictures = looks.recorded(path) if first else None

    def save(name: str) -> None:
        record = records.StudyRecord(
            experiment=config.name,
            command=command,
            runs=finished,
            costs=costs,
            environment=records.read(out / name / "record.json").environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            head_facts={head: cost.head_facts(head, config.model.mode) for head in head_names},
            fully_trained=list(fully_trained),
            looks=pictures,
        )
        with records.Lease(out, "study", wait=60, on_notice=on_notice):  # each holds it for one write
            records.write(record, path)

    for number, run in enumerate(runs):
        folder = out / run_name(run)
        if _is_finished(folder, run):
            ended(folder)  # a kill may have left its checkpoints
        else:
            same_seed = [(other, out / run_name(other)) for other in runs if other.seed == run.seed]
            _train(run, same_seed, settings, partial(_tell, on_position, number, len(runs)))
        finished.append(f"{folder.name}/record.json")
        if first:
            save(folder.name)
        on_position(Position(number, len(runs), run_name(run), None))
    if first:
        drawn = looks.update(
            pictures,
            config,
            [out / run_name(run) for run in runs if run.seed == min(seeds)],
            out,
            lambda: opened[1] if opened else open_split(config.data, config.data.val_split, config.data.val_images),
            device=device,
            allow_modules=[*head_names, config.data.name],
            on_notice=on_notice,
        )
        if drawn != pictures:
            pictures = drawn
            save(run_name(runs[-1]))
    return path


def _train(
    run: Experiment,
    same_seed: Sequence[tuple[Experiment, Path]],
    settings: dict[str, Any],
    tell: Callable[[str, Progress, int], object],
) -> None:
    """Train a run; with it all of its seed, if the maps of a frozen backbone are not stored."""
    stored: StoredFeatures | None = settings.get("stored")
    if stored is None or stored.train is not None:
        folder = next(folder for other, folder in same_seed if other == run)
        tell(run_name(run), Progress("train", 0, run.optimization.iterations), 1)
        train(run, folder, **settings, on_progress=lambda progress: tell(run_name(run), progress, 1))
        return
    count = len(same_seed)
    name = f"{count} heads side by side, seed {run.seed}" if count > 1 else run_name(run)

    def report(index: int, progress: Progress) -> None:
        done, total = progress.done, progress.total
        if progress.stage == "evaluate":  # one head after the other
            done, total = index * total + done, count * total
        tell(name, Progress(progress.stage, done, total), count)

    tell(name, Progress("train", 0, run.optimization.iterations), count)
    train_side_by_side(same_seed, **settings, on_progress=report)


def _tell(on_position: OnPosition, number: int, num_runs: int, name: str, progress: Progress, count: int) -> None:
    on_position(Position(number, num_runs, name, progress, count))


def reference_costs(head_names: Sequence[str], mode: str = "faithful") -> list[records.Cost]:
    """Cost of each head with ResNet-101 at output stride 8 and the study's crops: 19 classes at 769, 150 at 520."""
    costs = []
    for head in head_names:
        for size, num_classes in zip(cost.REFERENCE_SIZES, cost.REFERENCE_CLASSES, strict=True):
            costs.append(cost.network_cost(head, input_size=size, num_classes=num_classes, mode=mode))
    return costs


def _is_finished(folder: Path, run: Experiment) -> bool:
    """Whether the folder holds the record of exactly this run."""
    path = folder / "record.json"
    if not path.exists():
        return False
    # read as an experiment: settings that an older version did not have take their defaults
    recorded = configuration.from_dict(records.read(path).config, allow_modules=None)
    if configuration.to_dict(recorded) != configuration.to_dict(run):
        raise ValueError(f"{folder} holds the record of another experiment; choose another --out or remove that folder")
    return True
