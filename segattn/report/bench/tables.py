"""Bench records as text: the terminal's table, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segattn.records import BenchRecord
from segattn.report.bench.groups import Group, Line, groups, lines
from segattn.report.bench.scaling import curves, statements
from segattn.report.bench.words import machine_text, notes, number, trouble
from segattn.report.shared.terminal import sheets
from segattn.report.shared.text import MISSING, csv_table, escaped_table, markdown_text

MEBIBYTE = 2**20
_WIDE = 110
"""From this width on, the terminal shows the whole table."""
_SPARE = ("p95\nms", "images\n/s", "\nGFLOPs", "FLOP\n/byte")
EXPONENT_HEADINGS = ("head", "of", "measured", "ledger's FLOPs", "leading term", "sizes fitted")
_WORDS = ("head", "form", "bound\nby")


def headings(group: Group) -> list[str]:
    """Headings of a group's table, a line break where the terminal breaks."""
    columns = ["head"]
    if group.has_forms:
        columns.append("form")
    columns += ["median\nms", "quartiles\nms", "p95\nms", "images\n/s", "extra\nMiB"]
    if group.compares:
        columns += ["times\nfaster", "of its\nmemory"]
    return [*columns, "\nGFLOPs", "GFLOP\n/s", "% of\nproduct", "FLOP\n/byte", "bound\nby"]


def cells(group: Group, line: Line) -> list[str]:
    """One line of a group's table, under `headings`."""
    latency, work = line.result.latency, line.result.work
    texts = [line.case.label]
    if group.has_forms:
        texts.append(group.form(line.case))
    texts += [
        number(line.median_ms),
        MISSING if latency is None else f"{number(latency.lower_quartile_ms)}-{number(latency.upper_quartile_ms)}",
        number(None if latency is None else latency.p95_ms),
        number(line.images_per_second),
        number(None if line.extra_bytes is None else line.extra_bytes / MEBIBYTE),
    ]
    if group.compares:
        texts += [
            MISSING if line.time_ratio is None else f"{line.time_ratio:.2f}",
            MISSING if line.memory_ratio is None else f"{line.memory_ratio:.3f}",
        ]
    return [
        *texts,
        number(None if work is None else work.flops / 1e9),
        number(None if line.flops_per_second is None else line.flops_per_second / 1e9),
        MISSING if line.share is None else f"{100 * line.share:.0f}",
        number(line.intensity),
        line.bound or MISSING,
    ]


def word_columns(group: Group) -> list[str]:
    """Those of `headings`, on one line, that stand over words."""
    return [" ".join(heading.split()) for heading in headings(group) if heading in _WORDS]


def exponent_rows(record: BenchRecord) -> list[list[str]]:
    """A line for each curve of the record's sweep, under `EXPONENT_HEADINGS`; none without a sweep."""
    rows = []
    every = curves(record)
    several = len({curve.setting for curve in every}) > 1
    for curve in every:
        figures = (curve.exponent, curve.counted if curve.quantity == "time" else None)
        rows.append(
            [
                f"{curve.label} ({curve.setting})" if several else curve.label,
                curve.quantity,
                *(MISSING if value is None else f"{value:.2f}" for value in figures),
                MISSING if curve.leading is None else f"{curve.leading:g}",
                f"{len(curve.fitted_sizes)} of {len(curve.positions)}",
            ]
        )
    return rows


def show(record: BenchRecord, console: Console) -> None:
    """Print the tables, what failed, and what the columns mean."""
    for group in groups(record):
        console.print(Text(group.title, style="italic"))
        _show_lines(group, console)
        for sentence in trouble(group):
            console.print(Text(sentence, style="yellow"))
        console.print()
    rows = exponent_rows(record)
    if rows:
        console.print(Text("Exponents of N = H W over the larger half of the sizes", style="italic"))
        for shown in sheets(list(zip(EXPONENT_HEADINGS, *rows, strict=True)), console.width, named=2, gap=2):
            table = _sheet([EXPONENT_HEADINGS[n] for n in shown], words=EXPONENT_HEADINGS[:2], gap=2)
            for row in rows:
                table.add_row(*(Text(row[n]) for n in shown))
            console.print(table)
        for sentence in statements(curves(record)):
            console.print(Text(f"{sentence}."))
        console.print()
    for note in notes(record):
        console.print(Text(note, style="dim"))


