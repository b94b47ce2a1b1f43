"""Files that are what was written: size and SHA-256, flushed to disk; and JSON read without surprises."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from segattn import catalogue


def digest(path: Path) -> dict[str, Any]:
    """`size_bytes` and `sha256` of a file, as `verify` takes them."""
    return {"size_bytes": path.stat().st_size, "sha256": _sha256(path)}


def verify(path: Path, written: Any, by: str) -> None:
    """Raise ValueError unless the file has the `size_bytes` and `sha256` of `written`, which stand in the file named `by`."""
    if not isinstance(written, dict) or not {"size_bytes", "sha256"} <= written.keys():
        raise ValueError(f"{path}: {by} beside it has no size_bytes and sha256 of it, so it is damaged")
    if not path.is_file():
        raise ValueError(f"{path}: no such file, but {by} beside it names it")
    if (size := path.stat().st_size) != written["size_bytes"]:
        raise ValueError(f"{path}: {size} bytes, not the {written['size_bytes']} that {by} says; it may be truncated")
    if _sha256(path) != written["sha256"]:
        raise ValueError(f"{path}: changed since it was written (its SHA-256 is not the one in {by})")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(content: Any) -> str:
    """SHA-256 of plain JSON types, whatever the order of their fields."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """The contents of a JSON file, as `catalogue.read_json`; `NaN` and `Infinity`, which are not JSON, are refused.

    Raises:
        ValueError: no such file, too large, nested too deep, or not JSON; one line.
    """
    try:
        return catalogue.read_json(path, what="readable as JSON")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as JSON ({error.strerror})") from None


def one_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters; its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
