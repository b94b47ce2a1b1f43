"""`segattn heads`: the catalogue."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from segattn import heads
from segattn.catalogue import hint
from segattn.cli import terminal
from segattn.cli.arguments import parse
from segattn.records.head_facts import FAMILIES, by_family


@dataclass(frozen=True)
class HeadsArguments:
    """List the heads by family, or print the equations, cost, sources and options of one.

        segattn heads
        segattn heads --family window
        segattn heads ccnet

    `segattn heads check HEAD ...` checks how heads behave, also your own, and says what failed and why.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[HEAD]")] = None
    """Head to explain: a name, or a dotted module path."""
    family: tuple[str, ...] = ()
    """List only the heads of these families, such as pairwise, basis, window or scan."""


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
    chosen = parse(HeadsArguments, arguments, command="heads")
    if chosen.name is None:
        _list(chosen.family)
    elif chosen.family:
        raise ValueError(f"--family lists heads and {chosen.name} explains one; give one of the two")
    else:
        _explain(chosen.name)
    return 0


def _list(wanted: Sequence[str]) -> None:
    """The heads of the wanted families, or of all, below a line for each family.

    Raises:
        ValueError: no head is of such a family.
    """
    members: dict[str, list[str]] = {}
    for name in heads.names():
        members.setdefault(heads.declared(heads.module(name).Head, "family"), []).append(name)
    for family in wanted:
        if family not in members:
            known = by_family(members)
            raise ValueError(f"no head of family {family!r}; {hint(family, known)}There are: {', '.join(known)}")
    console, width = terminal.console(), max(map(len, heads.names()))
    for family in by_family(wanted or members):
        table = Table(box=None, pad_edge=False, show_header=False, expand=True)
        table.add_column("head", no_wrap=True, width=width)
        table.add_column("paper", ratio=1)
        table.add_column("venue", ratio=1)
        for name in members[family]:
            table.add_row(name, *paper(inspect.getdoc(heads.module(name)) or ""))
        about = Text(f": {FAMILIES[family]}" if family in FAMILIES else "")
        console.print(Text(family, "bold") + about)
        console.print(table)
        console.print()
    console.print(
        "segattn heads HEAD explains one. Wherever a name works, so does the dotted path of a module of your own."
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
