"""`segattn backbones`: what can stand after --backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from segattn.backbones import listing
from segattn.cli import terminal
from segattn.cli.arguments import parse

MOST_ROWS = 40


@dataclass(frozen=True)
class BackbonesArguments:
    """List backbones: the built-in ResNets and the smallest network of each family of timm, or all that match a pattern.

        segattn backbones
        segattn backbones dinov2
        segattn backbones 'swin*window7*'

    Networks of timm need the extra: pip install 'segattn[timm]'. Nothing is downloaded.
    """

    pattern: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PATTERN]")] = None
    """Part of a name, or a pattern with * and ?."""


def run(arguments: Sequence[str]) -> None:
    pattern = parse(BackbonesArguments, arguments, command="backbones").pattern
    console = terminal.console(highlight=False)
    if pattern is None:
        _show(console, listing.examples(), {})
    else:
        names, refused = listing.usable(listing.matching(pattern))
        _show(console, {"": names[:MOST_ROWS]}, refused)
        if len(names) > MOST_ROWS:
            console.print(f"\nand {len(names) - MOST_ROWS:,} more; a longer pattern lists them")


def _show(console: Console, groups: Mapping[str, Sequence[str]], refused: Mapping[str, Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("name", overflow="fold")
    table.add_column("strides", no_wrap=True)
    table.add_column("widths", no_wrap=True)
    table.add_column("M", justify="right", no_wrap=True)
    faults: dict[str, str] = {}
    with terminal.status(console) as say:
        for title, names in groups.items():
            say(f"building {title or 'networks'} without memory ...")
            entries, more = listing.described(names)
            faults |= more
            if title and names:
                table.add_row(f"{title}:")
            for entry in entries:
                numbers = (" ".join(map(str, values)) for values in (entry.strides, entry.channels))
                table.add_row(entry.name, *numbers, f"{entry.parameters / 1e6:.1f}")
    if table.row_count:
        console.print(table)
        console.print(
            "\nstrides, widths: pixels and channels of the four maps. M: millions of parameters.\n"
            "Strides 4 8 8 8: at output stride 8; 16 and 32 are possible too, and 4 for those that are built in.\n"
            "Strides 4 8 16 32: add --model.output-stride 32 (in flops, plan and bench --output-stride 32)."
        )
    if groups.keys() == {"built in"}:
        console.print("timm is not installed. With it there are families of transformers: pip install 'segattn[timm]'")
    elif "" not in groups:
        console.print("segattn backbones PATTERN lists more networks of timm, such as: segattn backbones dinov2")
    for reason, names in refused.items():
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
        console.print(f"\nNo backbones: {listed} ({reason})")
    for name, fault in faults.items():
        console.print(f"\nNot possible here: {name} ({fault})")
