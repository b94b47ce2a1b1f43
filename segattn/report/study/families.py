"""Heads grouped by family: the lines of a small table, and a colour for each family."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.records.head_facts import FAMILIES, by_family
from segattn.report.shared.drawing import BASELINE, QUIET
from segattn.report.shared.student import mean
from segattn.report.study.rows import Row
from segattn.report.study.study import Study

# Of middling lightness, to be seen on white and on black, and apart from the colours that have another meaning.
COLOURS = {
    "baseline": BASELINE, "pyramid": "#a0963c", "pairwise": "#8c82fa", "criss-cross": "#00aa6e", "grouped": "#b450d2",
    "basis": "#c86e5a", "channel": "#785a8c", "low-rank": "#64a08c", "gate": "#c878b4", "window": "#8c645a",
    "kernel": "#d00a38", "scan": "#a082d2",
}  # fmt: skip
"""A family of one's own is grey."""


@dataclass(frozen=True)
class Group:
    """The rows of one family."""

    family: str
    meaning: str
    """Empty for a family of one's own."""
    colour: str
    rows: list[Row]
    """Highest mean IoU first."""
    mean_delta: float | None
    """Mean difference of its rows to the baseline, in [-1, 1]; None without one."""


def colour(row: Row) -> str:
    """The colour of the row's family."""
    return COLOURS.get(_family(row), QUIET)


def any_groups(study: Study) -> bool:
    """Whether the heads are of at least two families beside the baseline, so that grouping them says something."""
    return len({_family(row) for row in study.rows} - {"baseline", "other"}) > 1


def groups(study: Study) -> list[Group]:
    """The families of the study in their usual order; [] where there is nothing to group."""
    if not any_groups(study):
        return []
    lines = []
    for family in by_family(map(_family, study.rows)):
        rows = [row for row in study.rows if _family(row) == family]
        deltas = [delta.value for row in rows if (delta := study.delta(row)) is not None]
        lines.append(
            Group(
                family=family,
                meaning=FAMILIES.get(family, ""),
                colour=COLOURS.get(family, QUIET),
                rows=sorted(rows, key=lambda row: -row.mean_iou),
                mean_delta=mean(deltas) if deltas else None,
            )
        )
    return lines


def _family(row: Row) -> str:
    """As the head declares it; a record without facts has only its baseline's."""
    return row.facts.family if row.facts is not None else "baseline" if row.is_baseline else "other"
