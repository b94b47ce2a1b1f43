"""`segattn data check`: every fault of a data set, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.data.steps import progress
from segattn.data.tools import check
from segattn.records.pictures import most_pixels


@dataclass(frozen=True)
class CheckArguments:
    """Read every image and mask and list all faults. Exit code 0: no faults; 1: faults.

    segattn data check camvid --data-root data/camvid
    segattn data check folder --data-root data/mine
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name of a data set, or dotted path of a module of your own."""
    data_root: Path | None = None
    """Folder of the data set."""
    splits: tuple[str, ...] = ("train", "val", "test")
    """Splits to read."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""


def run(arguments: Sequence[str]) -> int:
    """Run `segattn data check` with these words."""
    chosen = parse(CheckArguments, arguments, command="data check")
    console = terminal.console()
    with most_pixels(chosen.max_pixels), progress(console) as on_step:
        report = check.check(
            chosen.name, root=chosen.data_root, splits=chosen.splits, options=chosen.data_options, on_progress=on_step
        )
    _print_report(console, report)
    if report.good:
        next_step.train_on(console, chosen.name, chosen.data_root, chosen.data_options)
    return 0 if report.good else 1


def _print_report(console: Console, report: check.Report) -> None:
    if report.notice:
        console.print(report.notice, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("split", "images", "height x width", "masks", "ignored"):
        table.add_column(column, justify="right" if column in ("images", "ignored") else "left")
    for split in report.splits:
        ignored = split.class_pixels[255] / max(1, split.class_pixels.sum())
        modes = ", ".join(f"{count} {mode}" for mode, count in split.modes.most_common()) or "none"
        table.add_row(
            split.split, str(split.num_images), _sizes(split), modes, f"{ignored:.1%}" if split.labelled else ""
        )
    console.print(table)
    _print_classes(console, report)
    for finding in (*report.remarks.values(), *report.faults.values()):
        style = "bold red" if finding.kind in report.faults else "yellow"
        mark = "FAULT" if finding.kind in report.faults else "note"
        console.print(Text.assemble((mark, style), f" {finding.kind}: {finding.count}"))
        for example in finding.examples:
            console.print(f"   {example}", highlight=False, markup=False, soft_wrap=True)
        if finding.count > len(finding.examples):
            console.print(f"   and {finding.count - len(finding.examples)} more", highlight=False)
    total = sum(split.num_images for split in report.splits)
    if report.good:
        good = Text.assemble(
            (f"{report.name} is good", "bold green"), f": {total} image{'s' * (total != 1)} read, nothing wrong"
        )
        console.print(good)
    else:
        count = sum(finding.count for finding in report.faults.values())
        faults = f"{report.name} has {count} fault{'s' if count != 1 else ''}"
        console.print(Text.assemble((faults, "bold red"), f" in {total} image{'s' if total != 1 else ''}"))


def _sizes(split: check.SplitReport) -> str:
    if not split.sizes:
        return ""
    if len(split.sizes) == 1:
        height, width = next(iter(split.sizes))
        return f"{height} x {width}"
    heights, widths = zip(*split.sizes, strict=True)
    return f"{min(heights)}-{max(heights)} x {min(widths)}-{max(widths)}, {len(split.sizes)} sizes"


def _print_classes(console: Console, report: check.Report) -> None:
    labelled = [split for split in report.splits if split.labelled]
    if not labelled:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", title="share of the pixels that count (images)")
    table.add_column("class")
    for split in labelled:
        table.add_column(split.split, justify="right")
    for index, name in enumerate(report.class_names):
        if not any(split.class_images[index] for split in labelled):
            continue  # noted below
        cells = []
        for split in labelled:
            share = split.class_pixels[index] / max(1, split.class_pixels[:255].sum())
            cells.append(f"{share:.2%} ({split.class_images[index]})" if split.class_images[index] else "-")
        table.add_row(f"{index:3} {name}", *cells)
    console.print(table)
