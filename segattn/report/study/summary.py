"""The reader's summary: at most five sentences, made from the records and their statistics."""

from __future__ import annotations

import numpy as np

from segattn.report.shared import bootstrap
from segattn.report.shared.student import mean
from segattn.report.shared.text import listing, percent
from segattn.report.study import certainty
from segattn.report.study.classes import ClassLine, class_lines
from segattn.report.study.rows import Row
from segattn.report.study.study import Study
from segattn.report.study.words import baseline_text, counted_on, seeds_text

_HARDEST = 3
"""Classes that the last sentence names."""
_MOST_LISTED = 4
"""Networks that a sentence lists; of more it gives the number."""


def summary(study: Study) -> list[str]:
    """What was compared, the best network, what is not distinguishable from it, what costs least, and the hardest classes.

    A sentence that the records do not support is left out: with one network nothing is compared, and equal accuracy needs a
    test.
    """
    sentences = [_compared(study), _best(study), _distinguishable(study), _cheapest(study), _hardest(study)]
    return [sentence for sentence in sentences if sentence]


def _compared(study: Study) -> str:
    record, count = study.first, len(study.rows)
    what = f"{count:,} networks were compared" if count > 1 else f"{study.rows[0].label} was scored"
    where = f"{record.dataset} {record.split} ({record.scores.images}, {len(record.class_names)} classes)"
    unknown = "" if study.seeds > 1 else ", so seed-to-seed variation is unknown"
    if study.seeds == 1 and any(row.n > 1 for row in study.rows):
        unknown = ", so seed-to-seed variation is unknown for some"
    return f"{what} on {where}, with {seeds_text(study)}{unknown}."


def _best(study: Study) -> str:
    best = study.rows[0]
    baseline = study.baseline(best)
    score = f"{percent(best.mean_iou)} % mIoU{_interval(best)}"
    if len(study.rows) == 1:
        return f"It reaches {score}."
    level = [row.label for row in study.rows[1:] if percent(row.mean_iou) == percent(best.mean_iou)]
    shared = f" (as {_named(level)})" if level else ""
    above = ""
    if baseline is not None and baseline is not best:
        above = f", {percent(best.mean_iou - baseline.mean_iou)} points above {baseline_text(study)}"
    return f"{best.label} has the highest accuracy{shared}: {score}{above}."


def _interval(row: Row) -> str:
    """The 95 % interval of the row's mean IoU: over seeds, or for one seed over the choice of images."""
    if row.interval is not None:
        return f" (95 % interval over {row.n} seeds: {percent(row.interval[0])} to {percent(row.interval[1])})"
    try:
        counts = row.pixels[0]
        if len(counts.names) < bootstrap.FEWEST_IMAGES:
            return ""
        low, high = np.nanquantile(row.resampled, (0.025, 0.975))
    except ValueError:  # a record without counts of its images
        return ""
    return f" (95 % interval over the choice of images: {percent(float(low))} to {percent(float(high))})"


def _distinguishable(study: Study) -> str:
    if len(study.rows) == 1:
        return ""
    if study.verdict is None:
        return "The records allow no test of whether the others differ from it."
    unclear, others = len(study.verdict.unclear), len(study.verdict.p)
    if _MOST_LISTED < unclear < others:
        return f"{unclear:,} of the {others:,} others are not distinguishable from it; it is above the rest."
    return certainty.distinguishable(study.verdict, brief=True)[0]


def _cheapest(study: Study) -> str:
    """Of the first row and those not distinguishable from it, the one whose network has the fewest FLOPs."""
    if study.verdict is None or not counted_on(map(study.cost, study.rows)):
        return ""
    first = study.rows[0]
    equal = [first, *(row for row in study.rows[1:] if study.marks(row)[0])]
    flops = {row.label: cost.network.flops for row in equal if (cost := study.cost(row)) is not None}
    if len(flops) < len(equal):
        return ""
    of = "reference network" if study.cost_is_reference else "network"
    least = min(flops.values())
    cheapest = [label for label, value in flops.items() if value == least]
    if len(equal) == 1:
        cheaper = [
            row.label for row in study.rows[1:] if (cost := study.cost(row)) is not None and cost.network.flops < least
        ]
        count = _named(cheaper) if cheaper else "no network"
        verb = "costs" if len(cheaper) < 2 else "cost"
        return f"No other network is as accurate; {count} {verb} less than its {_giga(least)} GFLOPs."
    if first.label in cheapest:
        return f"None of them costs less than {first.label}: {_giga(least)} GFLOPs for the {of}."
    saved = 1 - least / flops[first.label]
    verb = "costs" if len(cheapest) == 1 else "cost"
    less = f"{100 * saved:.1f} % less than {first.label}" if saved >= 0.0005 else f"hardly less than {first.label}"
    those = f"{first.label} and the network{'s' * (len(equal) > 2)} not distinguishable from it"
    return f"Of {those}, {_named(cheapest)} {verb} least: {_giga(least)} GFLOPs for the {of}, {less}."


def _hardest(study: Study) -> str:
    """The three classes of the lowest IoU, and the row that is best on them."""
    lines = sorted(
        (line for line in class_lines(study) if line.average is not None), key=lambda line: line.average or 0.0
    )
    hardest = lines[:_HARDEST]
    if len(lines) <= _HARDEST:
        return ""
    names = listing([f"{line.name} ({percent(line.average or 0.0, 1)} %)" for line in hardest])
    if len(study.rows) == 1:
        return f"The hardest classes are {names}."
    best = _best_on(study, hardest)
    over = "mean IoU over the networks" + (" shown" if study.folded else "")
    return f"The hardest classes are {names}, {over}{best}."


def _best_on(study: Study, lines: list[ClassLine]) -> str:
    scores = []
    for index, row in enumerate(study.shown):
        values = [value for line in lines if (value := line.iou[index]) is not None]
        if len(values) == len(lines):
            scores.append((mean(values), -index, row.label))
    if not scores or max(scores)[0] == 0:
        return ""
    value, _, label = max(scores)
    return f"; {label} has the highest mean on them, {percent(value, 1)} %"


def _named(labels: list[str]) -> str:
    return listing(labels) if len(labels) <= _MOST_LISTED else f"{len(labels):,} networks"


def _giga(flops: int) -> str:
    return f"{flops / 1e9:,.1f}" if flops >= 1e11 else f"{flops / 1e9:,.3g}"
