"""How a command's dataclass becomes options: their names, help and defaults.

The dataclasses stay plain. The rule here reads the text below each field and adds what `details` say of it; `segattn.cli.values`
says how words become values.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from functools import cache, partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from segattn.cli import values

Details = Mapping[tuple[type, str], Any]
"""What tyro needs to know of fields whose dataclasses do not name it, by class and field: `tyro.conf.arg(...)`, or
`tyro.conf.Suppress` where a field is no option."""


def registry(details: Details, *, brief: bool = False) -> ConstructorRegistry:
    """The rule for tyro: dataclasses with the `details` of their fields; with `brief`, the first sentence of each text."""
    rules = ConstructorRegistry()
    rules.struct_rule(partial(_dataclass, details=details, brief=brief))
    return rules


def _dataclass(info: StructTypeInfo, details: Details, brief: bool) -> StructConstructorSpec | None:
    if not dataclasses.is_dataclass(info.type):
        return None
    annotated: Any = Annotated  # for type checkers, Annotated takes a written type only
    fields = []
    for field, plain, notes in fields_of(info.type, details):
        if tyro.conf.UseAppendAction in notes:
            notes = [tyro.conf.arg(help_behavior_hint="(repeatable)"), *notes]
        elif plain is bool:
            notes = [tyro.conf.arg(help_behavior_hint=_switch_hint), *notes]
        elif not dataclasses.is_dataclass(plain):
            # The text of an option says what leaving it out means; None is a value of experiments alone.
            unsaid = () if info.type.__module__ == "segattn.config" and not brief else ("None",)
            notes = [values.constructor(plain), tyro.conf.arg(help_behavior_hint=partial(_hint, unsaid=unsaid)), *notes]
        fields.append(
            StructFieldSpec(
                name=field.name,
                type=annotated[plain, *notes] if notes else plain,
                default=_default(field, info.default),
                helptext=partial(_description, info.type, field.name, brief=brief),
            )
        )
    return StructConstructorSpec(instantiate=info.type, fields=tuple(fields))


def fields_of(owner: type, details: Details) -> Iterator[tuple[dataclasses.Field[Any], Any, list[Any]]]:
    """Each field, its type without annotations, and the annotations that tyro reads."""
    types = get_type_hints(owner, include_extras=True)
    for field in dataclasses.fields(owner):
        written = types[field.name]
        plain, *notes = get_args(written) if get_origin(written) is Annotated else [written]
        if field.name == "out":
            notes.append(tyro.conf.arg(aliases=("-o",)))
        if (owner, field.name) in details:
            notes.append(details[owner, field.name])
        yield field, plain, notes


def _hint(default: str, *, unsaid: tuple[str, ...]) -> str:
    """The default after an option's text; none where nothing is chosen by default."""
    return "" if default in ("", "'{}'", *unsaid) else f"(default: {default})"


def _switch_hint(default: str) -> str:
    """What a switch is without being named; nothing where it is off, as one expects."""
    return "(default: on)" if default == "True" else ""


def _default(field: dataclasses.Field[Any], instance: Any) -> Any:
    """The default of a field: that of the instance whose fields are the defaults, else the dataclass's own."""
    if hasattr(instance, field.name):
        return getattr(instance, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING_NONPROP


def _description(owner: type, name: str, *, brief: bool) -> str | None:
    text = descriptions(owner).get(name)
    return re.split(r"(?<=[^.]\.) (?=[A-Z`])", text)[0] if text and brief else text


@cache
def descriptions(owner: type) -> dict[str, str]:
    """The text below each field of a dataclass, on one line."""
    texts: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):  # a built-in class, or one made at run time
            continue
        definition = ast.parse(textwrap.dedent(source)).body[0]
        assert isinstance(definition, ast.ClassDef)
        for field, below in itertools.pairwise(definition.body):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            text = below.value if isinstance(below, ast.Expr) else None
            if named and isinstance(text, ast.Constant) and isinstance(text.value, str):
                texts[field.target.id] = " ".join(text.value.split())  # type: ignore[attr-defined]
    return texts


# What a command takes -----------------------------------------------------------------------------------------------------
def arity(owner: type, details: Details) -> dict[str, int | None]:
    """Every option of a command and how many words follow it: None where as many as there are."""
    options: dict[str, int | None] = {"-h": 0, "--help": 0, "--help-all": 0}
    for names, _, field, plain, notes in options_of(owner, details):
        if plain is bool:
            name = field.name.replace("_", "-")
            options |= dict.fromkeys([*names, f"{names[0].removesuffix(name)}no-{name}"], 0)
            continue
        words = 1 if tyro.conf.UseAppendAction in notes else values.constructor(plain).nargs
        options |= dict.fromkeys(names, words if isinstance(words, int) else None)
    return options


def mappings(owner: type, details: Details) -> dict[str, str]:
    """Every name of the options whose value is NAME=VALUE,..., with the first of its names."""
    return {
        name: names[0]
        for names, _, _, plain, _ in options_of(owner, details)
        if values.without_none(plain) == dict[str, Any]
        for name in names
    }


def without(owner: type, details: Details, shown: Collection[str]) -> Details:
    """The details with which --help shows these options only, by one name each, and those that must be given."""
    changed: dict[tuple[type, str], Any] = {}
    for names, place, field, _, notes in options_of(owner, details):
        short = [name for name in names[1:] if name in shown and name.startswith("--")]
        if short:
            metavar = next((note.metavar for note in notes if getattr(note, "metavar", None)), None)
            changed[place, field.name] = tyro.conf.arg(name=short[0][2:], prefix_name=False, metavar=metavar)
        elif names[0] not in shown and not _required(field):
            changed[place, field.name] = tyro.conf.Suppress
    return {**details, **changed}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def options_of(
    owner: type, details: Details, prefix: str = ""
) -> Iterator[tuple[list[str], type, dataclasses.Field[Any], Any, list[Any]]]:
    """Every option: its names, the dataclass and the field that it sets, and the field's type and annotations."""
    for field, plain, notes in fields_of(owner, details):
        name = field.name.replace("_", "-")
        if tyro.conf.Positional in notes or tyro.conf.Suppress in notes:
            continue
        if dataclasses.is_dataclass(plain):
            unnamed = any(getattr(note, "name", None) == "" for note in notes)
            yield from options_of(plain, details, prefix if unnamed else f"{prefix}{name}.")  # type: ignore[arg-type]
            continue
        aliases = itertools.chain(*(getattr(note, "aliases", None) or () for note in notes))
        yield [f"--{prefix}{name}", *aliases], owner, field, plain, notes
