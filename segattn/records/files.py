"""Records as files: written as JSON, whole or not at all, and read back with validation.

A record is self-contained: `segattn report` needs nothing else, neither torch nor the data. A reader refuses a schema version
that it does not know, and says so.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from segattn.records.bench import BenchRecord
from segattn.records.run import RunRecord
from segattn.records.schema import SCHEMA
from segattn.records.study import StudyRecord

_KINDS: dict[str, type] = {"run": RunRecord, "study": StudyRecord, "bench": BenchRecord}


def write(record: Any, path: str | os.PathLike[str]) -> Path:
    """Write a record as JSON; the file appears whole or not at all."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    return write_bytes(data + b"\n", path)


def write_bytes(data: bytes, path: str | os.PathLike[str]) -> Path:
    """Write `data` to `path` through a synced temporary file beside it and a rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read(path: str | os.PathLike[str]) -> Any:
    """Read a run, study or bench record.

    Raises:
        ValueError: the file is no record, of another schema version, or a field is missing or of the wrong type; the
            message names the file and the field.
    """
    path = Path(path)
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such record") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as a record ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not a JSON record ({error})") from None
    if not isinstance(raw, dict) or raw.get("kind") not in _KINDS:
        raise ValueError(f"{path}: not a segattn record (its kind should be one of {', '.join(_KINDS)})")
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"{path}: record schema {raw.get('schema')}, this version reads {SCHEMA}; run the study again")
    try:
        return msgspec.convert(raw, _KINDS[raw["kind"]])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
