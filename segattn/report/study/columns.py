"""The columns of table.csv: every digit, fractions in [0, 1], raw counts, seconds."""

from __future__ import annotations

from collections.abc import Iterator

from segattn.records import Cost, PartCost
from segattn.report.study import contribution, details, start
from segattn.report.study.rows import Row
from segattn.report.study.settings import text
from segattn.report.study.study import Study
from segattn.report.study.words import PARTS

Fields = Iterator[tuple[str, str | int | float | None]]
"""Name and value of columns; None is an empty field."""


def lines(study: Study) -> list[dict[str, str | int | float | None]]:
    """Name and value of each column of every row; a column that no row has is left out."""
    present = _Present(study)
    return [dict(_fields(study, row, present)) for row in study.rows]


class _Present:
    """Which groups of columns there are: those that any row has."""

    def __init__(self, study: Study) -> None:
        self.without_attention = contribution.any_scores(study)
        self.identity = any(start.identity(row) is not None for row in study.rows)
        self.fully_trained = start.any_fully_trained(study)
        self.details = details.columns(study)


def _fields(study: Study, row: Row, present: _Present) -> Fields:
    record, delta = row.runs[0].record, study.delta(row)
    yield from [("experiment", row.experiment), ("head", row.head), ("mode", row.mode)]
    yield from (
        (name, value if isinstance(value, int | float | str) else text(value)) for name, value in row.swept.items()
    )
    if row.facts is not None:
        yield "family", row.facts.family
    yield from [("dataset", record.dataset), ("split", record.split)]
    yield "n", row.n
    yield "seeds", " ".join(str(run.record.seed) for run in row.runs)
    low, high = row.interval or (None, None)
    yield from [("mean_iou", row.mean_iou), ("mean_iou_std", row.deviation)]
    yield from [("mean_iou_low95", low), ("mean_iou_high95", high)]
    values = (delta.value, delta.low, delta.high) if delta else (None, None, None)
    name = f"delta_{study.baseline_name}"
    yield from zip((name, f"{name}_low95", f"{name}_high95"), values, strict=True)
    yield from _contribution(row, present)
    yield from _start(study, row, present)
    yield from [("pixel_accuracy", row.pixel_accuracy), ("mean_accuracy", row.mean_accuracy)]
    if study.verdict is not None:
        yield "p_to_first", study.verdict.p.get(row.label)
        first = study.verdict.contrasts.get(row.label)
        yield "p_to_first_test", first.test if first else None
    yield from _contrast(study, row)
    yield "train_seconds", row.train_seconds
    if (columns := study.bench_columns) is not None:
        yield "latency_ms", columns.latency_ms((row.head, row.mode))
        yield "extra_memory_bytes", columns.extra_bytes((row.head, row.mode))
        yield "measured", f"{columns.title}, {columns.machine}"
    yield from _details(row, present)
    for name, value in zip(record.class_names, row.iou, strict=True):
        yield f"iou_{name}", value
    if row.trained_cost:
        yield from _cost("trained", row.trained_cost)
    for size in study.sizes:
        if size in row.costs:
            yield from _cost(f"{size[0]}x{size[1]}", row.costs[size])


def _contrast(study: Study, row: Row) -> Fields:
    """How the difference to the baseline was tested, and what makes it uncertain."""
    contrast = study.contrasts.get(row.label)
    if contrast is None or not contrast.test:
        return
    name, spread = f"delta_{study.baseline_name}", contrast.spread
    yield f"{name}_test", contrast.test
    yield f"{name}_p_holm", study.baseline_verdict.p[row.label] if study.baseline_verdict else None
    yield f"{name}_std_between_seeds", spread.between_seeds**0.5 if spread else None
    yield f"{name}_error_of_images", spread.between_images**0.5 if spread and spread.num_images else None


def _contribution(row: Row, present: _Present) -> Fields:
    for name, value in contribution.gates(row).items():
        yield f"gate_{name}", value
    if present.without_attention:
        pair = contribution.mean_iou(row)
        yield from [("mean_iou_without_attention", pair.without), ("delta_without_attention", pair.difference)]


def _start(study: Study, row: Row, present: _Present) -> Fields:
    if present.identity:
        yield "starts_as_identity", {True: "yes", False: "no"}.get(start.identity(row))  # type: ignore[arg-type]
    if present.fully_trained:
        network = start.fully_trained(study, row)
        yield "fully_trained_mean_iou", network.mean_iou if network else None
        yield "fully_trained", network.name if network else None


def _details(row: Row, present: _Present) -> Fields:
    if present.details:
        names = [f"mean_iou_{column.group.split()[0]}_{column.name}" for column in present.details]
        line = details.line(row, present.details)
        yield from zip(["boundary_mean_iou", *names], [line.boundary, *line.strata], strict=True)


def _cost(prefix: str, cost: Cost) -> Fields:
    yield f"{prefix}_backbone", cost.backbone
    yield f"{prefix}_input", f"{cost.input_size[0]}x{cost.input_size[1]}"
    for name, part in parts(cost).items():
        for unit in ("parameters", "macs", "flops", "study", "other", "activation_bytes"):
            yield f"{prefix}_{name}_{unit}", getattr(part, unit)


def parts(cost: Cost) -> dict[str, PartCost]:
    """The three parts under the names of `words.PARTS`."""
    return dict(zip(PARTS, (cost.mechanism, cost.head_total, cost.network), strict=True))
