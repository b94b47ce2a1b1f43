"""Accuracy at boundaries, and by the size and width of what is labelled: the rows of the page's section."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.records import Strata
from segattn.report.shared.student import mean
from segattn.report.study.rows import Row
from segattn.report.study.study import Study


@dataclass(frozen=True)
class Column:
    """One stratum."""

    group: str
    """`size of the segment` or `width of the place`."""
    name: str
    share: float
    """Of the labelled pixels."""


@dataclass(frozen=True)
class DetailLine:
    """One network; fractions, means over the seeds that recorded them, None where none did."""

    row: Row
    boundary: float | None
    strata: list[float | None]
    """In the order of `columns`."""
    boundary_iou: list[float | None]
    """Per class."""


def columns(study: Study) -> list[Column]:
    """The strata, as the first run that recorded them has them; none where no run did."""
    first = next((run.record.strata for run in study.runs if run.record.strata is not None), None)
    if first is None:
        return []
    groups = (("size of the segment", first.sizes), ("width of the place", first.widths))
    return [Column(group, stratum.name, stratum.share) for group, strata in groups for stratum in strata]


def definition(study: Study) -> str:
    """What boundary IoU, sizes and widths are; empty where no run recorded them."""
    return next((run.record.strata.definition for run in study.runs if run.record.strata is not None), "")


def lines(study: Study) -> list[DetailLine]:
    """The networks of the table, in its order."""
    shown = columns(study)
    return [line(row, shown) for row in study.shown] if shown else []


def line(row: Row, columns: list[Column]) -> DetailLine:
    """One network."""
    names = [(column.group, column.name) for column in columns]
    recorded = [run.record.strata for run in row.runs if run.record.strata is not None]
    K = len(row.runs[0].record.class_names)
    return DetailLine(
        row=row,
        boundary=_mean([strata.boundary_mean_iou for strata in recorded]),
        strata=[_mean([_values(strata)[name] for strata in recorded if name in _values(strata)]) for name in names],
        boundary_iou=[_mean([strata.boundary_iou[index] for strata in recorded]) for index in range(K)],
    )


def _values(strata: Strata) -> dict[tuple[str, str], float | None]:
    groups = (("size of the segment", strata.sizes), ("width of the place", strata.widths))
    return {(group, stratum.name): stratum.mean_iou for group, members in groups for stratum in members}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
