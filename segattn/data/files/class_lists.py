"""Class lists in files: names, colours, and the mask values that stand for a class.

    classes.txt                    one class name per line, in the order of their indices
    classes.json, .yaml, .yml      a list of names; a list of {name, colour, value}; or a mapping of name to colour [r, g, b];
                                   with ignored values or colours, {classes: [...], ignore: [0, [0, 0, 0]]}

`value` is the number that stands for the class in masks, or a list of numbers. Without it the class's index does.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segattn.data.files.plain import read_plain, read_text

FILES = ("classes.txt", "classes.json", "classes.yaml", "classes.yml")
MOST_VALUE = 65535
"""Largest value of a mask."""
Colour = tuple[int, int, int]
_FIELDS = {"name", "colour", "color", "value"}


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set, and what stands for them in masks."""

    names: list[str]
    palette: list[Colour]
    """One colour per class; that of the list, or one from the colour wheel."""
    colours: dict[Colour, int] = field(default_factory=dict)
    """Class of each colour that the list gives."""
    values: dict[int, int] = field(default_factory=dict)
    """Class of each mask value that the list gives; empty if it gives none."""
    ignored: tuple[int | Colour, ...] = ()
    """Values and colours that belong to no class."""
    path: Path | None = None


def class_list(base: Path | None, given_path: object, *, what: str) -> ClassList:
    """The class list of a data set: a file, what such a file may hold, or one of `FILES` in the folder `base`.

    Args:
        what: the data set, for messages.

    Raises:
        ValueError: no such file, or as `read`.
    """
    if isinstance(given_path, list | tuple | Mapping):
        content = dict(given_path) if isinstance(given_path, Mapping) else list(given_path)
        return _parsed(content, f"classes of data set {what}", None)
    if isinstance(given_path, str | os.PathLike):
        paths = [Path(given_path), *([base / given_path] if base is not None else [])]
        return read(next((path for path in paths if path.is_file()), None) or _absent(Path(given_path)))
    if given_path is not None:
        raise ValueError(
            f"classes of data set {what} should be a file or a list of names, not {given_path!r:.80}; such as [road, sky], or "
            "with colours {road: [128, 64, 128], sky: [70, 130, 180]}"
        )
    for name in FILES if base is not None else ():
        if (base / name).is_file():  # type: ignore[operator]
            return read(base / name)  # type: ignore[operator]
    raise ValueError(
        f"{base or what}: no class list; write {FILES[0]} there, one class name per line"
        if base is not None
        else f"data set {what} names no classes; give the option classes, a file or a list such as [road, sky]"
    )


def _absent(path: Path) -> Path:
    raise ValueError(f"{path}: no such class list")


def read(path: Path) -> ClassList:
    """Read a class list; classes without a colour get one from the colour wheel.

    Raises:
        ValueError: not a list of names, a name twice, a colour that is not three numbers from 0 to 255, or one colour or value
            for two classes.
    """
    if path.suffix == ".txt":
        return _parsed([line for line in read_text(path).splitlines() if line.strip()], str(path), path)
    return _parsed(read_plain(path, path.suffix[1:]), str(path), path)


def _parsed(content: object, where: str, path: Path | None) -> ClassList:
    """The class list that a file's content says; `where` begins messages."""
    entries, ignored = _entries(content, where)
    names = _checked([str(entry["name"]).strip() for entry in entries], where)
    palette, colours, values = [], dict[Colour, int](), dict[int, int]()
    for index, entry in enumerate(entries):
        raw = entry.get("colour", entry.get("color"))
        palette.append(default_colour(index) if raw is None else _colour(where, names[index], raw))
        if raw is not None:
            colours.setdefault(palette[-1], index)
        for value in _values(where, names[index], entry.get("value")):
            if values.setdefault(value, index) != index:
                raise ValueError(f"{where}: value {value} stands for {names[values[value]]} and for {names[index]}")
    shared = {colour for colour in palette if palette.count(colour) > 1}
    colours = {colour: index for colour, index in colours.items() if colour not in shared}  # they tell no class
    if values and len(set(values.values())) < len(names):
        lacking = next(name for index, name in enumerate(names) if index not in values.values())
        raise ValueError(
            f"{where}: class {lacking!r} has no value, and others have one; give every class a value, or none"
        )
    return ClassList(names, palette, colours, values, ignored, path)


