"""The record of a probe: one generated task, its networks, and what they reached in each of its conditions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import msgspec

from segattn.catalogue import read_json
from segattn.records.schema import SCHEMA, Environment


@dataclass(frozen=True, kw_only=True)
class ProbeCondition:
    """What is varied within a task."""

    name: str
    """Such as straight-7."""
    series: str
    """The setting that the name's number belongs to, such as straight."""
    value: float
    """That number."""
    pixels: int
    """From the query to the nearest pixel that its class depends on, at least, over all scenes of the condition."""
    far: bool
    """Whether that is farther than a network without a mechanism sees."""


@dataclass(frozen=True, kw_only=True)
class ProbeRun:
    """One network of a probe, trained with one seed."""

    variant: str
    """Such as ccnet, or ccnet R=1."""
    seed: int
    scores: dict[str, float]
    """By condition, in [0, 1]."""
    purity: dict[str, dict[str, float]] = field(default_factory=dict)
    """By attention map and condition: the mean share of the query's attention on pixels of its class, in [0, 1]."""
    seconds: float = 0.0
    """That training took."""


@dataclass(frozen=True, kw_only=True)
class ProbeRecord:
    """One task of `segattn study probes`. Self-contained: it needs neither torch nor the scenes."""

    task: str
    measure: str
    """`accuracy` of the query's pixels, or their `iou`, the mean of both classes."""
    chance: float
    """The most that a network can reach which does not see what decides."""
    sees: int
    """Pixels that a network without a mechanism sees to each side of a pixel, proved by a gradient."""
    iterations: int
    conditions: list[ProbeCondition]
    planned: list[tuple[str, int]]
    """Variant and seed of every run of the grid."""
    runs: list[ProbeRun]
    """Those that are finished."""
    environment: Environment
    command: str = ""
    uniform_purity: dict[str, float] = field(default_factory=dict)
    """By condition, the purity of attention to all places alike; empty where none is measured."""
    kind: str = "probe"
    schema: int = SCHEMA

    @property
    def missing(self) -> list[str]:
        """The runs of the grid that are not finished, such as `ccnet, seed 3`."""
        finished = {(run.variant, run.seed) for run in self.runs}
        return [f"{variant}, seed {seed}" for variant, seed in self.planned if (variant, seed) not in finished]


def read_probe(path: str | os.PathLike[str]) -> ProbeRecord:
    """Read the record of a probe.

    Raises:
        ValueError: the file is none, of another schema version, or a field is missing or of the wrong type; no finished run.
    """
    try:
        raw = read_json(path, what="a JSON record")
    except OSError as error:
        raise ValueError(f"{path}: not readable as a record ({error.strerror})") from None
    if not isinstance(raw, dict) or raw.get("kind") != "probe":
        raise ValueError(f"{path}: not the record of a probe; `segattn study probes` writes them, such as reach.json")
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"{path}: record schema {raw.get('schema')}, this version reads {SCHEMA}; run the probe again")
    try:
        record = msgspec.convert(raw, ProbeRecord)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
    if not record.runs:
        raise ValueError(f"{path}: has no finished run; run the probe again")
    return record
