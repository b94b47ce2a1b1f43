"""`segattn zoo`: the trained networks that ship with segattn."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from segattn import zoo
from segattn.cli import terminal
from segattn.cli.arguments import parse
from segattn.zoo import card


@dataclass(frozen=True)
class ZooArguments:
    """List the trained networks that ship with segattn, or print the model card of one.

        segattn zoo
        segattn zoo streets/ccnet

    A network's name works wherever the folder of a run does: in predict, evaluate, maps, demo and segattn.load_model. A folder
    of the same name comes first.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NETWORK]")] = None
    """Network to describe, such as streets/ccnet; or a trunk, for all its networks."""


def run(arguments: Sequence[str]) -> None:
    name = parse(ZooArguments, arguments, command="zoo").name
    console = terminal.console(highlight=False)
    if name is not None:
        cards = (card.text(entry, width=min(console.width, 100)) for entry in zoo.networks(name))
        print("\n\n\n".join(cards))
    elif zoo.trunks():
        _list(console)
    else:
        console.print(
            "This installation of segattn has no trained networks. Train some in minutes: segattn study quick"
        )


def _list(console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("name", "head", "mode"):
        table.add_column(heading, no_wrap=True)
    for heading in ("mIoU %", "MB", "seed", "M"):
        table.add_column(heading, justify="right", no_wrap=True)
    below = []
    for trunk in zoo.trunks():
        entries = zoo.networks(trunk)
        for entry in entries:
            table.add_row(
                entry.name,
                entry.head,
                entry.mode,
                card.percent(entry.mean_iou),
                card.megabytes(entry.own_bytes),
                str(entry.seed),
                card.millions(entry.parameters),
                end_section=entry is entries[-1],
            )
        below += ["", *_about(entries, min(console.width, 100))]
    console.print(table)
    print("\nMB: size beside the trunk, which is stored once.\nM: parameters of backbone and head in millions.")
    print("\n".join(below))


def _for_any_head(entry: zoo.Entry) -> str:
    """Its command with HEAD for the name of its head; it may be several commands, one after the other."""
    commands = [shlex.split(command) for command in entry.command.split("; ")]
    return "; ".join(shlex.join("HEAD" if word == entry.head else word for word in words) for words in commands)


def _trained(entries: Sequence[zoo.Entry], command: str) -> str:
    """The names of networks, and the command that trained them, with the head's own name if it is one network."""
    names = ", ".join(entry.name.partition("/")[2] for entry in entries)
    return f"  {names}: {command if len(entries) > 1 else entries[0].command}"


def _about(entries: Sequence[zoo.Entry], width: int) -> list[str]:
    """The trunk in a line, and the commands that trained it and its heads; one command for all that differ in the head only."""
    first = entries[0]
    commands: dict[str, list[zoo.Entry]] = {}
    for entry in entries:
        commands.setdefault(_for_any_head(entry), []).append(entry)
    parts = [
        f"{first.trunk}: receptive field {first.receptive_field} px, "
        f"{card.millions(first.backbone_parameters)} M parameters, {card.megabytes(first.trunk_file.size_bytes)} MB",
        f"  trunk: {first.trunk_command}",
        *(_trained(alike, shown) if len(commands) > 1 else f"  heads: {shown}" for shown, alike in commands.items()),
    ]
    return [
        line
        for part in parts
        for line in textwrap.wrap(part, width, subsequent_indent="    ", break_on_hyphens=False, drop_whitespace=True)
    ]
