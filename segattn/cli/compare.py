"""`segattn compare`: networks on the same images, and whether their differences are significant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse

if TYPE_CHECKING:
    from segattn.report import Study


@dataclass(frozen=True)
class CompareArguments:
    """Compare networks scored on the same images, and write compare.html, .md, .csv and .tex.

        segattn compare runs/quick:danet runs/quick:ccnet
        segattn compare runs/quick --heads fcn ccnet danet
        segattn compare runs/a/danet-faithful-s0 runs/b/danet-faithful-s0

    Of three or more networks, each is compared with the first, with Holm-corrected p values. Networks are paired by image, and by
    seed where both have the same seeds, at least two; the output says which.
    """

    networks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A [B ...]")]
    """Networks: folders of runs, or STUDY:HEAD; or one study, with --heads."""
    heads: tuple[str, ...] = ()
    """Heads of the study, the first one is what the others are compared with; or one head for each of several studies."""
    out: Path | None = None
    """Folder to write to; by default compare-A-B in A's study, compare-A-3-others for more than two."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(CompareArguments, arguments, command="compare")
    networks = _selected(list(chosen.networks), list(chosen.heads))
    from segattn import report

    if len(networks) == 2:
        pair = report.compare(*networks)
        comparison: report.Comparison | report.Several = pair
        shown: object = report.TerminalComparison(pair)
        labels = [pair.a.label, pair.b.label]
    else:
        comparison = report.compare_several(networks)
        shown = report.TerminalSeveral(comparison)
        labels = [comparison.first.label, str(len(comparison.others)), "others"]
    name = "-".join(["compare", *(re.sub(r"\W+", "-", label).strip("-") for label in labels)])
    written = report.build_comparison(comparison, chosen.out or networks[0].runs[0].folder.parent / name)
    console = terminal.console()
    console.print(shown)
    console.print()
    for path in written.values():
        console.print(str(path), highlight=False, soft_wrap=True)
    steps = (report.next_steps(network, width=console.width - 2) for network in networks)
    next_step.show_lines(console, next(filter(None, steps), []))


def _selected(names: list[str], heads: list[str]) -> list[Study]:
    """The networks that the words on the command line stand for, at least two."""
    if len(names) == 1 and ":" not in names[0] and len(heads) < 2:
        raise ValueError(f"compare needs two networks or more: segattn compare {names[0]} --heads HEAD HEAD")
    if len(names) == 1:
        names *= len(heads)
    if len(names) < 2:
        raise ValueError(
            "compare needs two networks or more, such as runs/quick:danet runs/quick:ccnet, or runs/quick --heads danet ccnet"
        )
    if len(heads) not in (0, len(names)):
        raise ValueError(
            f"{len(names)} studies, but {len(heads)} heads: name one study, a head for each study, or STUDY:HEAD without --heads"
        )
    from segattn import report

    wanted: list[str] | list[None] = heads or [None] * len(names)
    return [report.select(name, head) for name, head in zip(names, wanted, strict=True)]
