"""Networks within a budget, best first by recorded accuracy.

A network is a head on a backbone at an output stride. Two kinds of record are never mixed: your own run records, and results that
others have published (`records/published.csv`), each with its source. Only records of the same data set can be ranked.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from segattn import records
from segattn.cost import network_cost
from segattn.records import published
from segattn.records.published import Published

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
OUTPUT_STRIDES = (8, 16)
Key = tuple[str, str, int]  # head, backbone, output stride


@dataclass(frozen=True)
class Recorded:
    """The result of your own runs: the mean over the seeds of one protocol."""

    mean_iou: float
    seeds: int
    experiment: str
    mode: str
    crop_size: tuple[int, int]
    iterations: int
    differs: str = ""
    """The settings that tell it from other protocols of the same experiment's name; empty where there is one only."""


@dataclass(frozen=True)
class Network:
    """One line: a network, its cost and its recorded accuracy."""

    head: str
    backbone: str
    output_stride: int
    cost: float
    recorded: Recorded | None = None
    published: Published | None = None

    @property
    def key(self) -> Key:
        return self.head, self.backbone, self.output_stride


def within(
    limit: float,
    cost: Callable[[str, str, int], float],
    heads: Sequence[str],
    *,
    recorded: dict[Key, Recorded],
    others: dict[Key, Published],
    backbones: Sequence[str] = BACKBONES,
    output_strides: Sequence[int] = OUTPUT_STRIDES,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Network]:
    """The networks whose cost is at most `limit`: those recorded here first, then those published, then the rest by cost.

    Raises:
        NothingFits: no network is; the message names the cheapest.
    """
    keys = [(head, backbone, stride) for backbone in backbones for stride in output_strides for head in heads]
    networks = []
    for number, key in enumerate(keys, start=1):
        networks.append(Network(*key, cost(*key), recorded.get(key), others.get(key)))
        on_progress(number, len(keys))
    fitting = [network for network in networks if network.cost <= limit]
    if not fitting:
        least = min(networks, key=lambda network: network.cost)
        raise NothingFits(least)
    return sorted(fitting, key=_order)


class NothingFits(ValueError):
    """No network is within the budget; `least` is the cheapest."""

    def __init__(self, least: Network) -> None:
        super().__init__(f"nothing fits; {least.head} on {least.backbone} needs least")
        self.least = least


def _order(network: Network) -> tuple[int, float]:
    if network.recorded is not None:
        return 0, -network.recorded.mean_iou
    if network.published is not None:
        return 1, -network.published.mean_iou
    return 2, network.cost


def counted(
    what: str, input_size: tuple[int, int], num_classes: int, mode: str, in_channels: int = 3
) -> Callable[[str, str, int], float]:
    """A cost of `network_cost` ("flops", "macs", "study" or "parameters") for one image."""

    def cost(head: str, backbone: str, output_stride: int) -> float:
        costs = network_cost(
            head,
            input_size=input_size,
            num_classes=num_classes,
            backbone=backbone,
            output_stride=output_stride,
            in_channels=in_channels,
            mode=mode,
        )
        figure: int = getattr(costs.network, what)
        return figure

    return cost


