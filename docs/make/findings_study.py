"""A packed study of docs/records/findings, gathered by network."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segattn import cost, heads
from segattn.report.shared import power, student
from segattn.report.shared.student import Difference
from segattn.report.shared.twoway import Spread

RECORDS = Path(__file__).parents[1] / "records/findings"
LEVEL = 0.05
"""Of p values after the correction for the number of comparisons."""


UNKNOWN = "(not measured yet)"
"""Within a sentence, in place of a difference."""


class NotRun(LookupError):
    """A study lacks a network that a table or picture needs."""


class _Networks(dict[str, list[dict[str, Any]]]):
    """Runs by network, of the study `name`."""

    name = ""

    def __missing__(self, network: str) -> list[dict[str, Any]]:
        raise NotRun(f"Of the study `{self.name}`, `{network}` has not been run yet.")


@dataclass(frozen=True)
class Packed:
    """One file that `docs.make.findings_records` wrote."""

    name: str
    content: dict[str, Any]

    @cached_property
    def networks(self) -> dict[str, list[dict[str, Any]]]:
        """Runs by network, highest mean mIoU first; a network that has none raises NotRun."""
        by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for run in self.content["runs"]:
            by_name[run["network"]].append(run)
        networks = _Networks(sorted(by_name.items(), key=lambda item: -self._mean(item[1])))
        networks.name = self.name
        return networks

    @property
    def seeds(self) -> int:
        """Seeds that every network has."""
        return min(len(runs) for runs in self.networks.values())

    @staticmethod
    def _mean(runs: list[dict[str, Any]]) -> float:
        return student.mean([run["mean_iou"] for run in runs])

    @cached_property
    def _differences(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(each["a"], each["b"]): each for each in self.content["differences"]}

    def compares(self, a: str, b: str) -> bool:
        """Whether the difference of these networks was packed."""
        return (a, b) in self._differences or (b, a) in self._differences

    def difference(self, a: str, b: str) -> Difference:
        """Mean IoU of `a` minus that of `b` in points, with its 95 % interval over seeds and images.

        One seed has neither interval nor p value.

        Raises:
            NotRun: the study lacks one of them.
        """
        each, sign = self._differences.get((a, b)), 1
        if each is None:
            self.networks[a], self.networks[b]  # NotRun, where one is missing
            each, sign = self._differences[b, a], -1
        low, high = (None if each[end] is None else sign * 100 * each[end] for end in ("low", "high"))
        ends = (low, high) if sign > 0 else (high, low)
        return Difference(sign * 100 * each["value"], *ends, None if low is None else each["p"])

    def values(self, network: str, key: str) -> list[float]:
        """A score of each seed in points; `without.X` is X with the mechanism cut out."""
        values = []
        for run in self.networks[network]:
            part, _, rest = key.partition(".")
            value = run.get("without", {}).get(rest) if part == "without" else run.get(key)
            if value is not None:
                values.append(100 * value)
        return values

    def of_class(self, network: str, index: int) -> list[dict[str, Any]]:
        """The runs with the IoU of a class as `of_class`; None where it does not occur."""
        return [{**run, "of_class": run["iou"][index]} for run in self.networks[network]]

    def mean(self, network: str, key: str) -> float | None:
        values = self.values(network, key)
        return student.mean(values) if values else None

    def contribution(self, network: str) -> float | None:
        """Points that the network loses when its mechanism is cut out."""
        whole, without = self.mean(network, "mean_iou"), self.mean(network, "without.mean_iou")
        return None if whole is None or without is None else whole - without

    def flops(self, network: str, part: str = "mechanism") -> float:
        """GFLOPs of a part at the crop's size."""
        return float(self.networks[network][0]["flops"][part]) / 1e9

    def family(self, network: str) -> str:
        run = self.networks[network][0]
        return cost.head_facts(run["head"], run["mode"]).family if run["head"] in heads.names() else "other"

    @cached_property
    def spread(self) -> Spread | None:
        """What makes the difference of two networks uncertain: means over all pairs."""
        spreads = [each["spread"] for each in self.content["differences"] if each["spread"] is not None]
        measured = [each for each in spreads if each["num_images"] is not None] or spreads
        if not measured:
            return None
        seeds, images = (
            student.mean([each[name] for each in measured]) for name in ("between_seeds", "between_images")
        )
        return Spread(seeds, images, min(each["num_seeds"] for each in measured), measured[0]["num_images"])

    def seeds_needed(self, points: float) -> float:
        """Seeds that detect a difference of so many points with 80 % power on the same images; inf: no number does."""
        return math.nan if self.spread is None else power.seeds_needed(self.spread, points / 100)

    def told_apart(self) -> tuple[int, int]:
        """How many pairs of networks differ after Holm's correction over all pairs, and how many pairs there are.

        One seed tells none apart.
        """
        pairs = [(each["a"], each["b"]) for each in self.content["differences"]]
        known = [p for pair in pairs if (p := self.difference(*pair).p) is not None]
        return sum(p < LEVEL for p in student.holm(known)), len(pairs)

    @property
    def missing(self) -> str:
        """Which runs are missing, in a sentence; empty where none is."""
        names = self.content["missing"]
        runs = "planned run is" if len(names) == 1 else "planned runs are"
        return f"{len(names)} {runs} missing: {', '.join(names)}." if names else ""


def clear(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """Those that differ from 0 after Holm's correction over all that have a p value."""
    known = {name: each.p for name, each in differences.items() if each.p is not None}
    adjusted = dict(zip(known, student.holm(list(known.values())), strict=True))
    return {name: differences[name] for name, p in adjusted.items() if p < LEVEL}


def swept(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings that the study swept and their values in these runs, by the last part of their names."""
    return {name.rpartition(".")[2]: value for name, value in runs[0]["swept"].items()}


def provenance(studies: list[Packed]) -> list[str]:
    """The commands of studies, where and when they ran, and which of their runs are missing; each thing once."""
    commands = dict.fromkeys(f"    {study.content['command']}" for study in studies)
    machines = dict.fromkeys(f"{study.content['machine']}, {study.content['date']}" for study in studies)
    missing = dict.fromkeys(study.missing for study in studies if study.missing)
    return ["\n".join(commands), f"{'; '.join(machines)}.", *missing]


def read(name: str) -> Packed | None:
    """The study of this name; None where it was not packed."""
    path = RECORDS / f"{name}.json"
    return Packed(name, json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def starting_with(prefix: str) -> list[Packed]:
    """The packed studies whose names begin so, in alphabetical order."""
    names = sorted(path.stem for path in RECORDS.glob(f"{prefix}*.json"))
    return [study for name in names if (study := read(name)) is not None]
