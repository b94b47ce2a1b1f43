"""How words of the command line become values: sizes, names and values, numbers, choices, several of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
import yaml
from tyro.constructors import PrimitiveConstructorSpec

from segattn.catalogue import hint, usable

Device = Literal["auto", "cpu", "cuda"]
"""auto: the GPU if there is one."""

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio", "clearml", "aim", "comet_ml", "swanlab", "none"]
"""none: no tracker at all, also not TensorBoard. The names are those of `segattn.training.trackers`, which needs torch."""

Size = tuple[int, int]
"""Height and width in pixels, one word: HEIGHTxWIDTH."""

Modules = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="MODULE")]
"""Dotted paths of modules, each after an option of its own."""

_METAVARS = {
    int: "INT",
    float: "FLOAT",
    str: "NAME",
    Path: "PATH",
    Size: "HEIGHTxWIDTH",
    dict[str, Any]: "NAME=VALUE,...",
}


def constructor(kind: Any) -> PrimitiveConstructorSpec[Any]:
    """What tyro needs for an option of the type `kind`: how many words, what --help shows, and both directions.

    A type with None takes the word `None`.
    """
    several = get_origin(without_none(kind)) is tuple and without_none(kind) != Size
    return PrimitiveConstructorSpec(
        nargs=("*" if ... in get_args(without_none(kind)) else len(get_args(without_none(kind)))) if several else 1,
        metavar=metavar(kind),
        instance_from_str=lambda words: value(kind, words),
        is_instance=lambda instance: True,
        str_from_instance=lambda instance: text(kind, instance),
    )


def without_none(kind: Any) -> Any:
    """The type without `| None`."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    (plain,) = (each for each in get_args(kind) if each is not type(None))
    return plain


def metavar(kind: Any) -> str:
    """What stands for the value of an option in --help.

    >>> metavar(tuple[int, int]), metavar(tuple[float, ...]), metavar(int | None)
    ('HEIGHTxWIDTH', 'FLOAT ...', 'INT')
    """
    kind = without_none(kind)
    if kind in _METAVARS:
        return _METAVARS[kind]
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, parts)) + "}"
    return " ".join("..." if part is ... else metavar(part) for part in parts)


def value(kind: Any, words: list[str]) -> Any:
    """The value of the words that follow an option.

    >>> value(tuple[float, ...] | None, ["0.5", "1"]), value(int | None, ["None"]), value(tuple[int, int], ["769"])
    ((0.5, 1.0), None, (769, 769))

    Raises:
        ValueError: another form; what is allowed.
    """
    if kind != without_none(kind) and words == ["None"]:
        return None
    kind = without_none(kind)
    if get_origin(kind) is Literal:
        return _choice(words[0], get_args(kind))
    if get_origin(kind) is tuple and kind != Size:
        kinds = get_args(kind)
        return tuple(value(kinds[0] if ... in kinds else kinds[number], [word]) for number, word in enumerate(words))
    return _READERS[kind](words[0])


def text(kind: Any, instance: Any) -> list[str]:
    """The words for a value."""
    kind = without_none(kind)
    if instance is None:
        return ["None"]
    if kind == Size:
        return ["x".join(map(str, instance))]
    if kind == dict[str, Any]:
        return [json.dumps(instance)]
    if get_origin(kind) is tuple:
        return [word for each in instance for word in text(get_args(kind)[0], each)]
    return [str(instance)]


def _choice(word: str, choices: tuple[str, ...]) -> str:
    if word not in choices:
        raise ValueError(f"unknown value {word!r}; {hint(word, choices, most=1)}Choices: {', '.join(choices)}")
    return word


def _number(kind: type, name: str) -> Callable[[str], Any]:
    def read(word: str) -> Any:
        try:
            number = kind(word)
        except ValueError:
            raise ValueError(f"{word!r} should be {name}") from None
        if not abs(number) < (2**63 if kind is int else math.inf):  # nan is not below either
            raise ValueError(f"{word[:40]!r} should be {name}, {'below 2**63' if kind is int else 'and finite'}")
        return number

    return read


