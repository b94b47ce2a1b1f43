"""`segattn heads`: the catalogue."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.table import Table

from segattn import heads
from segattn.cli import terminal
from segattn.cli.arguments import parse


@dataclass(frozen=True)
class HeadsArguments:
    """List the heads, or print the equations, cost, sources and options of one.

        segattn heads
        segattn heads ccnet

    `segattn heads check HEAD ...` checks how heads behave, also your own, and says what failed and why.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[HEAD]")] = None
    """Head to explain: a name, or a dotted module path."""


@dataclass(frozen=True)
class CheckArguments:
    """Check that heads behave as every part of segattn expects.

        segattn heads check ccnet
        segattn heads check mylab.tenth

    Prints a table of what passed and failed, with the reasons. The exit code is 1 if a check failed.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="HEAD ...")]
    """Heads to check: names, or dotted module paths such as mylab.tenth."""


def run(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["check"]:
        names = parse(CheckArguments, arguments[1:], command="heads check").names
        if not names:
            raise ValueError("segattn heads check needs the name of a head, such as ccnet or mylab.tenth")
        from segattn.cli.heads.check import show

        return show(names)
    name = parse(HeadsArguments, arguments, command="heads").name
    if name is None:
        _list()
    else:
        _explain(name)
    return 0


def _list() -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("head", no_wrap=True)
    table.add_column("paper", ratio=3)
    table.add_column("venue", ratio=2)
    for name in heads.names():
        title, venue = paper(inspect.getdoc(heads.module(name)) or "")
        table.add_row(name, title, venue)
    console = terminal.console()
    console.print(table)
    console.print(
        "\nsegattn heads HEAD explains one. Wherever a name works, so does the dotted path of a module of your own."
    )


def paper(docstring: str) -> tuple[str, str]:
    """Title and venue from the first lines of a head's docstring."""
    first = " ".join(docstring.partition("\n\n")[0].split())
    match = re.search(r"\*(.+?)\*,\s*(.+)", first)
    return (match[1], match[2].rstrip(".")) if match else (first, "")


def _explain(name: str) -> None:
    module = heads.module(name)
    text = module.__doc__ or module.Head.__doc__ or getattr(heads.declared(module.Head, "Mechanism"), "__doc__", None)
    print(
        inspect.cleandoc(text)
        if text
        else f"{module.__file__} has no docstring: begin it with authors, *title* and the equation"
    )
    print(f"\nFamily: {heads.declared(module.Head, 'family')}. Modes: {', '.join(heads.modes(name))}.")
    print("Options of the head:")
    for option in heads.options(name).values():
        kind = "" if option.annotation is option.empty else f"    ({option.annotation})"
        print(f"  {option.name} = {option.default!r}{kind}")
