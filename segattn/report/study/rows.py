"""A run, and the row of the table that the runs of one head in one mode form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from segattn.records import Cost, HeadFacts, RunRecord
from segattn.report.shared import bootstrap, images, student
from segattn.report.shared.images import Images

HARD_CLASSES = ("pole", "fence", "wall", "train", "bus")


def is_hard(name: str) -> bool:
    """Whether a class is one of those that every network finds hard, under whatever spelling.

    >>> is_hard("Column_Pole"), is_hard("business")
    (True, False)
    """
    return not set(HARD_CLASSES).isdisjoint(re.split(r"[^a-z]+", name.lower()))


@dataclass(frozen=True)
class Run:
    """One run record and the folder that its relative paths start from."""

    record: RunRecord
    folder: Path

    @property
    def name(self) -> str:
        """Head, mode and seed, for messages."""
        return f"{self.record.head} ({self.record.mode}, seed {self.record.seed})"

    @cached_property
    def images(self) -> Images:
        """Counts of each image.

        Raises:
            ValueError: the run has not recorded them, or they cannot be read.
        """
        return self._read(details=True)

    @cached_property
    def pixels(self) -> Images:
        """The same without boundaries, strata and what the mechanism contributes, for studies of many runs."""
        return self._read(details=False)

    def _read(self, *, details: bool) -> Images:
        if self.record.per_image is None:
            raise ValueError(f"{self.folder}: the record names no counts of single images; run it again to have them")
        return images.read(self.folder, self.record.per_image, len(self.record.class_names), details=details)


def called(row: Row, rows: Sequence[Row]) -> str:
    """How commands name a network of a study: its head, with its mode where there are several of the head, and as the folders of
    its runs are where there are several of both (a sweep)."""
    of_head = [other for other in rows if other.head == row.head]
    if len(of_head) == 1:
        return row.head
    if sum(other.mode == row.mode for other in of_head) == 1:
        return f"{row.head}-{row.mode}"
    return row.folder_name


@dataclass(frozen=True)
class Row:
    """One network of the table: the runs of one head in one mode, one per seed."""

    label: str
    head: str
    mode: str
    experiment: str
    runs: list[Run]
    costs: dict[tuple[int, int], Cost] = field(default_factory=dict)
    """By input size, from the study record."""
    facts: HeadFacts | None = None
    """What the head declares; None in records of version 0.1.0."""
    swept: dict[str, Any] = field(default_factory=dict)
    """Values of the settings that the study sweeps over, by short name."""
    name: str = ""
    """The label without these settings, for tables that have a column for each; empty where there are none."""

    @property
    def folder_name(self) -> str:
        """That of its runs' folders without the seed, as `fcn-controlled-lr0.01`."""
        return self.runs[0].folder.name.removesuffix(f"-s{self.runs[0].record.seed}")

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.runs)

    @cached_property
    def values(self) -> list[float]:
        """Mean IoU of each seed, in [0, 1]."""
        return [run.record.scores.mean_iou for run in self.runs]

    @cached_property
    def mean_iou(self) -> float:
        """Mean over seeds."""
        return student.mean(self.values)

    @cached_property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds."""
        return student.deviation(self.values)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % t interval of the mean over seeds."""
        return student.mean_interval(self.values)

    @cached_property
    def pixel_accuracy(self) -> float:
        """Mean over seeds."""
        return student.mean([run.record.scores.pixel_accuracy for run in self.runs])

    @cached_property
    def mean_accuracy(self) -> float:
        """Mean over seeds."""
        return student.mean([run.record.scores.mean_accuracy for run in self.runs])

    @cached_property
    def train_seconds(self) -> float:
        """Mean over seeds."""
        return student.mean([run.record.train_seconds for run in self.runs])

    @cached_property
    def iou(self) -> list[float | None]:
        """Per class, the mean over the seeds in which it is defined; None where it is in none."""
        columns = zip(*(run.record.scores.iou for run in self.runs), strict=True)
        present = [[value for value in column if value is not None] for column in columns]
        return [student.mean(values) if values else None for values in present]

    @cached_property
    def confusion(self) -> list[list[int]]:
        """Pixels summed over seeds, row = label, column = prediction."""
        matrices = [run.record.scores.confusion for run in self.runs]
        return [[sum(cells) for cells in zip(*lines, strict=True)] for lines in zip(*matrices, strict=True)]

    @cached_property
    def images(self) -> list[Images]:
        """Counts of each image, by seed.

        Raises:
            ValueError: a run has not recorded them, or the seeds were scored on different images.
        """
        return _same(self.runs, [run.images for run in self.runs])

    @cached_property
    def pixels(self) -> list[Images]:
        """`images` without their details; errors as there."""
        return _same(self.runs, [run.pixels for run in self.runs])

    @cached_property
    def resampled(self) -> np.ndarray:
        """Of a row of one seed, its mean IoU in each resample of the images; errors as `images`."""
        return bootstrap.one_seed_scores(images.counts(self.pixels))

    @property
    def is_baseline(self) -> bool:
        """Whether other rows are compared with this one: its head says so; without its facts, its mechanism costs nothing."""
        if self.facts is not None:
            return self.facts.baseline
        costs = [*self.costs.values(), *([self.trained_cost] if self.trained_cost else [])]
        return any(cost.mechanism.parameters == 0 and cost.mechanism.macs == 0 for cost in costs)

    @property
    def trained_cost(self) -> Cost | None:
        """Cost of the network that was trained, at its crop size."""
        return self.runs[0].record.cost


def _same(runs: list[Run], of_runs: list[Images]) -> list[Images]:
    for run, counts in zip(runs[1:], of_runs[1:], strict=True):
        images.check_same(of_runs[0], counts, runs[0].name, run.name)
    return of_runs
