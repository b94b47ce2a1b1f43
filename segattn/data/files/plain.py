"""Plain values from JSON and YAML files: lists, mappings, numbers, texts; no objects are made, and no code is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from segattn.catalogue import MOST_BYTES, checked_nesting, read_bytes, read_json

MOST_YAML_BYTES = 2**18
"""YAML is read slowly: a file of this size takes seconds."""


def read_plain(path: Path, form: str) -> Any:
    """The values in a .json file, or in a YAML file of any other ending; messages call it `form`.

    Raises:
        OSError: as `segattn.catalogue.read_bytes`.
        ValueError: not JSON or YAML, or nested too deep.
    """
    if path.suffix == ".json":
        return read_json(path, what=f"readable as {form}")
    text = read_text(path, most=MOST_YAML_BYTES)
    try:
        raw = yaml.safe_load(text)
    except RecursionError:
        raise ValueError(f"{path}: not readable as {form} (nested too deep)") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # not of YAML's own: a date such as 2020-13-40
        raise ValueError(f"{path}: not readable as {form} ({' '.join(str(error).split())})") from None
    return checked_nesting(raw, path)


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """A file of UTF-8 text, with or without a byte order mark.

    Raises:
        OSError: as `segattn.catalogue.read_bytes`.
        ValueError: other text.
    """
    try:
        return read_bytes(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error})") from None
