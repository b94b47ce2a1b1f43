"""A comparison of two networks as one HTML page, of the same pieces as the report's."""

from __future__ import annotations

import dataclasses
from typing import Any

from segattn.report.comparison import several_text, words
from segattn.report.comparison.compare import MOST_IMAGES, Comparison, Line
from segattn.report.comparison.several import Several, lines
from segattn.report.shared import template
from segattn.report.shared.text import interval_text
from segattn.report.study.page import FILTERS, context

_WIDTH = 168
"""Of the small plots of difference and interval, in pixels."""
_LEAST = 0.005
"""Half a point: what the plots' scale ends at least at, so that a tie looks like one."""


def page(comparison: Comparison) -> str:
    """The whole page."""
    values = context(comparison.study, [])
    values |= {
        "title": words.title(comparison),
        "table_text": [],
        "finding": words.finding(comparison),
        "headline": words.headline(comparison),
        "notes": words.notes(comparison),
        "a": comparison.a,
        "b": comparison.b,
        "scores": _plotted([comparison.total, *comparison.details]),
        "class_lines": _plotted(comparison.classes),
        "without": comparison.without,
        "without_text": words.without_text(comparison),
        "image_lines": comparison.images[:MOST_IMAGES],
        "num_images": len(comparison.images),
        "few": words.FEW,
    }
    return template.render("compare.html", values, FILTERS)


def page_of_several(several: Several) -> str:
    """The whole page of several networks against the first."""
    totals = [dataclasses.replace(line, p=p) for _, line, p in lines(several)]
    class_values = []
    for index in range(len(several.comparisons[0].classes)):
        column = [(pair.classes[index], p[index]) for pair, p in zip(several.comparisons, several.class_p, strict=True)]
        class_values.append(
            [
                (None if None in (line.a, line.b) else line.difference.value, several_text.mark(line, p))
                for line, p in column
            ]
        )
    deltas = [abs(value) for row in class_values for value, _ in row if value is not None]
    values = context(several.study, [])
    values |= {
        "title": several_text.title(several),
        "table_text": [],
        "finding": several_text.finding(several),
        "notes": several_text.notes(several),
        "first": several.first,
        "entries": list(zip([row.label for row in several.others], _plotted(totals), strict=True)),
        "class_lines": several.comparisons[0].classes,
        "class_values": class_values,
        "class_scale": max([0.01, *deltas]),
        "few": words.FEW,
    }
    return template.render("several.html", values, FILTERS)


def _plotted(lines: list[Line]) -> list[dict[str, Any]]:
    """Each line with its cells, and the marks of its small plot in pixels: zero is in the middle."""
    ends = [
        abs(end)
        for line in lines
        for end in (line.difference.low, line.difference.high, line.difference.value)
        if end is not None and end == end
    ]
    scale = max([_LEAST, *ends])

    def across(value: float) -> float:
        return round(_WIDTH / 2 + value / scale * (_WIDTH / 2 - 6), 1)

    entries = []
    for line in lines:
        both = line.a is not None and line.b is not None
        low, high = line.difference.low, line.difference.high
        entries.append(
            {
                "line": line,
                "p": words.p_text(line.p),
                "mark": words.mark(line),
                "interval": interval_text(low, high),
                "x": across(line.difference.value) if both else None,
                "ends": [across(low), across(high)] if low is not None and high is not None else None,
                "width": _WIDTH,
            }
        )
    return entries
