"""`segattn compare`: two networks on the same images, and whether their difference is significant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from segattn.cli import terminal
from segattn.cli.arguments import parse


@dataclass(frozen=True)
class CompareArguments:
    """Compare two networks scored on the same images, and write compare.html, .md, .csv and .tex.

        segattn compare runs/quick:danet runs/quick:ccnet
        segattn compare runs/quick --heads danet ccnet
        segattn compare runs/a/danet-faithful-s0 runs/b/danet-faithful-s0

    The networks are paired by image, and by seed where both have the same seeds, at least two; the output says which.
    """

    networks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A [B]")]
    """Two networks: folders of runs, or STUDY:HEAD; or one study, with --heads."""
    heads: tuple[str, ...] = ()
    """Two heads, where A and B are studies or A is the study of both."""
    out: Path | None = None
    """Folder to write to; by default compare-A-B in A's study."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(CompareArguments, arguments, command="compare")
    names, heads = list(chosen.networks), list(chosen.heads)
    if len(names) == 1:
        names *= 2
        if len(heads) != 2 and ":" not in names[0]:
            raise ValueError(f"compare needs two networks: segattn compare {names[0]} --heads HEAD HEAD")
    if len(names) != 2 or len(heads) not in (0, 2):
        raise ValueError(
            "compare needs two networks, such as runs/quick:danet runs/quick:ccnet, or runs/quick --heads danet ccnet"
        )
    from segattn import report

    a, b = (report.select(name, head) for name, head in zip(names, heads or (None, None), strict=True))
    comparison = report.compare(a, b)
    folder = a.runs[0].folder
    labels = "-".join(re.sub(r"\W+", "-", label).strip("-") for label in (comparison.a.label, comparison.b.label))
    written = report.build_comparison(comparison, chosen.out or folder.parent / f"compare-{labels}")
    console = terminal.console()
    console.print(report.TerminalComparison(comparison))
    console.print()
    for path in written.values():
        console.print(str(path), highlight=False, soft_wrap=True)
