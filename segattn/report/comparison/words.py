"""A comparison of two networks in words: the summary, what the columns mean, and caveats."""

from __future__ import annotations

from segattn.report.comparison.compare import Comparison, Line
from segattn.report.shared import bootstrap
from segattn.report.shared.text import MISSING, UNCLEAR, interval_text, listing, percent, points
from segattn.report.study.certainty import TWO_SEEDS
from segattn.report.study.contrast import ONE_SEED

FEW = "few"
"""Mark of a class that is in too few images."""


def title(comparison: Comparison) -> str:
    """Both networks and the data set."""
    return f"{comparison.a.label} against {comparison.b.label} on {comparison.study.first.dataset}"


def headline(comparison: Comparison) -> str:
    """The difference in one line: +0.90 mIoU [0.20, 1.60]."""
    total = comparison.total.difference
    interval = "" if total.low is None else f" [{interval_text(total.low, total.high)}]"
    return f"{points(total.value)} mIoU{interval}"


def p_text(p: float | None) -> str:
    """A p value, as precisely as 10,000 resamples give it."""
    return MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def mark(line: Line) -> str:
    """Empty where the networks differ; else why that is not shown."""
    return "" if line.clear else UNCLEAR if line.p is not None else FEW if line.a is not None else ""


def finding(comparison: Comparison) -> list[str]:
    """The summary: which network is ahead and whether that is significant; then the classes in which they differ."""
    a, b, total = comparison.a.label, comparison.b.label, comparison.total
    record = comparison.study.first
    where = f"{record.dataset} {record.split} ({total.num_images} image{'s' * (total.num_images != 1)})"
    if total.p is None:
        verdict = f"{a} against {b} on {where}: {headline(comparison)}; too few images for an interval."
    elif total.clear:
        ahead = "above" if total.difference.value > 0 else "below"
        verdict = f"{a} is {ahead} {b} on {where}: {headline(comparison)}, p {_equals(total.p)}."
    else:
        verdict = f"{a} and {b} are not distinguishable on {where}: {headline(comparison)}, p {_equals(total.p)}."
    if not comparison.num_compared:
        return [verdict]
    clear = sorted((line for line in comparison.classes if line.clear), key=lambda line: -abs(line.difference.value))
    if not clear:
        return [
            verdict,
            f"They are distinguishable in no class (Holm-corrected for {comparison.num_compared} classes).",
        ]
    named = listing([f"{line.name} ({points(line.difference.value, 1)})" for line in clear[:6]])
    more = f", and {len(clear) - 6} more" if len(clear) > 6 else ""
    count = f"{len(clear)} of {comparison.num_compared} classes"
    return [verdict, f"They are distinguishable in {count}, Holm-corrected: {named}{more}."]


def without_text(comparison: Comparison) -> list[str]:
    """How much each network loses without its mechanism, and what the figures are; [] where that is not recorded."""
    if comparison.without is None:
        return []
    total = comparison.without.scores[0]
    sentences = []
    for row, pair, interval in zip(
        (comparison.a, comparison.b), (total.a, total.b), comparison.without.intervals, strict=True
    ):
        if pair.without is None or pair.difference is None:
            why = "has no mechanism" if row.is_baseline else "was not scored without its mechanism"
            sentences.append(f"{row.label} {why}.")
            continue
        ends = "" if interval is None else f" [{interval_text(*interval)}]"
        sentences.append(f"{row.label}: mIoU {percent(pair.without)} %, {points(pair.difference)} points{ends}.")
    sentences.append(
        f"The mechanism is cut out of the trained network, which is not retrained. {comparison.without.replaced} Intervals: 95 %,"
        " bootstrap over images with the seeds as they are."
    )
    return sentences


def _equals(p: float) -> str:
    return p_text(p) if p < 0.001 else f"= {p_text(p)}"


def notes(comparison: Comparison) -> list[str]:
    """What intervals, p values and marks are, and what they do not cover."""
    a, b = comparison.a, comparison.b
    several = max(a.n, b.n) > 1
    seeds = f" and seeds ({a.n} of {a.label}, {b.n} of {b.label})" if several else ""
    if comparison.unpaired is None:
        sentences = [
            f"A − B in percentage points. Interval and p: paired t over images{seeds}, both networks paired by image and by seed:"
            " two-way analysis of jackknife values, two-sided (Dorfman, Berbaum and Metz 1992; Hillis 2007)."
        ]
    else:
        sentences = [
            f"A − B in percentage points. Interval and p: paired bootstrap over images{seeds}, {bootstrap.RESAMPLES:,} resamples,"
            " percentile interval, two-sided (Efron and Tibshirani 1993; Koehn 2004"
            + ("; images and seeds crossed as in Owen 2007)." if several else ").")
        ]
    if comparison.unpaired is None:
        sentences += [TWO_SEEDS] if a.n == 2 else []
    elif several:
        sentences.append(
            f"Not paired by seed ({comparison.unpaired}): what a seed does to both networks alike widens the interval."
        )
        sentences.append(
            "A few seeds give a rough estimate of seed-to-seed variation; a network with one seed contributes none."
        )
    else:
        sentences.append(
            "One seed each: the interval reflects the choice of images, not that of the seed."
            " The same network trained with another seed may differ by more."
        )
        if comparison.unpaired != ONE_SEED:
            sentences.append(f"Not the same training: {comparison.unpaired}.")
    sentences.append("Intervals are too narrow where images depend on each other, such as frames of one drive.")
    sentences.append(
        f"{UNCLEAR}: not distinguishable, p ≥ 0.05; p values of classes are Holm-corrected for {comparison.num_compared}"
        f" comparisons, those of boundaries and strata for {sum(line.p is not None for line in comparison.details)};"
        f" intervals are not corrected, and may exclude zero where the mark is shown."
        f" {FEW}: labelled in fewer than {bootstrap.FEWEST_IMAGES} images, too few for a test."
    )
    definition = next((run.record.strata.definition for run in comparison.study.runs if run.record.strata), None)
    scores = comparison.study.first.scores
    sentences.append(f"Accuracy: {scores.definition.rstrip('. ')}. Inference: {scores.inference.rstrip('. ')}.")
    return [*sentences, definition] if definition and comparison.details else sentences
