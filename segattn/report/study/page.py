"""The study as one HTML file that needs nothing else: styles, figures, pictures and the sorting script are inside.

Every string of a record is untrusted and is escaped by the template; only our own figures go in as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import segattn
from segattn.records import Cost
from segattn.report.shared import template
from segattn.report.shared.drawing import Drawn
from segattn.report.shared.text import interval_text, percent, points
from segattn.report.study import (
    classes,
    columns,
    contribution,
    details,
    families,
    looks,
    pictures,
    protocol,
    published,
    start,
    summary,
    swept,
    tables,
    words,
)
from segattn.report.study.legend import legend
from segattn.report.study.rows import Row
from segattn.report.study.study import Study

FILTERS: dict[str, Callable[..., str]] = {
    "percent": percent,
    "points": points,
    "interval": interval_text,
    "size": words.size_text,
    "giga": tables.giga,
    "mega": tables.mega,
    "latency": tables.latency_text,
    "memory": tables.memory_text,
}
"""How the template writes figures."""
_INTERVAL_WIDTH = 132
"""Width of the small plot of mean and interval in the table, in pixels."""
_CURVES = ("loss", "validation", "sweep_")
"""What the names of figures begin with that are curves."""


def page(study: Study, drawn: list[Drawn]) -> str:
    """The whole page."""
    return template.render("report.html", context(study, drawn), FILTERS)


def context(study: Study, drawn: list[Drawn]) -> dict[str, Any]:
    """Everything that the template names."""
    lines = classes.class_lines(study)
    strips, num_examples = pictures.strips(study)
    deltas = [abs(value) for line in lines for value in line.delta if value is not None]
    created = max((run.record.created for run in study.runs), default="")[:10]
    return {
        "study": study,
        "record": study.first,
        "title": tables.title(study),
        "created": created,
        "version": segattn.__version__,
        "summary": summary.summary(study),
        "table_text": words.finding(study),
        "legend": legend(study, half=False),
        "warnings": protocol.warnings(study),
        "footnotes": words.footnotes(study),
        "conventions": words.CONVENTIONS,
        "not_counted": words.NOT_COUNTED,
        "parts": words.PARTS,
        "baseline": study.baseline_name,
        "the_baseline": words.baseline_text(study),
        "columns": study.bench_columns,
        "any_gates": contribution.any_gates(study),
        "any_without": contribution.any_scores(study),
        "any_fully_trained": start.any_fully_trained(study),
        "price": start.PRICE,
        "rows": [_row(study, row) for row in study.shown],
        "settings_swept": [(name, name in swept.numeric(study)) for name in swept.names(study)],
        "folded": [_folded(study, row) for row in study.folded],
        "families": families.groups(study),
        "any_interval": any(row.interval for row in study.rows),
        "any_delta": any(study.delta(row) for row in study.rows),
        "any_cost": any(map(study.cost, study.rows)),
        "counted_on": words.counted_on(map(study.cost, study.rows)),
        "reference": words.counted_on(map(study.reference_cost, study.rows)),
        "scatters": [template.inline(figure) for figure in drawn if figure.name.startswith("accuracy")],
        "curves": [template.inline(figure) for figure in drawn if figure.name.startswith(_CURVES)],
        "classes": lines,
        "delta_scale": max([0.01, *deltas]),
        "hard": [(line, classes.best(study, line)) for line in classes.hard_classes(lines)],
        "hard_known": any(line.hard for line in lines),
        "confusions": classes.confusions(study),
        "strips": strips,
        "num_examples": num_examples,
        "elsewhere": _elsewhere(study, [strip.name for strip in strips]),
        "looks": looks.sections(study),
        "published": published.rows(study),
        **_details(study),
        "costs": _costs(study),
        "settings": protocol.settings(study),
        "measures": protocol.measures(study),
        "environments": protocol.environments(study),
        "commands": list(dict.fromkeys(record.command for record in study.studies)),
    }


def _row(study: Study, row: Row) -> dict[str, Any]:
    """A line of the main table, with the marks of its small interval plot in pixels."""
    ends = [end for other in study.shown for end in (other.interval or (other.mean_iou, other.mean_iou))]
    low, high = min(ends), max(ends)
    spare = max(0.0, 0.005 - (high - low)) / 2  # half a point at least, so that a tie looks like one
    low, high = low - spare, high + spare
    baseline = study.baseline(row)

    def across(value: float) -> float:
        return round(5 + (value - low) / (high - low) * (_INTERVAL_WIDTH - 10), 1)

    return {
        "row": row,
        "name": row.name if row.swept else row.label,
        "swept": tables.swept_cells(study, row),
        "delta": study.delta(row),
        "cost": study.cost(row),
        "cost_texts": tables.cost_cells(study, row),
        "reference_cost": study.reference_cost(row),
        "reference_texts": tables.cost_cells(study, row, reference=True),
        "marks": study.marks(row),
        "gates": contribution.gates(row),
        "gates_text": tables.gates_text(row),
        "without": contribution.mean_iou(row),
        "cold": start.COLD if start.is_cold(row) else "",
        "fully_trained": start.fully_trained(study, row),
        "colour": families.colour(row),
        "x": across(row.mean_iou),
        "ends": [across(end) for end in row.interval] if row.interval else None,
        "baseline_x": across(baseline.mean_iou) if baseline else None,
        "width": _INTERVAL_WIDTH,
    }


def _folded(study: Study, row: Row) -> list[str]:
    """A line of the table of rows that the others do not show."""
    name = row.name if row.swept else row.label
    scores = tables.score_cells(study, row)[:3]
    return [tables.marked(study, row, name), *tables.swept_cells(study, row), *scores]


def _elsewhere(study: Study, shown: list[str]) -> list[str]:
    """Of the three images of the split on which the networks disagree most, those without pictures."""
    spread = pictures.disagreements(study)
    most = sorted(spread, key=lambda name: (-spread[name], name))[:3]
    return [name for name in most if name not in shown]


def _details(study: Study) -> dict[str, Any]:
    """The section on boundaries, sizes and widths."""
    lines = details.lines(study)
    values = [[line.row.mean_iou, line.boundary, *line.strata] for line in lines]
    best = [max((value for value in column if value is not None), default=None) for column in zip(*values, strict=True)]
    groups = [column.group for column in details.columns(study)]
    return {
        "detail_lines": lines,
        "detail_columns": details.columns(study),
        "detail_groups": list(dict.fromkeys(groups)),
        "detail_starts": [2 + groups.index(group) for group in dict.fromkeys(groups)],
        "detail_best": best,
        "detail_definition": details.definition(study),
    }


def _costs(study: Study) -> list[dict[str, Any]]:
    """One cost table for each reference size, and one for the networks as trained."""
    sections: list[tuple[str, list[tuple[str, Cost]]]] = [
        (f"At {words.size_text(size)}", [(row.label, row.costs[size]) for row in study.shown if size in row.costs])
        for size in study.sizes
    ]
    trained = [(row.label, row.trained_cost) for row in study.shown if row.trained_cost]
    sections.append(("As trained here", [(label, cost) for label, cost in trained if cost]))
    return [
        {
            "title": title,
            "network": " · ".join(dict.fromkeys(words.network_text(cost) for _, cost in lines)),
            "lines": [(label, cost, columns.parts(cost)) for label, cost in lines],
            "digits": 1 if max(cost.network.flops for _, cost in lines) > 1e11 else 3,
        }
        for title, lines in sections
        if lines
    ]
