"""Damage to files: of bytes, of JSON, of the files of a folder. All of it is drawn from a `random.Random`, so a case repeats."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 99, 2**31, 2**63, 10**40, 0.5, -0.0, 1e308, "", "x", "\u0000", "../../etc", "nan"),
    *([], {}, [[]], [1, "a", None], {"a": {"b": []}}, {"": 0}, "é" * 300, [0] * 1000),
)
"""What a field is replaced by."""


def bytes_of(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Damaged bytes, and what was done to them."""
    at = rng.randrange(len(content)) if content else 0
    kind = rng.choice(
        ["flip", "flip", "flip", "cut", "insert", "delete", "zeros", "0xff", "empty", "double", "reverse"]
    )
    if kind == "flip" and content:
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        return f"bit flipped at {at}", bytes(flipped)
    damaged = {
        "cut": content[:at],
        "insert": content[:at] + rng.randbytes(rng.randrange(1, 9)) + content[at:],
        "delete": content[:at] + content[at + rng.randrange(1, 9) :],
        "zeros": content[:at] + bytes(len(content) - at),
        "0xff": content[:at] + b"\xff" + content[at + 1 :],
        "double": content + content,
        "reverse": content[::-1],
    }.get(kind, b"")
    return f"{kind} at {at}", damaged


def json_of(value: Any, rng: random.Random) -> tuple[str, bytes]:
    """A damaged JSON text: a field replaced, removed, renamed, added or nested, anywhere in it."""
    changed = copy.deepcopy(value)
    parents = list(_containers(changed, "$"))
    path, parent = rng.choice(parents)
    kind = rng.choice(["replace", "replace", "replace", "remove", "rename", "add", "nest", "constant", "whole", "text"])
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    if kind == "whole":
        return "the whole", json.dumps(rng.choice(VALUES)).encode()
    if kind == "nest":
        depth = rng.choice([30, 500, 5000, 100_000])
        return f"nested {depth} deep", b'{"experiment": ' * depth + b"1" + b"}" * depth
    if kind == "constant":
        text = json.dumps(changed)
        number = rng.choice(["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
        numbers = [index for index, letter in enumerate(text) if letter.isdigit()] or [0]
        at = rng.choice(numbers)
        return f"{number[:9]} at {at}", (text[:at] + number + text[at + 1 :]).encode()
    if kind == "text" or not keys:
        what, damaged = bytes_of(json.dumps(changed).encode(), rng)
        return f"text: {what}", damaged
    key = rng.choice(keys)
    if kind == "replace":
        parent[key] = rng.choice(VALUES)
    elif kind == "remove":
        del parent[key]
    elif isinstance(parent, dict):
        parent["surprise" if kind == "add" else f"{key}_"] = parent[key] if kind == "add" else parent.pop(key)
    else:
        parent.insert(key, rng.choice(VALUES))
    return f"{kind} {path}.{key}", json.dumps(changed).encode()


def _containers(value: Any, path: str) -> Any:
    if isinstance(value, dict | list) and value:
        yield path, value
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _containers(inner, f"{path}.{key}")


def file_of(path: Path, others: list[Path], rng: random.Random) -> str:
    """Damage a file in place: its bytes, or the file as a whole; `others` are files that it may be swapped with."""
    kind = rng.choice(["bytes", "bytes", "bytes", "bytes", "remove", "folder", "swap", "copy"])
    if kind == "bytes":
        what, damaged = bytes_of(path.read_bytes(), rng)
        path.write_bytes(damaged)
        return f"{path.name}: {what}"
    if kind in ("swap", "copy") and others:
        other = rng.choice(others)
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        if kind == "swap":
            other.write_bytes(content)
        return f"{path.name}: {kind} with {other.parent.name}/{other.name}"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    return f"{path.name}: {kind}"


def in_copy(folder: Path, to: Path, damage: Callable[[Path], str]) -> str:
    """Damage a copy of a folder at `to`, where an earlier one is removed; what was done."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return damage(to)
