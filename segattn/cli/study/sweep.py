"""`--sweep` of `segattn study`: words and files as the settings of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from segattn import config as configuration
from segattn.catalogue import hint
from segattn.cli import values
from segattn.study.sweep import grid

_FILES = (".json", ".yaml", ".yml")


def sweep_of(words: Sequence[str]) -> list[dict[str, Any]]:
    """The settings of a sweep: every combination of `PATH=VALUE,VALUE,...`, or the list in a file.

    A value that is a list is written in brackets, such as `[4,4],[8,8]`.

    Raises:
        ValueError: another form, a setting that an experiment does not have, or one that is given twice.
    """
    if not words:
        return []
    if any("=" not in word and word.endswith(_FILES) for word in words):
        if len(words) > 1:
            raise ValueError("--sweep takes one file, or settings as PATH=VALUE,VALUE,...; not both")
        return _read(Path(words[0]))
    axes: dict[str, list[Any]] = {}
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not text:
            raise ValueError(
                f"--sweep {word}: write PATH=VALUE,VALUE,..., such as optimization.lr=0.01,0.02, or a file"
            )
        path, kind = _setting(path)
        if path in axes:
            raise ValueError(f"--sweep {path} is given twice; write all its values after one =")
        axes[path] = [_value(path, kind, each) for each in _split(text)]
    return grid(axes)


def _read(file: Path) -> list[dict[str, Any]]:
    from segattn.data.files.plain import read_plain

    try:
        raw = read_plain(file, file.suffix[1:].upper())
    except OSError as error:
        raise ValueError(f"cannot read the sweep {file}: {error.strerror}") from None
    if not isinstance(raw, list) or not raw or not all(isinstance(each, dict) and each for each in raw):
        raise ValueError(f"{file}: a sweep is a list of settings, such as - optimization.lr: 0.01 on each line")
    return [{_setting(str(path))[0]: value for path, value in each.items()} for each in raw]


def _setting(path: str) -> tuple[str, Any]:
    """The path with underscores, and the type of its values; None for an option of a head, backbone or data set.

    Raises:
        ValueError: an experiment has no such setting.
    """
    owner: Any = configuration.Experiment
    parts = path.removeprefix("--").split(".")
    for number, part in enumerate(parts):
        name = part.replace("-", "_")
        known = [field.name for field in fields(owner)]
        if name not in known:
            near = hint(name, known, most=1)
            raise ValueError(f"--sweep {path}: no setting {part}; {near}Settings there: {', '.join(known)}")
        kind, parts[number] = get_type_hints(owner)[name], name
        if kind == dict[str, Any]:
            if number != len(parts) - 2:
                raise ValueError(f"--sweep {path}: name one option, such as {'.'.join(parts[: number + 1])}.NAME")
            return ".".join(parts), None
        if not is_dataclass(kind):
            if number != len(parts) - 1:
                raise ValueError(f"--sweep {path}: {'.'.join(parts[: number + 1])} has no parts")
            return ".".join(parts), kind
        owner = kind
    raise ValueError(f"--sweep {path}: a group of settings; name one, such as {path}.{fields(owner)[0].name}")


def _split(text: str) -> list[str]:
    """The values between commas that are in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _value(path: str, kind: Any, text: str) -> Any:
    if kind is None or text.startswith("["):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"--sweep {path}: {text!r} is no value") from None
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"--sweep {path}: {text!r} should be true or false")
        return text.lower() == "true"
    try:
        value = values.value(kind, [text])
    except ValueError as error:
        raise ValueError(f"--sweep {path}: {error}") from None
    return list(value) if isinstance(value, tuple) else value
