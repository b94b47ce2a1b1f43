"""Figures that others have published for the study's heads on its data set: references beside ours, never among them."""

from __future__ import annotations

from segattn.records import published
from segattn.records.published import Published
from segattn.report.study.study import Study

SPLITS = ("val", "validation")


def rows(study: Study) -> list[Published]:
    """The published rows for the study's heads, where there are any for its data set and it scored the validation split."""
    if study.first.split not in SPLITS:
        return []
    heads = [row.head for row in study.rows]
    published_rows = published.on(study.first.dataset)
    return sorted((row for row in published_rows if row.head in heads), key=lambda row: heads.index(row.head))
