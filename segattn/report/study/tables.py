"""The main table as text: Markdown, CSV and LaTeX. CSV holds full precision, the others what a reader compares."""

from __future__ import annotations

from segattn.report.shared.text import (
    MISSING,
    UNCLEAR,
    caption,
    csv_table,
    escaped_table,
    interval_text,
    latex_text,
    markdown_text,
    one_line,
    percent,
    points,
)
from segattn.report.study import columns, contribution, details, protocol, start, swept
from segattn.report.study.rows import Row
from segattn.report.study.settings import text
from segattn.report.study.study import Study
from segattn.report.study.summary import summary
from segattn.report.study.words import PARTS, counted_on, finding, footnotes


def giga(value: int, digits: int) -> str:
    """A count in units of 10^9."""
    return f"{value / 1e9:,.{digits}f}"


def mega(value: int, digits: int = 1) -> str:
    """A count in units of 10^6."""
    return f"{value / 1e6:,.{digits}f}"


def cells(study: Study, row: Row) -> list[str]:
    """One line of the main table, under `headings`."""
    name = row.name if row.swept else row.label
    return [marked(study, row, name), *swept_cells(study, row), *score_cells(study, row)]


def swept_cells(study: Study, row: Row) -> list[str]:
    """The row's value of each setting that the study sweeps over."""
    return [text(row.swept[name]) if name in row.swept else MISSING for name in swept.names(study)]


def score_cells(study: Study, row: Row) -> list[str]:
    """The cells after the row's label."""
    spread = "" if row.deviation is None else f" ± {percent(row.deviation)}"
    return [
        percent(row.mean_iou) + spread,
        str(row.n),
        delta_text(study, row),
        *_contribution_cells(study, row),
        *([zoo_text(study, row)] if start.any_fully_trained(study) else []),
        percent(row.pixel_accuracy),
        *cost_cells(study, row),
        *_bench_cells(study, row),
        f"{row.train_seconds:,.0f}",
    ]


def cost_cells(study: Study, row: Row, *, reference: bool = False) -> list[str]:
    """GFLOPs of mechanism, head and network, and the network's parameters: as trained, or of the reference network."""
    which = study.reference_cost if reference else study.cost
    cost, largest = which(row), max((each.network.flops for each in map(which, study.rows) if each), default=0)
    if cost is None:
        return [MISSING] * 4
    digits = (2, 1, 1) if largest > 1e11 else (3, 3, 3)  # small networks of a quick study
    flops = (cost.mechanism.flops, cost.head_total.flops, cost.network.flops)
    return [*map(giga, flops, digits), mega(cost.network.parameters)]


def reference_cells(study: Study, row: Row) -> list[str]:
    """The row's cells under `reference_headings`."""
    return cost_cells(study, row, reference=True) if reference_headings(study) else []


def marked(study: Study, row: Row, label: str) -> str:
    """A label of the row and its marks: `isanet† ≈`."""
    cold, unclear = start.COLD * start.is_cold(row), f" {UNCLEAR}" * study.marks(row)[0]
    return f"{label}{cold}{unclear}"


def delta_text(study: Study, row: Row, *, half: bool = False) -> str:
    """Difference to the baseline, its interval (`half`: ± half of it) and its mark: +0.42 [−0.13, 0.97] ≈."""
    if (delta := study.delta(row)) is None:
        return MISSING
    text = points(delta.value)
    if delta.low is not None and delta.high is not None:
        ends = interval_text(delta.low, delta.high)
        text += f" ±{percent((delta.high - delta.low) / 2)}" if half else f" [{ends}]"
    return f"{text} {UNCLEAR}" if study.marks(row)[1] else text


