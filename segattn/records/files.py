"""Records as files: written as JSON, whole or not at all, and read back with validation.

A record is self-contained: `segattn report` needs nothing else, neither torch nor the data. A reader refuses a schema version
that it does not know, and says so.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from segattn.catalogue import read_json, regular_size, usable
from segattn.records.bench import BenchRecord
from segattn.records.run import RunRecord
from segattn.records.schema import SCHEMA
from segattn.records.study import StudyRecord
from segattn.records.writing import writing

if TYPE_CHECKING:
    import numpy as np

_KINDS: dict[str, type] = {"run": RunRecord, "study": StudyRecord, "bench": BenchRecord}


ARRAY_BYTES = 4 * 2**30
"""The most that arrays of one file may take."""


def write(record: Any, path: str | os.PathLike[str]) -> Path:
    """Write a record as JSON; the file appears whole or not at all.

    Raises:
        ValueError: a number is nan or infinite, for which JSON has no form; the message names the field.
    """
    try:
        usable(msgspec.to_builtins(record))
    except ValueError as error:
        raise ValueError(f"{path}: the record is not written, because {error}") from None
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    return write_bytes(data + b"\n", path)


def write_bytes(data: bytes, path: str | os.PathLike[str]) -> Path:
    """Write `data` to `path` through a synced temporary file beside it and a rename."""
    with writing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def read(path: str | os.PathLike[str]) -> Any:
    """Read a run, study or bench record.

    Raises:
        ValueError: the file is no record, of another schema version, or a field is missing or of the wrong type; the
            message names the file and the field.
    """
    try:
        raw = read_json(path, what="a JSON record")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such record") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as a record ({error.strerror})") from None
    if (kind := _kind(raw)) is None:
        raise ValueError(f"{path}: not a segattn record (its kind should be one of {', '.join(_KINDS)})")
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"{path}: record schema {raw.get('schema')}, this version reads {SCHEMA}; run the study again")
    try:
        return msgspec.convert(raw, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """`run`, `study` or `bench`, of the record in this file; None if it is no record that can be read."""
    try:
        return _kind(read_json(path))
    except (OSError, ValueError):
        return None


def _kind(raw: Any) -> str | None:
    kind = raw.get("kind") if isinstance(raw, dict) else None
    return kind if isinstance(kind, str) and kind in _KINDS else None


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. No objects are read, and no more memory is used than the file's own sizes say.

    Raises:
        OSError: no regular file, or none that the system gives access to.
        ValueError: not an .npz file, a damaged or an encrypted one, or arrays of more than `ARRAY_BYTES`.
    """
    regular_size(path)
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            if (total := sum(member.file_size for member in members)) > ARRAY_BYTES:
                raise ValueError(f"arrays of {total:,} bytes; at most {ARRAY_BYTES:,} are read")
            return {member.filename.removesuffix(".npy"): _array(file, member) for member in members}
    except Exception as error:  # zipfile raises errors of many types on a damaged file
        raise ValueError(f"{path}: not readable as arrays ({error})") from None


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header has to agree with its size before memory is taken for it.

    Raises:
        ValueError: it does not, or the array holds objects.
    """
    import numpy as np
    from numpy.lib import format as npy

    with file.open(member) as stream:
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ValueError(f"{member.filename} is of version {version}")
        try:
            shape, in_fortran_order, dtype = read_header(stream)
        except Exception:  # NumPy parses it as Python's syntax, with errors of many types
            raise ValueError(f"the header of {member.filename} is damaged") from None
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} should be {dtype} {shape}, but its size is another one")
        values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if in_fortran_order else "C")
