"""A comparison of several networks with the first of them: in words, as Markdown, CSV, LaTeX and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from segattn.report.comparison.compare import Line
from segattn.report.comparison.several import Several, lines
from segattn.report.comparison.words import FEW, p_text
from segattn.report.comparison.words import notes as pair_notes
from segattn.report.shared import bootstrap
from segattn.report.shared.terminal import plain, sheets, table_style
from segattn.report.shared.text import (
    MISSING,
    MOST_NAMED,
    UNCLEAR,
    caption,
    csv_table,
    escaped_table,
    interval_text,
    latex_text,
    listing,
    markdown_text,
    percent,
    points,
    times,
)
from segattn.report.study.contrast import ONE_SEED
from segattn.report.study.verdict import LEVEL

HEADINGS = ("network", "mIoU %", "difference", "95 % interval", "p", "")


def title(several: Several) -> str:
    """The first network, the number of others and the data set."""
    return f"{len(several.others)} networks against {several.first.label} on {several.study.first.dataset}"


def mark(line: Line, p: float | None) -> str:
    """Empty where the networks differ; else why that is not shown."""
    return "" if p is not None and p < LEVEL else UNCLEAR if p is not None else FEW if line.a is not None else ""


def finding(several: Several) -> list[str]:
    """Which of the others are distinguishable from the first, above and below it, and in how many classes."""
    first, record = several.first.label, several.study.first
    where = f"on {record.dataset} {record.split} ({record.scores.images})"
    tested = several.num_compared[0]
    if not tested:
        return [f"There are too few images to test the differences to {first} {where}."]
    clear = [(row, line) for (row, line, _), is_clear in zip(lines(several), several.clear, strict=True) if is_clear]
    groups = [[row.label for row, line in clear if (line.difference.value > 0) is above] for above in (True, False)]
    parts = [f"{_named(names)} {'is' if len(names) == 1 else 'are'} {side} {first}"
             for names, side in zip(groups, ("above", "below"), strict=True) if names]  # fmt: skip
    unclear = [row.label for (row, _, p), is_clear in zip(lines(several), several.clear, strict=True)
               if p is not None and not is_clear]  # fmt: skip
    if unclear:
        verb = "is" if len(unclear) == 1 else "are"
        parts.append(f"{_named(unclear)} {verb} not distinguishable from {'it' if parts else first}")
    text = f"In mIoU {where}, {'; '.join(parts)} (Holm-corrected for {times(tested)})."
    counts = sum(p is not None and p < LEVEL for line in several.class_p for p in line)
    classes = f"Of {several.num_compared[1]:,} differences in single classes, {counts or 'none'}"
    return [text, f"{classes} {'are' if counts > 1 else 'is'} distinguishable, Holm-corrected for all of them."]


def _named(labels: list[str]) -> str:
    return listing(labels) if len(labels) <= MOST_NAMED else f"{len(labels):,} networks"


def notes(several: Several) -> list[str]:
    """What differences, intervals, p values and marks are, and what they do not cover."""
    first, (tested, classes) = several.first.label, several.num_compared
    sentences = [
        f"Difference: the network minus {first}, in percentage points; other pairs are not tested. Intervals and p values before"
        " correction are those of `segattn compare` for the pair."
    ]
    by_test: dict[str, list[str]] = {}
    for row, pair in zip(several.others, several.comparisons, strict=True):
        test = "bootstrap over images, networks paired by image"
        if pair.unpaired is None:
            test = "t over images and seeds, networks paired by image and by seed"
        elif max(pair.a.n, pair.b.n) > 1:
            test = f"bootstrap over images and seeds, networks paired by image only ({pair.unpaired})"
        elif pair.unpaired != ONE_SEED:
            test = f"{test} only ({pair.unpaired})"
        by_test.setdefault(test, []).append(row.label)
    sentences += [f"{_named(labels)}: {test}." for test, labels in by_test.items()]
    if any(pair.a.n == pair.b.n == 1 for pair in several.comparisons):
        sentences.append("One seed each: p values and intervals do not cover seed-to-seed variation.")
    sentences.append(
        f"{UNCLEAR}: not distinguishable, p ≥ 0.05; p values are Holm-corrected for {times(tested)} in mIoU and for {classes:,}"
        f" in classes, intervals are not. {FEW}: labelled in fewer than {bootstrap.FEWEST_IMAGES} images, too few for a test."
    )
    sentences.append("Intervals are too narrow where images depend on each other, such as frames of one drive.")
    return [*sentences, *(note for note in pair_notes(several.comparisons[0]) if note.startswith("Accuracy: "))]


def cells(several: Several) -> list[list[str]]:
    """The first network and the others, under `HEADINGS`."""
    rows = [[several.first.label, percent(several.first.mean_iou), MISSING, MISSING, MISSING, ""]]
    for row, line, p in lines(several):
        difference = line.difference
        interval = interval_text(difference.low, difference.high)
        rows.append([row.label, percent(row.mean_iou), points(difference.value), interval, p_text(p), mark(line, p)])
    return rows


def class_headings(several: Several) -> list[str]:
    """Headings of the table of classes: the first network's IoU, then the difference of each other."""
    return ["class", f"{several.first.label} %", *(row.label for row in several.others)]