def read_classes(path: Path) -> tuple[list[str], list[Colour]]:
    """Names and colours of a class list; errors as of `read`."""
    classes = read(path)
    return classes.names, classes.palette


def _checked(names: list[str], where: str) -> list[str]:
    if not names:
        raise ValueError(f"{where}: names no class")
    for name in names:
        if not name or names.count(name) > 1:
            raise ValueError(f"{where}: class name {name!r} is {'given twice' if name else 'empty'}")
    return names


def _entries(content: object, where: str) -> tuple[list[dict[str, Any]], tuple[int | Colour, ...]]:
    ignored: tuple[int | Colour, ...] = ()
    if isinstance(content, dict) and _is_list_of_classes(content.get("classes")):
        if other := sorted(map(str, set(content) - {"classes", "ignore"})):
            raise ValueError(f"{where}: {other[0]!r} beside classes; expected classes and ignore")
        ignored, content = ignored_marks(content.get("ignore"), f"{where}: ignore"), content["classes"]
    if isinstance(content, dict):
        return [{"name": name, "colour": colour} for name, colour in content.items()], ignored
    if not isinstance(content, list | tuple):
        raise ValueError(f"{where}: expected a list of names, of {{name, colour}}, or a mapping of name to colour")
    for entry in content:
        if isinstance(entry, dict) and ("name" not in entry or set(entry) - _FIELDS):
            raise ValueError(
                f"{where}: entry {entry!r:.80}; expected name and colour, and value where masks store another one"
            )
    return [entry if isinstance(entry, dict) else {"name": entry} for entry in content], ignored


def _is_list_of_classes(content: object) -> bool:
    """Whether this is a list of classes, and no colour."""
    return isinstance(content, list | tuple) and not all(isinstance(entry, int) for entry in content)


def ignored_marks(raw: object, where: str) -> tuple[int | Colour, ...]:
    """Values and colours that are ignored: a value, or a list of values and colours.

    Raises:
        ValueError: anything else; `where` begins the message.
    """
    marks = [] if raw is None else list(raw) if isinstance(raw, list | tuple) else [raw]
    for mark in marks:
        if not (is_mask_value(mark) or _is_colour(mark)):
            raise ValueError(
                f"{where}: {mark!r:.40} is neither a mask value (0 to {MOST_VALUE}) nor a colour; give a value, or a list of "
                "values and colours, such as [0, 254] or [[0, 0, 0]]"
            )
    return tuple((mark[0], mark[1], mark[2]) if isinstance(mark, list | tuple) else int(str(mark)) for mark in marks)


def is_mask_value(value: object) -> bool:
    """Whether a number, or a text of digits, is one that a mask can hold."""
    return not isinstance(value, bool) and str(value).isdecimal() and 0 <= int(str(value)) <= MOST_VALUE


def _is_colour(colour: object) -> bool:
    return (
        isinstance(colour, list | tuple)
        and len(colour) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in colour)
    )


def _colour(where: str, name: str, colour: Any) -> Colour:
    if not _is_colour(colour):
        raise ValueError(f"{where}: colour {colour!r:.80} of class {name!r}; expected [red, green, blue] from 0 to 255")
    return colour[0], colour[1], colour[2]


def _values(where: str, name: str, raw: object) -> Sequence[int]:
    values = [] if raw is None else list(raw) if isinstance(raw, list | tuple) else [raw]
    for value in values:
        if not is_mask_value(value):
            raise ValueError(
                f"{where}: value {value!r:.40} of class {name!r}; expected a whole number from 0 to {MOST_VALUE}"
            )
    return [int(str(value)) for value in values]


def default_colour(index: int) -> Colour:
    """A colour for a class that has none."""
    turn = index * 0.618034 % 1  # the golden ratio keeps the hues of consecutive classes apart
    red, green, blue = colorsys.hsv_to_rgb(turn, 0.55 + 0.35 * (index % 2), 0.95 - 0.25 * (index % 3 == 2))
    return round(255 * red), round(255 * green), round(255 * blue)
