"""A run's configuration as single settings under dotted names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings under dotted names.

    >>> flatten({"optimizer": {"lr": 0.01}, "crop": [97, 193]})
    {'optimizer.lr': '0.01', 'crop': '[97, 193]'}
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = text(value)
    return flat


def is_under(key: str, names: tuple[str, ...]) -> bool:
    """Whether a setting is one of those named, or inside one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


LATER = {"optimization.rare_class_sampling": "0.0"}
"""Settings that fix the samples of a run and that older versions did not have, with the value that says what these did."""


def text(value: Any) -> str:
    """A value: texts as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