def class_cells(several: Several) -> list[list[str]]:
    """One row for each class, under `class_headings`; ≈ where a difference is not distinguishable."""
    rows = []
    for index, line in enumerate(several.comparisons[0].classes):
        row = [line.name, MISSING if line.b is None else percent(line.b)]
        for pair, p in zip(several.comparisons, several.class_p, strict=True):
            other = pair.classes[index]
            known = other.a is not None and other.b is not None
            row.append(f"{points(other.difference.value)} {mark(other, p[index])}".strip() if known else MISSING)
        rows.append(row)
    return rows


def markdown(several: Several) -> str:
    """Summary, differences, classes and definitions."""
    parts = [
        f"# {markdown_text(title(several))}",
        " ".join(map(markdown_text, finding(several))),
        escaped_table(HEADINGS, cells(several)).rstrip(),
        f"Difference to {markdown_text(several.first.label)} in each class, percentage points:",
        escaped_table(class_headings(several), class_cells(several)).rstrip(),
        "\n".join(f"- {markdown_text(note)}" for note in notes(several)),
    ]
    return "\n\n".join(parts) + "\n"


def csv_text(several: Several) -> str:
    """One line for each network and score, every digit: fractions in [0, 1]; an empty field where unknown."""
    rows: list[list[object]] = [
        ["network", "kind", "name", "images", "score", "first", "difference", "low95", "high95", "p_alone", "p_holm"]
    ]
    for row, pair, p, class_p in zip(several.others, several.comparisons, several.p, several.class_p, strict=True):
        scores = [("score", pair.total, p), *(("class", *each) for each in zip(pair.classes, class_p, strict=True))]
        for kind, line, corrected in scores:
            difference = line.difference
            value = None if line.a is None or line.b is None else difference.value
            rows.append([row.label, kind, line.name, line.num_images, line.a, line.b, value, difference.low,
                         difference.high, difference.p, corrected])  # fmt: skip
    return csv_table(rows)


def latex(several: Several) -> str:
    """Networks against the first as a LaTeX table; needs the package booktabs."""
    where = f"{title(several)} {several.study.first.split}."
    key = (
        f"Differences to {several.first.label} in percentage points. ≈: not distinguishable (Holm-corrected, p ≥ 0.05)."
    )
    body = [" & ".join(map(latex_text, row)) + r" \\" for row in cells(several)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *(f"% {latex_text(text)}" for text in [*finding(several), *notes(several)]),
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption([where, key]))}}}",
            r"\begin{tabular}{lrrrrl}",
            r"\toprule",
            r"network & mIoU \% & difference & 95\,\% interval & $p$ & \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


class TerminalSeveral:
    """A rich renderable: the differences, the classes in tables that fit the width, and caveats."""

    def __init__(self, several: Several) -> None:
        self.several = several

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lay the tables out for the width and encoding at hand."""
        several = self.several

        def text(value: str, style: str = "") -> Text:
            return plain(value, style, ascii_only=options.ascii_only)

        def table(headings: Any, rows: list[list[str]], bold: list[bool]) -> Table:
            shown = Table(**table_style(options))
            for index, heading in enumerate(headings):
                name = index == 0
                shown.add_column(text(heading), justify="right" if index and heading else "left", no_wrap=not name,
                                 overflow="fold", min_width=4 if name else None)  # fmt: skip
            for row, is_bold in zip(rows, bold, strict=True):
                shown.add_row(*(text(cell, "bold" if is_bold else "") for cell in row))
            return shown

        yield text(title(several), "bold")
        yield text("")
        yield table(HEADINGS, cells(several), [False, *several.clear])
        yield text("")
        yield text(f"Difference to {several.first.label} in each class, percentage points:", "bold")
        headings, rows = class_headings(several), class_cells(several)
        columns = [[heading, *column] for heading, column in zip(headings, zip(*rows, strict=True), strict=True)]
        for shown in sheets(columns, options.max_width, gap=2 if options.max_width >= 100 else 1):
            yield table([headings[i] for i in shown], [[row[i] for i in shown] for row in rows], [False] * len(rows))
        yield text("")
        yield text(" ".join(finding(several)))
        yield text("")
        for note in notes(several):
            yield text(note, "dim")
