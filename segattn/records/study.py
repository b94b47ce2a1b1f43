"""The record of a study: which runs belong to it, and what its heads cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from segattn.records.cost import Cost
from segattn.records.display import table
from segattn.records.head_facts import HeadFacts
from segattn.records.schema import SCHEMA, Environment


@dataclass(frozen=True, kw_only=True)
class FullyTrained:
    """What a network of `segattn zoo` reached on the trunk that the study's heads start from."""

    name: str
    """Such as streets-local/ccnet."""
    head: str
    mode: str
    mean_iou: float
    """As recorded, on all `num_images` validation scenes of the zoo; in [0, 1]."""
    num_images: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """One picture of where networks look from one pixel; paths are relative to the record's folder."""

    picture: str
    """The photo with the pixel marked, and the main attention map of every network."""
    photo: str
    """The validation image alone."""
    image: str
    """Its name."""
    pixel: tuple[int, int]
    """(x, y) in the photo, x to the right and y down, from 0."""
    class_name: str
    """The label at the pixel."""
    reason: str
    """The rule that chose the pixel, in one sentence."""
    networks: list[str]
    """Heads of the networks drawn; those without attention maps are missing."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """The effective receptive field of one network: how far from a position the gradient of its logit lies."""

    network: str
    """Its head."""
    half: int
    """Pixels within which half of the gradient lies."""
    most: int
    """Pixels within which 90 % of it lie."""
    beyond: list[float]
    """Its share beyond each of `Fields.distances`, in [0, 1]."""
    half_positions: int | None
    """As `half`, of the gradient on the backbone's last map; None where the head does not read that."""
    most_positions: int | None


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Effective receptive fields of a study's networks, on the same images."""

    picture: str
    """All of them, on one scale; relative to the record's folder."""
    images: list[str]
    """Their names."""
    distances: list[int]
    """Pixels of the images as the networks took them."""
    networks: list[Field]


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The pictures of where a study's networks look."""

    trunk: str
    """The trunk of the zoo whose networks are drawn; empty if they are the study's own."""
    seed: int | None
    """Of the study's runs that are drawn; None for networks of the zoo."""
    key: str
    """SHA-256 of what the pictures depend on: networks, data and the rule. Pictures of the same key are not drawn again."""
    pictures: list[Look]
    """Empty where no network has maps, or no pixel qualifies."""
    fields: Fields | None = None
    """Effective receptive fields; None where none could be drawn, and in older records."""


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
    fully_trained: list[FullyTrained] = field(default_factory=list)
    """Of the study's heads, in its mode, where they start from a trunk of the zoo; empty elsewhere and in older records."""
    looks: Looks | None = None
    """None until all runs have ended, and in older records."""
    swept: list[str] = field(default_factory=list)
    """Paths of the settings that the study sweeps over, such as `optimization.lr`; empty in older records."""
    kind: str = "study"
    schema: int = SCHEMA

    def _repr_html_(self) -> str:
        heads = ", ".join(dict.fromkeys(cost.head for cost in self.costs))
        rows = [("runs", str(len(self.runs))), ("heads", heads), ("command", self.command), ("date", self.created)]
        return table(f"study {self.experiment}", [(label, text) for label, text in rows if text])
