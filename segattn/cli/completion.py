"""`segattn completion`: the TAB key in bash, zsh and fish."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import shtab
import tyro

from segattn import backbones, data, experiments, heads
from segattn.cli.arguments import collecting, parse
from segattn.cli.commands import COMMANDS, EXPERIMENT_FIRST, SUBCOMMANDS
from segattn.cli.options import Details, descriptions, fields_of, options_of
from segattn.cli.values import without_none
from segattn.records.files import write_bytes

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class CompletionArguments:
    """Let the TAB key complete commands, options and their values. The script is written where the shell looks for it.

        segattn completion bash
        segattn completion zsh --print

    Install it again after an update. Completing itself runs no Python.
    """

    shell: Annotated[Shell, tyro.conf.Positional]
    """The shell to complete in."""
    print: bool = False
    """Print the script instead of installing it."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(CompletionArguments, arguments, command="completion")
    script = shtab.complete(_parser(), shell=chosen.shell)
    if chosen.print:
        print(script)
        return
    path = _place(chosen.shell, os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(f"{script}\n".encode(), path)
    print(f"Written to {path}.\n{_NEXT[chosen.shell].format(path=path, folder=path.parent)}")


_NEXT = {
    "bash": "It works in new shells where the package bash-completion is installed; elsewhere add to ~/.bashrc:\n"
    "  source {path}",
    "zsh": "If it does not work in new shells, add to ~/.zshrc:\n  fpath+=({folder}); autoload -Uz compinit; compinit",
    "fish": "It works in new shells.",
}


def _place(shell: Shell, environment: Mapping[str, str]) -> Path:
    """The file in which the shell looks for completions of `segattn`."""
    home = Path.home()
    if shell == "bash":
        share = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
        folder = Path(environment.get("BASH_COMPLETION_USER_DIR") or share / "bash-completion")
        return folder / "completions" / "segattn"
    if shell == "zsh":
        return Path(environment.get("ZDOTDIR") or home) / ".zfunc" / "_segattn"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "fish/completions/segattn.fish"


def _parser() -> argparse.ArgumentParser:
    """Every command and its options, for shtab; it parses nothing."""
    parser = argparse.ArgumentParser(prog="segattn")
    commands = parser.add_subparsers()
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        following = SUBCOMMANDS.get(name, ())
        if name in ("data", "convert"):  # nothing else may follow
            inner = command.add_subparsers()
            for word in following:
                _fill(inner.add_parser(word, help=_summary(f"{name} {word}")), f"{name} {word}", {})
        else:
            _fill(command, name, dict.fromkeys(following))
    return parser


def _fill(parser: argparse.ArgumentParser, command: str, words: Mapping[str, None]) -> None:
    """Add what the command takes; `words` may stand first as well, with options of their own."""
    kind, details = _taken_by(command)
    if command in EXPERIMENT_FIRST:
        parser.add_argument("experiment", nargs="?", choices=[*experiments.names(), *words])
    elif command == "heads":
        parser.add_argument("name", nargs="?", choices=[*heads.names(), *words])
    else:
        for field, plain, notes in fields_of(kind, details):
            if tyro.conf.Positional in notes:
                _positional(parser, field.name, plain)
    added: set[str] = set()
    for each in (command, *(f"{command} {word}" for word in words)):
        _options(parser, *_taken_by(each), added)


def _options(parser: argparse.ArgumentParser, kind: type, details: Details, added: set[str]) -> None:
    """Add the options that are not `added` yet."""
    known = {"--heads": heads.names(), "--head": heads.names(), "--model.head": heads.names()}
    known |= dict.fromkeys(("--backbone", "--model.backbone"), backbones.names())
    known |= {"--data.name": data.names()}
    for names, owner, field, plain, _ in options_of(kind, details):
        if not added.isdisjoint(names):
            continue
        added.update(names)
        text = descriptions(owner).get(field.name, "").partition(". ")[0]
        if plain is bool:
            no = f"{names[0].removesuffix(field.name.replace('_', '-'))}no-{field.name.replace('_', '-')}"
            parser.add_argument(*names, no, dest=names[0], help=_escaped(text), action="store_true")
            continue
        several = get_origin(without_none(plain)) is tuple
        choices = next((known[name] for name in names if name in known), _choices(plain))
        option = parser.add_argument(
            *names, dest=names[0], help=_escaped(text), choices=choices, nargs="*" if several else None
        )
        if Path in (without_none(plain), *get_args(without_none(plain))):
            option.complete = shtab.FILE  # type: ignore[attr-defined]


def _escaped(text: str) -> str:
    """A help text of an option as shtab expects it, which takes a percent sign for the start of a format."""
    return text.replace("%", "%%")


def _positional(parser: argparse.ArgumentParser, name: str, plain: Any) -> None:
    several = get_origin(without_none(plain)) is tuple
    choices = data.names() if name == "name" else _choices(plain)
    argument = parser.add_argument(name, choices=choices, nargs="*" if several else "?")
    if choices is None:
        argument.complete = shtab.FILE  # type: ignore[attr-defined]


def _choices(plain: Any) -> list[str] | None:
    """The values of a type that has few; None for the others."""
    kinds = [without_none(plain), *get_args(without_none(plain))]
    return next(([str(each) for each in get_args(kind)] for kind in kinds if get_origin(kind) is Literal), None)


def _taken_by(command: str) -> tuple[type, Details]:
    """The dataclass of a command's options, and the details of its fields."""
    verb, *words = command.split()
    with collecting() as collected, contextlib.suppress(SystemExit):
        importlib.import_module(f"segattn.cli.{verb}").run(
            [*words, *(["quick"] if command in EXPERIMENT_FIRST else [])]
        )
    (taken,) = collected
    return taken


def _summary(command: str) -> str:
    """The first sentence on a command."""
    kind, _ = _taken_by(command)
    documented = next(base for base in kind.__mro__ if dataclasses.is_dataclass(base) and base.__module__ != "types")
    return " ".join((documented.__doc__ or "").split()).partition(". ")[0]
