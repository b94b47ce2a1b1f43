"""What attention contributes to a network, from its records: the learnt gates, and the accuracy with the mechanism cut out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segattn.records import RunRecord, WithoutAttention
from segattn.report.shared.student import mean
from segattn.report.shared.text import MOST_NAMED
from segattn.report.study.rows import Row
from segattn.report.study.study import Study

NAME = "Without attention"


@dataclass(frozen=True)
class Pair:
    """One score with the mechanism and without it; means over the seeds that recorded both, None where none did."""

    having: float | None
    without: float | None

    @property
    def difference(self) -> float | None:
        """Without minus with."""
        return None if self.having is None or self.without is None else self.without - self.having


def gates(row: Row) -> dict[str, float]:
    """The learnt gates by name: the magnitude of each, mean over seeds; {} where none is recorded."""
    recorded = [run.record.gates for run in row.runs if run.record.gates]
    names = dict.fromkeys(name for of_run in recorded for name in of_run)
    return {name: mean([abs(of_run[name]) for of_run in recorded if name in of_run]) for name in names}


def mean_iou(row: Row) -> Pair:
    """Mean IoU."""
    return _pair([(record.scores.mean_iou, cut.mean_iou) for record, cut in _recorded(row)])


def classes(row: Row) -> list[Pair]:
    """IoU of each class; [] where nothing is recorded."""
    seeds = [list(zip(record.scores.iou, cut.iou, strict=True)) for record, cut in _recorded(row)]
    return [_pair(values) for values in zip(*seeds, strict=True)]


def details(row: Row) -> dict[str, Pair]:
    """Mean IoU at boundaries and in each stratum, by the names that comparisons use; {} where nothing is recorded."""
    values: dict[str, list[tuple[float | None, float | None]]] = {}
    for record, cut in _recorded(row):
        if record.strata is None or cut.boundary_mean_iou is None:
            continue
        values.setdefault("boundary mIoU", []).append((record.strata.boundary_mean_iou, cut.boundary_mean_iou))
        for kind, strata, of_cut in (
            ("size", record.strata.sizes, cut.sizes),
            ("width", record.strata.widths, cut.widths),
        ):
            for stratum in strata:
                pair = (stratum.mean_iou, of_cut.get(stratum.name))
                values.setdefault(f"{kind}: {stratum.name}", []).append(pair)
    return {name: _pair(pairs) for name, pairs in values.items()}


def any_gates(study: Study) -> bool:
    """Whether any row has a gate: a column of them is not empty."""
    return any(gates(row) for row in study.rows)


def any_scores(study: Study) -> bool:
    """Whether any row was scored without its mechanism."""
    return any(mean_iou(row).without is not None for row in study.rows)


def notes(study: Study) -> list[str]:
    """What the columns are, one sentence or two each."""
    sentences = []
    if any_gates(study):
        sentences.append(
            "Gate: the learnt factor on the mechanism's output, which is 0 at the start of training; its magnitude, mean over"
            " seeds, and over channels where each channel has a factor."
        )
    if any_scores(study):
        sentences.append(
            f"{NAME}: mIoU of the same networks with the mechanism cut out, not retrained; in parentheses the difference to mIoU,"
            f" in percentage points. {replaced(study.rows)}"
        )
    return sentences


def replaced(rows: Iterable[Row]) -> str:
    """What took the place of the mechanism's output, in a sentence."""
    chosen = [(row.label, cut.replacement) for row in rows for _, cut in _recorded(row)[:1]]
    by_mean = sorted(label for label, replacement in chosen if replacement == "mean")
    mean_text = "by the mean of each of its channels over these images"
    if len(by_mean) == len(chosen):
        return f"The mechanism's output is replaced {mean_text}."
    names = ", ".join(by_mean) if len(by_mean) <= MOST_NAMED else f"{len(by_mean):,} networks"
    exceptions = f"; in {names} {mean_text}" if by_mean else ""
    return f"The mechanism's output is replaced by its input{exceptions}."


def _recorded(row: Row) -> list[tuple[RunRecord, WithoutAttention]]:
    return [(run.record, run.record.without_attention) for run in row.runs if run.record.without_attention is not None]


def _pair(values: Iterable[tuple[float | None, float | None]]) -> Pair:
    known = [(a, b) for a, b in values if a is not None and b is not None]
    return Pair(mean([a for a, _ in known]), mean([b for _, b in known])) if known else Pair(None, None)