def size(text: str) -> Size:
    """`769x769` or `769` as (height, width).

    Raises:
        ValueError: not of that form, or below 1.
    """
    match = re.fullmatch(r"(\d{1,9})(?:[x×,](\d{1,9}))?", text.strip())
    if match is None or int(match[1]) < 1 or (match[2] is not None and int(match[2]) < 1):
        raise ValueError(f"size {text!r} should be HEIGHTxWIDTH in pixels, such as 769x769")
    height = int(match[1])
    return height, int(match[2]) if match[2] else height


def name_values(text: str) -> dict[str, Any]:
    """`name=value,...` or `{name: value, ...}` as YAML.

    A value is what YAML reads where that is a number, a truth value, null, or a list or mapping in brackets; any other is text
    as it stands, so that patterns and file names need no quotes of their own. Commas in brackets or quotes do not end it.

    >>> name_values("channels=16,stem=plain")
    {'channels': 16, 'stem': 'plain'}
    >>> name_values("images=rgb/{split}/**/*.{jpg,png},values={7: road, 8: sidewalk}")
    {'images': 'rgb/{split}/**/*.{jpg,png}', 'values': {7: 'road', 8: 'sidewalk'}}

    Raises:
        ValueError: neither form, or a number that is not finite.
    """
    if text.strip().startswith("{"):
        options = _yaml(text)
    else:
        pairs = [part.partition("=") for part in _parts(text) if part.strip()]
        named = [(name.strip(), written.strip()) for name, equals, written in pairs if equals]
        complete = len(named) == len(pairs) and all(name and written for name, written in named)
        options = {name: _value(written) for name, written in named} if complete else None
        twice = sorted({name for name, _ in named if sum(name == other for other, _ in named) > 1})
        if twice:
            raise ValueError(f"{text!r} gives {twice[0]} twice")
    if not isinstance(options, dict):
        raise ValueError(f"{text!r} is not of the form name=value,name=value")
    settings: dict[str, Any] = usable(options)
    return settings


def _parts(text: str) -> list[str]:
    """The text between commas that are in no brackets and no quotes."""
    parts, inside, quote = [""], 0, ""
    for sign in text:
        if sign == "," and not inside and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'" and parts[-1].rstrip().endswith(("=", "[", "{", ",", ":")):  # not an apostrophe
            quote = sign
        else:
            inside = max(0, inside + (sign in "[{(") - (sign in "]})"))
        parts[-1] += sign
    return parts


def _value(written: str) -> Any:
    """The value of a word: YAML's where it is quoted, in brackets or no text, otherwise the word."""
    if written.startswith(("[", "{")):
        value = _yaml(written)
        if isinstance(value, dict) and "=" in written and None in value.values():
            value = _yaml(written.replace("=", ": "))  # {a=1} as an alternative to {a: 1}
        return written if value is None or (isinstance(value, dict) and None in value.values()) else value
    value = _yaml(written)
    quoted = written[0] in "\"'" and written[-1] == written[0]
    return (
        value if isinstance(value, bool | int | float) or (value is None and written in _NULLS) or quoted else written
    )


_NULLS = ("null", "Null", "NULL", "~")


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


_READERS: dict[Any, Callable[[str], Any]] = {
    int: _number(int, "a whole number"),
    float: _number(float, "a number"),
    str: str,
    Path: Path,
    Size: size,
    dict[str, Any]: name_values,
}


def options_text(options: Mapping[str, Any]) -> str:
    """Options of a data set as one word of the command line.

    >>> options_text({"images": "rgb/*.{jpg,png}", "splits": {"val": "valid"}})
    'images=rgb/*.{jpg,png},splits={val: valid}'
    """
    written = {name: _plain(value) for name, value in options.items()}
    text = ",".join(f"{name}={value}" for name, value in written.items())
    try:
        same = name_values(text) == dict(options)
    except ValueError:
        same = False
    return text if same else json.dumps(dict(options), ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {each}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(str, value)) + "]"
    return str(value)