def headings(study: Study) -> list[str]:
    """Headings of the main table; the cost columns name their convention and input size."""
    where = counted_on(map(study.cost, study.rows))
    at = f", {where}" if where else ""
    return [
        "Head",
        *swept.names(study),
        "mIoU %",
        "n",
        f"Δ {study.baseline_name}",
        *added_headings(study),
        "Pixel acc. %",
        *(f"{part.capitalize()} GFLOPs (2 per MAC){at}" for part in PARTS),
        "Parameters M",
        *(
            f"{study.bench_columns.part.capitalize()} {what}, {study.bench_columns.network}"
            for what in ("latency ms", "memory MiB")
            if study.bench_columns
        ),
        "Training s",
    ]


def reference_headings(study: Study) -> list[str]:
    """Headings of the group of the reference network, which was not trained; it stands after all others."""
    where = counted_on(map(study.reference_cost, study.rows))
    return [
        f"Reference network {where}: {what}"
        for what in (*(f"{part} GFLOPs" for part in PARTS), "parameters M")
        if where
    ]


def added_headings(study: Study) -> list[str]:
    """Headings between the differences and the pixel accuracy: what attention contributes, and the networks of the zoo."""
    return contribution_headings(study) + [f"{start.NAME} %"] * start.any_fully_trained(study)


def contribution_headings(study: Study) -> list[str]:
    """Headings of the columns on what attention contributes, where any row has them."""
    return ["Gate"] * contribution.any_gates(study) + [f"{contribution.NAME} %"] * contribution.any_scores(study)


def _contribution_cells(study: Study, row: Row) -> list[str]:
    cells = [gates_text(row)] if contribution.any_gates(study) else []
    return [*cells, without_text(row)] if contribution.any_scores(study) else cells


def gates_text(row: Row) -> str:
    """The learnt gates: 0.031/0.102."""
    return "/".join(f"{value:.3f}" for value in contribution.gates(row).values()) or MISSING


def without_text(row: Row) -> str:
    """Mean IoU without the mechanism and the difference that makes: 44.30 (−1.97)."""
    pair = contribution.mean_iou(row)
    if pair.without is None or pair.difference is None:
        return MISSING
    return f"{percent(pair.without)} ({points(pair.difference)})"


def zoo_text(study: Study, row: Row) -> str:
    """Recorded mean IoU of the zoo's network of this head; a dash where there is none."""
    network = start.fully_trained(study, row)
    return MISSING if network is None else percent(network.mean_iou)


def latency_text(value_ms: float | None) -> str:
    """Milliseconds with three significant digits; a dash where it was not measured."""
    return MISSING if value_ms is None else f"{value_ms:,.0f}" if value_ms >= 100 else f"{value_ms:.3g}"


def memory_text(value_bytes: int | None) -> str:
    """Whole MiB, one decimal below ten; a dash where it was not measured."""
    if value_bytes is None:
        return MISSING
    return f"{value_bytes / 2**20:,.{0 if value_bytes >= 10 * 2**20 else 1}f}"


def _bench_cells(study: Study, row: Row) -> list[str]:
    """Latency and memory, where any row has them."""
    if (columns := study.bench_columns) is None:
        return []
    network = (row.head, row.mode)
    return [latency_text(columns.latency_ms(network)), memory_text(columns.extra_bytes(network))]


