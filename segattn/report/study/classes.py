"""Accuracy class by class: heat maps, the hard classes, and the most frequent confusions."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.report.shared.student import mean
from segattn.report.study.rows import Row, is_hard
from segattn.report.study.study import Study

CONFUSIONS = 12
"""Most pairs that are listed, besides those of the hard classes."""
RARE = 1e-5
"""Classes with a smaller share of the labelled pixels are left out of the confusions: a few pixels are not informative."""


@dataclass(frozen=True)
class ClassLine:
    """One class over all rows."""

    name: str
    colour: tuple[int, int, int]
    hard: bool
    share: float
    """Of the labelled pixels."""
    iou: list[float | None]
    """Of the rows that the table shows."""
    delta: list[float | None]
    """To the row's baseline; None for the baseline itself and where either is undefined."""

    @property
    def average(self) -> float | None:
        """Mean IoU over the rows in which it is defined."""
        known = [value for value in self.iou if value is not None]
        return mean(known) if known else None


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class predicted as another, as shares of the class's pixels."""

    label: str
    prediction: str
    hard: bool
    average: float
    """Mean over the rows."""
    baseline: float | None
    lowest: tuple[float, str]
    """Share and row."""
    highest: tuple[float, str]


def class_lines(study: Study) -> list[ClassLine]:
    """Every class in the data set's order."""
    record = study.first
    totals = [sum(line) for line in study.rows[0].confusion]
    everything = sum(totals) or 1
    return [
        ClassLine(
            name=name,
            colour=record.palette[index],
            hard=is_hard(name),
            share=totals[index] / everything,
            iou=[row.iou[index] for row in study.shown],
            delta=[_delta(study, row, index) for row in study.shown],
        )
        for index, name in enumerate(record.class_names)
    ]


def hard_classes(lines: list[ClassLine]) -> list[ClassLine]:
    """The classes known to be hard; the five of lowest IoU in a data set that has none of them."""
    hard = [line for line in lines if line.hard]
    if hard:
        return hard
    known = [line for line in lines if line.average is not None]
    return sorted(known, key=lambda line: line.average or 0)[:5]


def best(study: Study, line: ClassLine) -> Row | None:
    """The row with the highest IoU of a class; None where no row recognises any of it."""
    known = [(value, -index) for index, value in enumerate(line.iou) if value]
    return study.shown[-max(known)[1]] if known else None


def confusions(study: Study) -> list[Confusion]:
    """The most frequent pairs over the rows of the table, and the most frequent of each hard class, most frequent first."""
    names = study.first.class_names
    rows = study.shown
    shares = [_shares(row) for row in rows]
    averages = {
        (label, prediction): mean([share[label][prediction] for share in shares])
        for label in range(len(names))
        for prediction in range(len(names))
        if label != prediction
    }
    order = sorted((pair for pair in averages if averages[pair] > 0), key=lambda pair: -averages[pair])
    chosen = order[:CONFUSIONS]
    for index, name in enumerate(names):
        if is_hard(name):
            chosen += [pair for pair in order if pair[0] == index][:1]
    baseline = study.baseline(study.rows[0])
    pairs = []
    for label, prediction in sorted(set(chosen), key=lambda pair: (-averages[pair], pair)):
        values = [(share[label][prediction], row.label) for share, row in zip(shares, rows, strict=True)]
        of_baseline = next((v for (v, _), row in zip(values, rows, strict=True) if row is baseline), None)
        average, hard = averages[label, prediction], is_hard(names[label])
        pairs.append(Confusion(names[label], names[prediction], hard, average, of_baseline, min(values), max(values)))
    return pairs


def _shares(row: Row) -> list[list[float]]:
    """The confusion matrix with rows divided by their sums; rare classes are zero."""
    everything = sum(map(sum, row.confusion))
    return [
        [cell / total if (total := sum(line)) > RARE * everything else 0.0 for cell in line] for line in row.confusion
    ]


def _delta(study: Study, row: Row, index: int) -> float | None:
    baseline = study.baseline(row)
    if baseline is None or baseline is row:
        return None
    a, b = row.iou[index], baseline.iou[index]
    return None if a is None or b is None else a - b
