"""What the marks and columns of the table in the terminal mean, in a few lines; the report has the definitions."""

from __future__ import annotations

from segattn.report.shared.text import UNCLEAR, listing
from segattn.report.study import contribution, start
from segattn.report.study.study import Study
from segattn.report.study.words import counted_on


def legend(study: Study, *, half: bool) -> str:
    """One paragraph, at most five lines of 80 columns; `half` where ± after Δ is half an interval."""
    parts = []
    if any(row.deviation is not None for row in study.rows):
        parts.append("± standard deviation over n seeds")
    deltas = [delta for row in study.rows if (delta := study.delta(row)) and delta.low is not None]
    if deltas:
        parts.append("after Δ half its 95 % interval" if half else "[] 95 % interval of Δ")
    marks = [study.marks(row) for row in study.rows]
    places = [
        f"{after} from {what}"
        for index, (after, what) in enumerate((("after a name", "the first row"), ("after Δ", study.baseline_name)))
        if any(mark[index] for mark in marks)
    ]
    if places:
        parts.append(f"{UNCLEAR} not distinguishable: {', '.join(places)}")
    if contribution.any_gates(study):
        parts.append("gate: factor on the mechanism's output, 0 at the start")
    if contribution.any_scores(study):
        parts.append("without: mechanism cut out, not retrained")
    if study.bench_columns and study.bench_columns.network != counted_on(map(study.cost, study.rows)):
        parts.append(f"latency and memory: {study.bench_columns.network}, not as trained")
    if trunks := start.trunks(study):
        parts.append(f"fully trained: {listing(trunks)} of segattn zoo")
    if any(map(start.is_cold, study.rows)):
        parts.append(f"{start.COLD} {start.PRICE}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