def markdown(study: Study) -> str:
    """The summary, the main table and its definitions, as Markdown."""
    lines = [f"# {markdown_text(title(study))}", "", " ".join(map(markdown_text, summary(study))), ""]
    rows = [[*cells(study, row), *reference_cells(study, row)] for row in study.shown]
    lines.append(escaped_table([*headings(study), *reference_headings(study)], rows))
    lines += ["", " ".join(map(markdown_text, [*finding(study), *protocol.other_training(study)]))]
    lines += ["", *(f"- {markdown_text(note)}" for note in footnotes(study))]
    lines += _markdown_details(study)
    lines += ["", *(f"Produced by `{one_line(record.command).replace('`', chr(39))}`." for record in study.studies)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_details(study: Study) -> list[str]:
    columns = details.columns(study)
    if not columns:
        return []
    names = [f"{column.name} ({column.group.split()[0]}) %" for column in columns]
    rows = [
        [line.row.label, *(MISSING if value is None else percent(value) for value in (line.boundary, *line.strata))]
        for line in details.lines(study)
    ]
    table = escaped_table(["Head", "Boundary mIoU %", *names], rows)
    return ["", "## Boundaries, small and thin objects", "", table, "", markdown_text(details.definition(study))]


def title(study: Study) -> str:
    """A heading: the experiment and what it was measured on."""
    experiments = list(dict.fromkeys(row.experiment for row in study.rows))
    return f"{', '.join(experiments)}: {len(study.rows)} network{'s' * (len(study.rows) > 1)} on {study.first.dataset}"


def csv_text(study: Study) -> str:
    """One line a network, every digit: fractions in [0, 1], raw counts, seconds; an empty field where unknown."""
    lines = columns.lines(study)
    names = list(dict.fromkeys(name for line in lines for name in line))
    return csv_table([names, *([line.get(name, "") for name in names] for line in lines)])


def latex(study: Study) -> str:
    """The main table as a LaTeX table; needs the package booktabs."""
    lines = [[*cells(study, row), *reference_cells(study, row)] for row in study.shown]
    settings = swept.names(study)
    best = max(row.mean_iou for row in study.rows)
    score = 1 + len(settings)
    for row, line in zip(study.shown, lines, strict=True):
        line[:] = [latex_text(cell) for cell in line]
        if row.mean_iou == best:
            mean, *spread = line[score].split(" ", 1)
            line[score] = " ".join([rf"\textbf{{{mean}}}", *spread])
    counted = latex_text(f", {where}" if (where := counted_on(map(study.cost, study.rows))) else "")
    group, last, parts = ("", "", ""), len(lines[0]), " & mech. & head & network & M"
    if where := counted_on(map(study.reference_cost, study.rows)):
        spanning = rf" & \multicolumn{{4}}{{c}}{{Reference network, {latex_text(where)}}}"
        group = (spanning, rf"\cmidrule(lr){{{last - 3}-{last}}}", parts)
    added = added_headings(study)
    first = 5 + score + len(added)
    over, under = ("".join(f"{word} & " for word in words) for words in _split_headings(added))
    bench = ("Lat. & Mem. & ", "ms & MiB & ") if study.bench_columns else ("", "")
    baseline = latex_text(study.baseline_name)
    above, names = "& " * score, " & ".join(["Head", *map(latex_text, settings)])
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *(f"% {latex_text(note)}" for note in footnotes(study)),
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(_caption(study))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(lines[0]) - 1)}}}",
            r"\toprule",
            rf"{above}& & & {over}Pixel & \multicolumn{{3}}{{c}}{{GFLOPs{counted}}} & Param. & {bench[0]}Train{group[0]} \\",
            rf"\cmidrule(lr){{{first}-{first + 2}}}{group[1]}",
            rf"{names} & mIoU \% & $n$ & $\Delta$ {baseline} & {under}acc.\ \%{parts} & {bench[1]}s{group[2]} \\",
            r"\midrule",
            *(" & ".join(line) + r" \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _split_headings(names: list[str]) -> tuple[list[str], list[str]]:
    """The headings of `added_headings` on two lines."""
    lines = {"Gate": ("", "gate"), f"{start.NAME} %": ("Fully", r"trained \%")}
    pairs = [lines.get(name, ("Without", r"attention \%")) for name in names]
    return [above for above, _ in pairs], [below for _, below in pairs]


def _caption(study: Study) -> str:
    """At most 40 words; the definitions stand in the file as comments."""
    sentences = [f"{title(study)}, {study.first.split} split."]
    if any(row.deviation is not None for row in study.rows):
        sentences.append("±: standard deviation over n seeds.")
    if study.contrasts:
        intervals = any(contrast.difference.low is not None for contrast in study.contrasts.values())
        sentences.append(f"Δ: percentage points to {study.baseline_name}{', with 95 % interval' * intervals}.")
    if any(any(study.marks(row)) for row in study.rows):
        sentences.append("≈: not distinguishable from the first row or the baseline (Holm-corrected, p ≥ 0.05).")
    return caption(sentences)
