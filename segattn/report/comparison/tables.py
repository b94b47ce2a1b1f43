"""A comparison of two networks as Markdown, CSV and LaTeX."""

from __future__ import annotations

from segattn.report.comparison.compare import MOST_IMAGES, Comparison, Line
from segattn.report.comparison.without import Without, WithoutLine
from segattn.report.comparison.words import finding, mark, notes, p_text, title, without_text
from segattn.report.shared.text import (
    MISSING,
    caption,
    csv_table,
    escaped_table,
    interval_text,
    latex_text,
    markdown_text,
    percent,
    points,
)
from segattn.report.study.contribution import NAME

HEADINGS = ("images", "A %", "B %", "A − B", "95 % interval", "p", "")


def cells(line: Line) -> list[str]:
    """One line under `HEADINGS`, after its name."""
    a, b = (MISSING if value is None else percent(value) for value in (line.a, line.b))
    both = line.a is not None and line.b is not None
    value = points(line.difference.value) if both else MISSING
    interval = interval_text(line.difference.low, line.difference.high)
    return [str(line.num_images), a, b, value, interval, p_text(line.p), mark(line)]


def without_headings(without: Without) -> list[str]:
    """Headings of the scores without attention, after that of the name."""
    return [heading for side in without.sides for heading in (f"{side.upper()} %", "change")]


def without_cells(without: Without, line: WithoutLine) -> list[str]:
    """One line under `without_headings`: each score without the mechanism, and by how much it changes."""
    cells = []
    for pair in without.pairs(line):
        cells.append(MISSING if pair.without is None else percent(pair.without))
        cells.append(MISSING if pair.difference is None else points(pair.difference))
    return cells


def _without_markdown(comparison: Comparison) -> list[str]:
    if (without := comparison.without) is None:
        return []
    lines = [f"## {NAME}", "", " ".join(markdown_text(text) for text in without_text(comparison)), ""]
    for name, group in (("score", without.scores), ("class", without.classes)):
        rows = [[line.name, *without_cells(without, line)] for line in group]
        lines += [escaped_table([name, *without_headings(without)], rows), ""]
    return lines


def markdown(comparison: Comparison) -> str:
    """Summary, scores, classes, images and definitions."""
    lines = [f"# {markdown_text(title(comparison))}", ""]
    lines += [" ".join(markdown_text(text) for text in finding(comparison)), ""]
    lines += [f"A is {markdown_text(comparison.a.label)}, B is {markdown_text(comparison.b.label)}.", ""]
    for name, group in (("score", [comparison.total, *comparison.details]), ("class", comparison.classes)):
        align = "l" + "r" * (len(HEADINGS) - 1) + "l"
        lines += [escaped_table([name, *HEADINGS], [[line.name, *cells(line)] for line in group], align=align), ""]
    lines += _without_markdown(comparison)
    lines += ["Images on which the networks differ most (mean IoU over the classes labelled in the image):", ""]
    images = comparison.images[:MOST_IMAGES]
    rows = [[image.name, percent(image.a), percent(image.b), points(image.a - image.b)] for image in images]
    lines.append(escaped_table(["image", "A %", "B %", "A − B"], rows))
    lines += ["", *(f"- {markdown_text(note)}" for note in notes(comparison))]
    return "\n".join(lines) + "\n"


def csv_text(comparison: Comparison) -> str:
    """One line per score, class and image, every digit: fractions in [0, 1]; an empty field where unknown."""
    rows: list[list[object]] = [
        ["kind", "name", "images", "share", "a", "b", "difference", "low95", "high95", "p_alone", "p_holm"]
    ]
    groups = {"score": [comparison.total], "detail": comparison.details, "class": comparison.classes}
    for kind, lines in groups.items():
        for line in lines:
            difference = line.difference
            value = None if line.a is None or line.b is None else difference.value
            rows.append(
                [kind, line.name, line.num_images, line.share, line.a, line.b, value, difference.low,
                 difference.high, difference.p, line.p]
            )  # fmt: skip
    if comparison.without is not None:
        for kind, entries in (("score", comparison.without.scores), ("class", comparison.without.classes)):
            for entry in entries:
                values = (entry.a.without, entry.b.without)
                apart = None if None in values else entry.a.without - entry.b.without  # type: ignore[operator]
                rows.append([f"{kind} without attention", entry.name, None, None, *values, apart])
    for image in comparison.images:
        rows.append(["image", image.name, 1, None, image.a, image.b, image.a - image.b])
    return csv_table(rows)


def latex(comparison: Comparison) -> str:
    """Scores and classes as one LaTeX table; needs the package booktabs."""

    def rows(lines: list[Line]) -> list[str]:
        return [" & ".join(map(latex_text, [line.name, *cells(line)])) + r" \\" for line in lines]

    words = caption([finding(comparison)[0], "Percentage points. ≈: not distinguishable (classes: Holm-corrected)."])
    names = [latex_text(row.label) for row in (comparison.a, comparison.b)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *(f"% {latex_text(note)}" for note in [*finding(comparison)[1:], *notes(comparison)]),
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(words)}}}",
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
