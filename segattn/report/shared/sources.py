"""Which record files a path given to the report stands for."""

from __future__ import annotations

from pathlib import Path


def inside(folder: Path, name: str) -> Path | None:
    """A file that a record in `folder` names; None where its path, or a link on it, leads out of the folder, or holds a NUL."""
    try:
        path, root = (folder / name).resolve(), folder.resolve()
    except (ValueError, OSError, RuntimeError):  # a NUL; a name too long; links in a circle
        return None
    return path if path.is_relative_to(root) else None


def record_files(source: Path) -> list[Path]:
    """The record files that a path stands for.

    A folder without study.json stands for its runs, but for hidden folders. Bench records in it (bench*.json) are read too, for
    latency and memory.

    Raises:
        ValueError: a folder without records, or one in which the name of a record is a link that leads out of the folder.
    """
    if not source.is_dir():
        return [source]
    benches = sorted(source.glob("bench*.json"))
    first = next((source / name for name in ("study.json", "record.json") if (source / name).exists()), None)
    runs = sorted(source.glob("[!.]*/record.json")) if first is None else [first]
    for file in (*runs, *benches):
        if inside(source, str(file.relative_to(source))) is None:
            raise ValueError(f"{file}: a link out of {source}; name the folder or file that it leads to")
    if not runs:
        raise ValueError(
            f"{source}: no records found; expected study.json, record.json or <run>/record.json in it"
            " (`segattn study` and `segattn train` write them)"
        )
    return [*runs, *benches]
