"""The record of a study: which runs belong to it, and what its heads cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from segattn.records.cost import Cost
from segattn.records.head_facts import HeadFacts
from segattn.records.schema import SCHEMA, Environment


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study: which runs belong to it, and cost at the paper's sizes."""

    experiment: str
    command: str
    runs: list[str]
    """Paths of run records, relative to this record's folder."""
    costs: list[Cost]
    """Every head at the reference sizes (769x769 and 520x520 with ResNet-101)."""
    environment: Environment
    created: str = ""
    """UTC, ISO 8601."""
    head_facts: dict[str, HeadFacts] = field(default_factory=dict)
    """What each head declares, by its name; empty in records of version 0.1.0."""
    kind: str = "study"
    schema: int = SCHEMA
