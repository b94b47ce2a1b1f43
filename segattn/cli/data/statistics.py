"""`segattn data statistics`: mean and standard deviation of each band, for `--model.mean` and `--model.std`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.progress import track
from rich.table import Table

from segattn.cli import terminal
from segattn.cli.arguments import parse


@dataclass(frozen=True)
class StatisticsArguments:
    """Compute mean and standard deviation of each band over all training images, and print the options to paste.

        segattn data statistics camvid --data-root data/camvid
        segattn data statistics folder --data-root data/mine

    Black is 0, white 1. For images of more than 8 bits the data option value_range says which values these are.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Name of a data set, or dotted path of a module of your own."""
    data_root: Path | None = None
    """Folder of the data set."""
    split: str = "train"
    """Split to read."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as bands=[4,3,2] of folder."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(StatisticsArguments, arguments, command="data statistics")
    from segattn import data
    from segattn.data.tools.statistics import band_statistics
    from segattn.records.pictures import most_pixels

    console = terminal.console()
    with most_pixels(chosen.max_pixels):
        dataset = data.load(chosen.name, chosen.split, root=chosen.data_root, **chosen.data_options)
        steps = iter(
            track(range(len(dataset)), "reading", console=console, transient=True, disable=not console.is_terminal)
        )
        result = band_statistics(dataset, lambda done, total: next(steps, None))
        list(steps)
    images = f"{result.num_images} image{'s' * (result.num_images != 1)}"
    console.print(f"{images} of {chosen.name} {chosen.split}, {result.num_pixels:,} pixels", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("band", "mean", "std", "lowest", "highest", "black or white"):
        table.add_column(heading, justify="right")
    rows = zip(result.mean, result.std, result.lowest, result.highest, result.clipped, strict=True)
    for number, (mean, std, lowest, highest, clipped) in enumerate(rows, start=1):
        table.add_row(str(number), f"{mean:.4f}", f"{std:.4f}", f"{lowest:.3f}", f"{highest:.3f}", f"{clipped:.1%}")
    console.print(table)
    console.print(f"\nOptions for training:\n{result.options}", highlight=False, markup=False, soft_wrap=True)
    return 0