# Records ---------------------------------------------------------------------------------------------------------------
def run_records(*folders: str | os.PathLike[str]) -> dict[Path, records.RunRecord]:
    """Every run record in the folders and below them, but for hidden folders, by the folder of the run; a run
    that two of them hold is there once.

    Raises:
        ValueError: no such folder, or no run record in it; a record that cannot be read.
    """
    by_file: dict[Path, Path] = {}
    for folder in folders:
        below = sorted(Path(folder).rglob("record.json"))
        paths = [path for path in below if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        if not paths:
            raise ValueError(f"{folder}: no run records (record.json) in it; give a folder that `segattn study` wrote")
        for path in paths:
            by_file.setdefault(path.resolve(), path)
    read = {path.parent: records.read(path) for path in by_file.values()}
    return {folder: record for folder, record in read.items() if isinstance(record, records.RunRecord)}


def recorded_here(
    runs: Iterable[records.RunRecord], dataset: str, mode: str, folders: Iterable[Path] = ()
) -> dict[Key, Recorded]:
    """The best protocol of each network on a data set: the mean over seeds of runs that differ in nothing else.

    `folders` are those of the runs, in their order, for the message.

    Raises:
        ValueError: a seed twice under the same settings.
    """
    groups: dict[Key, dict[str, list[tuple[records.RunRecord, Path | None]]]] = defaultdict(lambda: defaultdict(list))
    for run, folder in zip(runs, chain(folders, repeat(None))):  # noqa: B905 (the second is endless)
        if run.dataset.lower() == dataset.lower() and run.mode == mode:
            model = run.config.get("model", {})
            key = (run.head, str(model.get("backbone", "")), int(model.get("output_stride", 0)))
            groups[key][json.dumps([run.experiment, _protocol(run)], sort_keys=True)].append((run, folder))
    best: dict[Key, Recorded] = {}
    for key, of_key in groups.items():
        protocols = [[run for run, _ in members] for members in of_key.values()]
        for members in of_key.values():
            _refuse_twice(members)
        group = max(protocols, key=_mean_iou)
        same_name = [each for each in protocols if each[0].experiment == group[0].experiment]
        height, width = group[0].config.get("augmentation", {}).get("crop_size", (0, 0))
        best[key] = Recorded(
            _mean_iou(group),
            len(group),
            group[0].experiment,
            mode,
            (height, width),
            group[0].iterations,
            _differing(group[0], [each[0] for each in same_name]),
        )
    return best


def _mean_iou(runs: Sequence[records.RunRecord]) -> float:
    return sum(run.scores.mean_iou for run in runs) / len(runs)


def _protocol(run: records.RunRecord) -> dict[str, object]:
    """Every setting under a dotted name, except for the seed and where the data lie."""
    settings = {name: value for name, value in _flat(run.config) if name not in ("seed", "data.root")}
    return {**settings, "iterations": run.iterations, "split": getattr(run, "split", "")}


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _differing(run: records.RunRecord, others: Sequence[records.RunRecord]) -> str:
    """The settings that tell a protocol from others of the same name: `optimization.lr=0.01`; empty without others."""
    own, protocols = _protocol(run), [_protocol(other) for other in others]
    return ", ".join(
        f"{name}={value}" for name, value in own.items() if any(value != each.get(name) for each in protocols)
    )


def _refuse_twice(members: Sequence[tuple[records.RunRecord, Path | None]]) -> None:
    for run, _ in members:
        twice = [folder for other, folder in members if other.seed == run.seed]
        if len(twice) > 1:
            where = f": {', '.join(map(str, twice))}" if all(twice) else ""
            raise ValueError(
                f"{run.head} ({run.mode}) of {run.experiment} has seed {run.seed} {len(twice)} times under the same settings"
                f"{where}; give each run once"
            )


def published_by_others(dataset: str) -> dict[Key, Published]:
    """The best published row of each network on a data set, at one scale."""
    best: dict[Key, Published] = {}
    for row in published.on(dataset):
        network = backbone_of(row.backbone)
        if network is not None and (
            (row.head, *network) not in best or row.mean_iou > best[row.head, *network].mean_iou
        ):
            best[row.head, *network] = row
    return best


def backbone_of(written: str) -> tuple[str, int] | None:
    """Our name and the output stride of a backbone as a model zoo writes it; None if we do not have it.

    >>> backbone_of("R-101-D8"), backbone_of("ResNet50_OS8"), backbone_of("R-101b-D8")
    (('resnet101', 8), ('resnet50', 8), None)
    """
    match = re.fullmatch(r"(?:R-|ResNet)(\d+)(?:-D|_OS)(\d+)", written)
    return (f"resnet{match[1]}", int(match[2])) if match else None
