"""What `experiment.json` in a run's folder says beside the settings: what the run began with.

    "run": {"format": 2, "data": {"train": ..., "val": ...}, "without_digests": 0, "sha256": ...}

Version 0.1.0 wrote settings only, and checkpoints without digests. `without_digests` is the last iteration whose checkpoint may
be one of those, so that a later one that has lost its digests is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from segattn.records import integrity

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a run began with."""

    format: int = FORMAT
    data: Mapping[str, Any] | None
    """The fingerprint of the data; None if it is not known."""
    without_digests: int = 0


def written(begun: Begun) -> dict[str, Any]:
    """As plain JSON types, with their SHA-256."""
    raw = {"format": begun.format, "data": begun.data, "without_digests": begun.without_digests}
    return {**raw, "sha256": integrity.sha256_of(raw)}


def read(out: Path) -> Begun | None:
    """What the run in this folder began with; None for one of version 0.1.0, and where there is none yet.

    Raises:
        ValueError: the file is damaged, or of a later version.
    """
    path = out / "experiment.json"
    raw = integrity.read_json(path) if path.exists() else {}
    if not isinstance(raw, dict) or "run" not in raw:
        return None
    try:
        begun = msgspec.convert(raw["run"], Begun)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: run is damaged ({error!s:.200})") from None
    if begun.format != FORMAT:
        raise ValueError(f"{path}: run has format {begun.format}; this version reads {FORMAT}")
    if raw["run"] != written(begun):
        raise ValueError(f"{path}: run was changed since it was written: its SHA-256 is another")
    return begun
