"""Which record files a path given to the report stands for."""

from __future__ import annotations

from pathlib import Path


def record_files(source: Path) -> list[Path]:
    """The record files that a path stands for.

    A folder without study.json stands for its runs. Bench records in it (bench*.json) are read too, for latency and memory.

    Raises:
        ValueError: a folder without records.
    """
    if not source.is_dir():
        return [source]
    benches = sorted(source.glob("bench*.json"))
    for name in ("study.json", "record.json"):
        if (source / name).is_file():
            return [source / name, *benches]
    runs = sorted(source.glob("*/record.json"))
    if not runs:
        raise ValueError(
            f"{source}: no records found; expected study.json, record.json or <run>/record.json in it"
            " (`segattn study` and `segattn train` write them)"
        )
    return [*runs, *benches]
