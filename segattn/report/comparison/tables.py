"""A comparison of two networks in words, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io

from segattn.report.comparison.compare import MOST_IMAGES, Comparison, Line
from segattn.report.shared import bootstrap
from segattn.report.shared.text import MISSING, csv_cell, escaped_table, latex_text, markdown_text
from segattn.report.study.words import UNCLEAR, listing, percent, points

FEW = "few"
"""Mark of a class that is in too few images."""
HEADINGS = ("images", "A %", "B %", "A − B", "95 % interval", "p", "")


def title(comparison: Comparison) -> str:
    """Both networks and the data set."""
    return f"{comparison.a.label} against {comparison.b.label} on {comparison.study.first.dataset}"


def headline(comparison: Comparison) -> str:
    """The difference in one line: +0.90 mIoU [0.20, 1.60]."""
    total = comparison.total.difference
    interval = "" if total.low is None else f" [{interval_text(total.low, total.high)}]"
    return f"{points(total.value)} mIoU{interval}"


def interval_text(low: float | None, high: float | None) -> str:
    """Both ends in percentage points: 0.20, 1.60."""
    if low is None or high is None:
        return MISSING
    return ", ".join(points(end).removeprefix("+") for end in (low, high))


def p_text(p: float | None) -> str:
    """A p value, as precisely as 10,000 resamples give it."""
    return MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def mark(line: Line) -> str:
    """Empty where the networks differ; else why that is not shown."""
    return "" if line.clear else UNCLEAR if line.p is not None else FEW if line.a is not None else ""


def cells(line: Line) -> list[str]:
    """One line under `HEADINGS`, after its name."""
    a, b = (MISSING if value is None else percent(value) for value in (line.a, line.b))
    both = line.a is not None and line.b is not None
    value = points(line.difference.value) if both else MISSING
    interval = interval_text(line.difference.low, line.difference.high)
    return [str(line.num_images), a, b, value, interval, p_text(line.p), mark(line)]


def finding(comparison: Comparison) -> list[str]:
    """The summary: which network is ahead and whether that is significant; then the classes in which they differ."""
    a, b, total = comparison.a.label, comparison.b.label, comparison.total
    record = comparison.study.first
    where = f"{record.dataset} {record.split} ({total.num_images} images)"
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


def _equals(p: float) -> str:
    return p_text(p) if p < 0.001 else f"= {p_text(p)}"


def notes(comparison: Comparison) -> list[str]:
    """What intervals, p values and marks are, and what they do not cover."""
    a, b = comparison.a, comparison.b
    several = max(a.n, b.n) > 1
    seeds = f" and seeds ({a.n} of {a.label}, {b.n} of {b.label})" if several else ""
    sentences = [
        f"A − B in percentage points. Interval and p: paired bootstrap over images{seeds}, {bootstrap.RESAMPLES:,} resamples,"
        " percentile interval, two-sided (Efron and Tibshirani 1993; Koehn 2004"
        + ("; images and seeds crossed as in Owen 2007)." if several else ").")
    ]
    if several:
        sentences.append(
            "A few seeds give a rough estimate of seed-to-seed variation; a network with one seed contributes none."
        )
    else:
        sentences.append(
            "One seed each: the interval reflects the choice of images, not that of the seed."
            " The same network trained with another seed may differ by more."
        )
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


def markdown(comparison: Comparison) -> str:
    """Summary, scores, classes, images and definitions."""
    lines = [f"# {markdown_text(title(comparison))}", ""]
    lines += [" ".join(markdown_text(text) for text in finding(comparison)), ""]
    lines += [f"A is {markdown_text(comparison.a.label)}, B is {markdown_text(comparison.b.label)}.", ""]
    for name, group in (("score", [comparison.total, *comparison.details]), ("class", comparison.classes)):
        align = "l" + "r" * (len(HEADINGS) - 1) + "l"
        lines += [escaped_table([name, *HEADINGS], [[line.name, *cells(line)] for line in group], align=align), ""]
    lines += ["Images on which the networks differ most (mean IoU over the classes labelled in the image):", ""]
    images = comparison.images[:MOST_IMAGES]
    rows = [[image.name, percent(image.a), percent(image.b), points(image.a - image.b)] for image in images]
    lines.append(escaped_table(["image", "A %", "B %", "A − B"], rows))
    lines += ["", *(f"- {markdown_text(note)}" for note in notes(comparison))]
    return "\n".join(lines) + "\n"


def csv_text(comparison: Comparison) -> str:
    """One line per score, class and image, every digit: fractions in [0, 1]; an empty field where unknown."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["kind", "name", "images", "share", "a", "b", "difference", "low95", "high95", "p_alone", "p_holm"])
    groups = {"score": [comparison.total], "detail": comparison.details, "class": comparison.classes}
    for kind, lines in groups.items():
        for line in lines:
            difference = line.difference
            value = None if line.a is None or line.b is None else difference.value
            writer.writerow(
                [kind, csv_cell(line.name), line.num_images, line.share, line.a, line.b, value, difference.low,
                 difference.high, difference.p, line.p]
            )  # fmt: skip
    for image in comparison.images:
        writer.writerow(["image", csv_cell(image.name), 1, None, image.a, image.b, image.a - image.b])
    return stream.getvalue()


def latex(comparison: Comparison) -> str:
    """Scores and classes as one LaTeX table; needs the package booktabs."""

    def rows(lines: list[Line]) -> list[str]:
        return [" & ".join(map(latex_text, [line.name, *cells(line)])) + r" \\" for line in lines]

    caption = latex_text(" ".join([title(comparison) + ".", *finding(comparison), *notes(comparison)]))
    names = [latex_text(row.label) for row in (comparison.a, comparison.b)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            r"\begin{tabular}{lrrrrrrl}",
            r"\toprule",
            rf"& images & {names[0]} & {names[1]} & difference & 95\,\% interval & $p$ & \\",
            r"\midrule",
            *rows([comparison.total, *comparison.details]),
            r"\midrule",
            *rows(comparison.classes),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )
