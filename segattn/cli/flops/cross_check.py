"""`segattn flops --cross-check`: what other counters report, side by side, and why."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from torch import nn

from segattn.cli import terminal
from segattn.profile import flops, other_counters
from segattn.profile.markdown import markdown_table

_HEADINGS = ("counter", "calls it", "G", "what it counts")


@dataclass(frozen=True)
class Check:
    """One module under every counter."""

    head: str
    part: str
    macs: int
    readings: tuple[other_counters.Reading, ...]


def check(head: str, part: str, module: nn.Module, *inputs: Any) -> Check:
    """Count with segattn and with every other counter that is installed."""
    macs = flops.count(module, *inputs).total().macs
    return Check(head, part, macs, other_counters.cross_check(module, *inputs))


def show(checks: Sequence[Check], format: str) -> None:
    """Print the checks in one of the formats of `segattn flops`."""
    if format == "json":
        print(json.dumps([record(entry) for entry in checks], indent=1))
    elif format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["head", "part", "macs", "peer", "version", "figure", "unit", "rest", "problem"])
        for entry in checks:
            for r in entry.readings:
                own = [r.counter, r.version, r.figure, r.unit if r.figure else None, r.rest, r.problem]
                writer.writerow([entry.head, entry.part, entry.macs, *own])
    elif format == "markdown":
        print("\n\n".join(map(_markdown, checks)))
    else:
        _tables(checks)


def record(entry: Check) -> dict[str, Any]:
    """A check as plain data, with only those calls that make a difference."""
    return {"head": entry.head, "part": entry.part, "macs": entry.macs, "readings": [_plain(r) for r in entry.readings]}


def _plain(reading: other_counters.Reading) -> dict[str, Any]:
    differences = [list(pair) for pair in reading.differences()]
    fields = {name: value for name, value in asdict(reading).items() if name not in ("counter", "terms")}
    unseen = [[term.kind, term.calls, term.macs, term.other] for term in reading.unseen()]
    return {
        "peer": reading.counter,
        **fields,
        "unit": reading.unit,
        "differences": differences,
        "unseen": unseen if reading.figure is not None else [],
    }


def explain(unit: int, differences: Sequence[Sequence[Any]], unseen: Sequence[Sequence[Any]] = ()) -> str:
    """In words: what a counter counts per multiply-add, what it leaves out or adds, and what it does not see, in G.

    `unseen` has kinds of call with their number, multiply-adds and element operations, as in the JSON.
    """
    calls = {f"{kind}: not seen": number for kind, number, macs, _ in unseen if macs and number > 1}
    shown = [
        f"{reason}{f' in {calls[reason]} calls' if reason in calls else ''} ({amount / 1e9:+.3f} G)"
        for reason, amount in differences
        if abs(amount) >= 500_000
    ]
    small = sum(amount for _, amount in differences if abs(amount) < 500_000)
    if small:
        shown.append(f"less than 0.001 G each: {small / 1e9:+.6f} G")
    return "; ".join([f"{unit} per multiply-add", *shown, *elements(unseen)])


def elements(unseen: Sequence[Sequence[Any]]) -> list[str]:
    """The element operations that a counter does not see, in words; empty if it misses fewer than half a million."""
    kinds = sorted(((kind, number, other) for kind, number, macs, other in unseen if not macs), key=lambda k: -k[2])
    total = sum(other for _, _, other in kinds)
    if total < 500_000:
        return []
    named = ", ".join(kind for kind, _, _ in kinds[:3])
    more = " and others" if len(kinds) > 3 else ""
    calls = sum(number for _, number, _ in kinds)
    return [
        f"{total / 1e9:.3f} G element operations not seen, in {calls} call{'s' * (calls != 1)} of {named}{more}, "
        "which are no multiply-adds"
    ]


def _rows(entry: Check) -> list[list[str]]:
    rows = [["segattn", "MACs", f"{entry.macs / 1e9:.3f}", ""]]
    for reading in entry.readings:
        if reading.figure is None:
            rows.append([reading.counter, other_counters.UNITS[reading.counter], "", reading.problem or ""])
        else:
            plain = _plain(reading)
            why = explain(reading.unit, plain["differences"], plain["unseen"])
            rows.append([reading.counter, other_counters.UNITS[reading.counter], f"{reading.figure / 1e9:.3f}", why])
    return rows


def _tables(checks: Sequence[Check]) -> None:
    console = terminal.console()
    for entry in checks:
        console.print(f"{entry.head} {entry.part}".strip(), style="italic", highlight=False)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for heading in _HEADINGS:
            table.add_column(heading, justify="right" if heading == "G" else "left", overflow="fold")
        for row in _rows(entry):
            table.add_row(*row)
        console.print(table)
        console.print()


def _markdown(entry: Check) -> str:
    title = f"{entry.head} {entry.part}".strip()
    return f"**{title}**\n\n{markdown_table(_HEADINGS, _rows(entry), align='llrl')}"