def _show_lines(group: Group, console: Console) -> None:
    """A group's table, in several sheets where it is too wide for one."""
    names, rows = headings(group), [cells(group, line) for line in group.lines]
    kept = [n for n, name in enumerate(names) if console.width >= _WIDE or name not in _SPARE]
    columns = [[names[n], *(row[n] for row in rows)] for n in kept]
    best = _best(group)
    for number_, shown in enumerate(sheets(columns, console.width, named=2 if group.has_forms else 1)):
        if number_:
            console.print()
        table = _sheet([columns[n][0] for n in shown], words=_WORDS, gap=1)
        for line, row in zip(group.lines, rows, strict=True):
            table.add_row(*(Text(row[kept[n]]) for n in shown), style="bold" if line is best else None)
        console.print(table)


def _sheet(names: Sequence[str], *, words: Sequence[str], gap: int) -> Table:
    """An empty table; names of networks fold where they alone are too long, figures never."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    for name in names:
        justify: Literal["left", "right"] = "left" if name in words else "right"
        table.add_column(name, justify=justify, no_wrap=name != "head", overflow="fold", vertical="bottom")
    return table


def markdown(record: BenchRecord) -> str:
    """The tables as Markdown."""
    parts = [f"# {markdown_text(record.suite)}: {markdown_text(machine_text(record))}", ""]
    for group in groups(record):
        names = [" ".join(heading.split()) for heading in headings(group)]
        table = escaped_table(
            names, [cells(group, line) for line in group.lines], align="llr" if group.has_forms else "lr"
        )
        parts += [f"**{markdown_text(group.title)}**", "", table]
        parts += ["", *(f"- {markdown_text(sentence)}" for sentence in trouble(group)), ""]
    rows = exponent_rows(record)
    if rows:
        parts += ["**Exponents of N = H W**", "", escaped_table(EXPONENT_HEADINGS, rows, align="llr")]
        parts += ["", *(f"- {markdown_text(sentence)}." for sentence in statements(curves(record))), ""]
    parts += [f"- {markdown_text(note)}" for note in notes(record)]
    origin = f"Produced by `{record.command.replace('`', chr(39))}`, {record.created[:10]}."
    return "\n".join([*parts, "", origin]).replace("\n\n\n", "\n\n") + "\n"


def csv_text(record: BenchRecord) -> str:
    """One line per case, every digit; an empty field where there is no figure."""
    rows = [_fields(line) for line in lines(record)]
    return csv_table([list(rows[0]), *(row.values() for row in rows)])


def _fields(line: Line) -> dict[str, object]:
    case, result = asdict(line.case), line.result
    for name in ("input_size", "map_size"):
        case[name] = "x".join(map(str, case[name]))
    for name in ("head_options", "backbone_options"):
        case[name] = ",".join(f"{key}={value}" for key, value in case[name].items())
    latency, memory, work, limit = result.latency, result.memory, result.work, line.limit
    return {
        **case,
        "group": result.group,
        "outcome": result.outcome,
        "message": result.message,
        "rounds": len(latency.samples_ms) if latency else 0,
        "median_ms": latency and latency.median_ms,
        "lower_quartile_ms": latency and latency.lower_quartile_ms,
        "upper_quartile_ms": latency and latency.upper_quartile_ms,
        "p95_ms": latency and latency.p95_ms,
        "images_per_second": line.images_per_second,
        "extra_bytes": memory and memory.extra_bytes,
        "total_bytes": memory and memory.total_bytes,
        "reserved_bytes": memory and memory.reserved_bytes,
        "flops": work and work.flops,
        "other": work and work.other,
        "bytes": work and work.bytes,
        "flops_per_second": line.flops_per_second,
        "product_flops_per_second": limit and limit.product_flops,
        "bandwidth": limit and limit.bandwidth,
        "share_of_product": line.share,
        "share_of_roof": line.roof_share,
        "bound": line.bound,
        "times_faster_than_reference": line.time_ratio,
        "memory_of_reference": line.memory_ratio,
    }


def _best(group: Group) -> Line | None:
    """The fastest of at least two."""
    timed: Sequence[Line] = [line for line in group.lines if line.median_ms is not None]
    return min(timed, key=lambda line: line.median_ms or 0.0) if len(timed) > 1 else None
