"""A ledger as text: a table for the terminal, CSV, JSON or Markdown. Every column has the name of its convention."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Literal, get_args

from segattn.profile.ledger import Ledger, Row, Totals
from segattn.profile.markdown import markdown_table

Format = Literal["table", "csv", "json", "markdown"]
Convention = Literal["macs", "flops", "study", "all"]

CONVENTIONS: dict[str, str] = {
    "macs": "multiply-adds of convolutions, linear layers and matrix products; no bias",
    "flops": "2 per multiply-add",
    "study": "2HW(C_in K^2 + 1)C_out for a convolution, a linear layer as a 1x1 convolution, 2mkn for a product",
    "other": "element operations of norm, softmax, resize, pooling, bias and element-wise work; neither in macs nor in flops",
}
_ROOT = "(network)"


def render(
    ledger: Ledger,
    format: Format = "table",
    *,
    depth: int | None = 2,
    convention: Convention = "all",
    width: int = 180,
) -> str:
    """A ledger as text.

    `table` and `markdown` show totals of the modules at most `depth` names deep (None: all), then the operators of the whole
    network; `csv` has one line per module and operator; `json` has both and defines the conventions. `convention` selects
    among the columns macs, flops and study; other, parameters, activations and bytes are always shown. A table that is wider
    than `width` characters goes on in further tables with the same first column.

    Raises:
        ValueError: unknown format or convention.
    """
    if format not in get_args(Format):
        raise ValueError(f"format {format!r} is not known; use one of {', '.join(get_args(Format))}")
    if convention not in get_args(Convention):
        raise ValueError(f"convention {convention!r} is not known; use one of {', '.join(get_args(Convention))}")
    columns: list[str] = ["macs", "flops", "study"] if convention == "all" else [convention]
    renderers: dict[str, Callable[[Ledger, int | None, list[str]], str]] = {
        "table": partial(_table, width=width),
        "csv": _csv,
        "json": _json,
        "markdown": _markdown,
    }
    return renderers[format](ledger, depth, columns)


def quantity(value: int, unit: str = "") -> str:
    """A figure with three decimals and an SI prefix: `545.105 G`; below a thousand the exact figure: `612`.

    >>> quantity(616628224)
    '616.628 M'
    """
    for factor, prefix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= factor:
            return f"{value / factor:.3f} {prefix}{unit}"
    return f"{value} {unit}".strip()


def _module_lines(ledger: Ledger, depth: int | None, columns: list[str]) -> tuple[list[str], list[list[str]]]:
    head = ["module", "class", "parameters", *columns, "other", "activations", "bytes"]
    lines = []
    for path, total in ledger.by_module(depth).items():
        figures = [quantity(getattr(total, column)) for column in (*columns, "other")]
        bytes_ = [quantity(total.activation_bytes, "B"), quantity(total.bytes, "B")]
        lines.append([path or _ROOT, ledger.modules[path], quantity(total.parameters), *figures, *bytes_])
    return head, lines


def _operator_lines(ledger: Ledger, columns: list[str]) -> tuple[list[str], list[list[str]], str]:
    """Head and lines of the operators with a cost, and the names of those without one."""
    head = ["operator", "calls", *columns, "other", "activations", "bytes"]
    lines, free = [], []
    for row in ledger.by_operator():
        if not (row.macs or row.other or row.bytes):
            free.append(row.operator)
            continue
        figures = [quantity(getattr(row, column)) for column in (*columns, "other")]
        lines.append(
            [row.operator, str(row.calls), *figures, quantity(row.activation_bytes, "B"), quantity(row.bytes, "B")]
        )
    return head, lines, ", ".join(sorted(free))


def _notes(columns: list[str], free: str) -> list[str]:
    notes = [f"{name}: {CONVENTIONS[name]}" for name in (*columns, "other")]
    return [*notes, f"free (views, allocations): {free}"] if free else notes


def _table(ledger: Ledger, depth: int | None, columns: list[str], *, width: int) -> str:
    from rich.console import Console
    from rich.table import Table

    module_head, module_lines = _module_lines(ledger, depth, columns)
    head, lines, free = _operator_lines(ledger, columns)
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False, emoji=False)
    parts = [(2, chosen, module_head, module_lines) for chosen in _fitting(module_head, module_lines, width)]
    parts += [(1, chosen, head, lines) for chosen in _fitting(head, lines, width)]
    for left, chosen, heading, cells in parts:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index in chosen:
            table.add_column(heading[index], justify="left" if index < left else "right", overflow="fold")
        for line in cells:
            table.add_row(*(line[index] for index in chosen))
        console.print(table)
        console.print()
    console.print("\n".join(_notes(columns, free)), markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _fitting(heading: list[str], lines: list[list[str]], width: int) -> list[list[int]]:
    """The columns of each table, none wider than `width`; the first column, at most half of it, is in all of them."""
    widths = [max(map(len, column)) + 2 for column in zip(heading, *lines, strict=True)]
    first = min(widths[0], width // 2)
    tables, used = [[0]], first
    for index in range(1, len(heading)):
        if used + widths[index] > width and len(tables[-1]) > 1:
            tables.append([0])
            used = first
        tables[-1].append(index)
        used += widths[index]
    return tables


def _markdown(ledger: Ledger, depth: int | None, columns: list[str]) -> str:
    module_head, module_lines = _module_lines(ledger, depth, columns)
    head, lines, free = _operator_lines(ledger, columns)
    parts = [
        markdown_table(heading, [[f"`{name}`", *cells] for name, *cells in body], align=align)
        for heading, body, align in ((module_head, module_lines, "llr"), (head, lines, "lr"))
    ]
    return "\n\n".join([*parts, "\n".join(f"* {note}" for note in _notes(columns, free))]) + "\n"


def _csv(ledger: Ledger, depth: int | None, columns: list[str]) -> str:
    text = io.StringIO()
    names = ["module", "operator", "calls", *columns, "other", "activations", "activation_bytes", "bytes"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in ledger.rolled_up(depth))
    return text.getvalue()


def _json(ledger: Ledger, depth: int | None, columns: list[str]) -> str:
    modules = [
        {"module": path, "class": ledger.modules[path], **_figures(total, columns)}
        for path, total in ledger.by_module(depth).items()
    ]
    rows = [_figures(row, columns) for row in ledger.rolled_up(depth)]
    definitions = {name: CONVENTIONS[name] for name in (*columns, "other")}
    return json.dumps({"conventions": definitions, "modules": modules, "rows": rows}, indent=1) + "\n"


def _figures(entry: Row | Totals, columns: list[str]) -> dict[str, int | str]:
    figures = {**asdict(entry), "flops": entry.flops}
    unwanted = {"macs", "flops", "study"} - set(columns)
    return {name: value for name, value in figures.items() if name not in unwanted}
