"""Latency and memory of a study's networks, out of bench records: one setting for the whole table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segattn.records import BenchRecord, Cost
from segattn.report.bench.groups import Group, Line, groups
from segattn.report.bench.words import machine_text

_PARTS = ("mechanism", "head", "network")
_FORMS = ("reference", "fast", "auto")
Network = tuple[str, str]
"""Head and mode."""


@dataclass(frozen=True)
class BenchColumns:
    """The columns of one setting on one machine."""

    part: str
    title: str
    """The setting in words."""
    machine: str
    rounds: int
    lines: dict[Network, Line]

    def latency_ms(self, network: Network) -> float | None:
        """Median time of one pass; None where it was not measured."""
        return self.lines[network].median_ms if network in self.lines else None

    def extra_bytes(self, network: Network) -> int | None:
        """Peak memory above weights and inputs; None where it was not measured."""
        return self.lines[network].extra_bytes if network in self.lines else None

    @property
    def network(self) -> str:
        """What was measured, in a few words for a heading: `resnet101 at 769×769`."""
        case = next(iter(self.lines.values())).case
        height, width = case.input_size
        return f"{case.backbone} at {height}×{width}"

    @property
    def note(self) -> str:
        """What the figures are, in a sentence or two."""
        return (
            f"Latency: median of at most {self.rounds} passes. Memory: peak above weights and inputs. Measured: {self.title}; on"
            f" {self.machine}."
        )


def choose(
    records: Iterable[BenchRecord], networks: Sequence[Network], trained: Cost | None, reference: Cost | None
) -> BenchColumns | None:
    """The setting that tells most about `networks`: inference, the whole network before a part of it, the networks as trained,
    the size and backbone of the reference network, the most networks, fp32; the first among equals. None where no setting has
    any of them.
    """
    cost = reference or trained
    best: tuple[tuple[object, ...], BenchColumns] | None = None
    for record in records:
        for group in groups(record):
            lines = _lines(group, networks)
            case = group.lines[0].case
            if not lines or case.phase != "inference":
                continue
            rank = (
                _PARTS.index(case.part),
                trained is not None and (case.input_size, case.backbone) == (trained.input_size, trained.backbone),
                cost is not None and case.input_size == cost.input_size,
                cost is not None and case.backbone == cost.backbone,
                len(lines),
                case.dtype == "fp32",
                -case.batch,
            )
            if best is None or rank > best[0]:
                best = rank, BenchColumns(case.part, group.title, machine_text(record), record.rounds, lines)
    return best[1] if best else None


def _lines(group: Group, networks: Sequence[Network]) -> dict[Network, Line]:
    """For each network the form `auto`, or else the fast one, or else the reference."""
    chosen: dict[Network, Line] = {}
    own = [line for line in group.lines if not line.case.network and line.case.form == "eager"]
    for line in sorted(own, key=lambda line: _FORMS.index(line.case.implementation)):
        network = (line.case.head, line.case.mode)
        if network in networks and (line.median_ms is not None or line.extra_bytes is not None):
            chosen[network] = line
    return chosen
