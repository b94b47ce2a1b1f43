"""How a command's dataclass becomes options: their names, what they are called in --help, and the types that tyro lacks.

The dataclasses stay plain. The rules here read the text below each field, add the short names and parse `NAME=VALUE` words.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Mapping
from functools import cache, partial
from typing import Annotated, Any, get_type_hints

import tyro
import yaml
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

Names = Mapping[tuple[type, str], str | None]
"""Short names of fields, by class and field; None hides a field from the command line."""


def registry(names: Names) -> ConstructorRegistry:
    """The rules for tyro: dataclasses with the short names of `names`, and `name=value,...` for dictionaries."""
    rules = ConstructorRegistry()
    rules.struct_rule(partial(_dataclass, names=names))
    rules.primitive_rule(_name_values)
    return rules


def _dataclass(info: StructTypeInfo, names: Names) -> StructConstructorSpec | None:
    if not dataclasses.is_dataclass(info.type):
        return None
    types = get_type_hints(info.type, include_extras=True)
    annotated: Any = Annotated  # for type checkers, Annotated takes a written type only
    fields = []
    for field in dataclasses.fields(info.type):
        fields.append(
            StructFieldSpec(
                name=field.name,
                type=annotated[types[field.name], *_annotations(info.type, field.name, names)],
                default=_default(field, info.default),
                helptext=partial(_description, info.type, field.name),
            )
        )
    return StructConstructorSpec(instantiate=info.type, fields=tuple(fields))


def _annotations(owner: type, name: str, names: Names) -> list[Any]:
    """What tyro needs to know of a field beyond its type."""
    short = names.get((owner, name), "")
    if short is None:
        return [tyro.conf.Suppress]
    return [tyro.conf.arg(aliases=(short,) if short else None)]


def _default(field: dataclasses.Field[Any], instance: Any) -> Any:
    """The default of a field: that of the instance whose fields are the defaults, else the dataclass's own."""
    if hasattr(instance, field.name):
        return getattr(instance, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING_NONPROP


def _description(owner: type, name: str) -> str | None:
    return descriptions(owner).get(name)


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


def _name_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[dict[str, Any]] | None:
    if info.type != dict[str, Any]:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME=VALUE,...",
        instance_from_str=lambda words: name_values(words[0]),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    )


def name_values(text: str) -> dict[str, Any]:
    """`name=value,...` or `{name: value, ...}` as YAML.

    >>> name_values("channels=16,stem=plain")
    {'channels': 16, 'stem': 'plain'}

    Raises:
        ValueError: neither form.
    """
    plain = not text.strip().startswith("{")
    try:
        values = yaml.safe_load("{" + text.replace("=", ": ") + "}" if plain else text)
    except yaml.YAMLError:
        values = None
    valueless = plain and (text.count("=") < len(values or ()) or re.search(r"=\s*(,|$)", text))
    if not isinstance(values, dict) or valueless:
        raise ValueError(f"{text!r} is not of the form name=value,name=value")
    return values
