"""Records as files: written as JSON, whole or not at all, and read back with validation.

A record is self-contained: `segattn report` needs nothing else, neither torch nor the data. A reader refuses a schema version
that it does not know, and says so.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
_BLOCK_BYTES = 2**24


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
    """The arrays of an .npz file by name, in their shapes and types. No objects are read, and no more memory is used than the
    file's own sizes say.

    Raises:
        OSError: no regular file, or none that the system gives access to.
        ValueError: not an .npz file, a damaged or an encrypted one, or arrays of more than `ARRAY_BYTES`.
    """
    with open_arrays(path) as arrays:
        return {name: array.read() for name, array in arrays.items()}


@contextmanager
def open_arrays(path: str | os.PathLike[str]) -> Iterator[dict[str, StoredArray]]:
    """The arrays of an .npz file by name, each read when it is asked for; errors as of `read_arrays`."""
    regular_size(path)
    with ExitStack() as opened:
        with _named(path):
            file = opened.enter_context(zipfile.ZipFile(path))
            members = file.infolist()
            if (total := sum(member.file_size for member in members)) > ARRAY_BYTES:
                raise ValueError(f"arrays of {total:,} bytes; at most {ARRAY_BYTES:,} are read")
            arrays = {member.filename.removesuffix(".npy"): StoredArray(path, file, member) for member in members}
        yield arrays


class StoredArray:
    """An array in an open .npz file, whose header has to agree with its size before memory is taken for it.

    Raises:
        ValueError: it does not, or the array holds objects; in all methods, where the file is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], file: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        from numpy.lib import format as npy

        self._path, self._file, self._member = path, file, member
        with file.open(member) as stream:
            version = npy.read_magic(stream)
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if read_header is None:
                raise ValueError(f"{member.filename} is of version {version}")
            try:
                self.shape, self._in_fortran_order, self.dtype = read_header(stream)
            except Exception:  # NumPy parses it as Python's syntax, with errors of many types
                raise ValueError(f"the header of {member.filename} is damaged") from None
            self._start = stream.tell()
        if self.dtype.hasobject or math.prod(self.shape) * self.dtype.itemsize != member.file_size - self._start:
            raise ValueError(f"{member.filename} should be {self.dtype} {self.shape}, but its size is another one")

    def read(self) -> np.ndarray:
        """The whole array."""
        with _named(self._path), self._file.open(self._member) as stream:
            stream.read(self._start)
            return self._array(stream.read(), self.shape)

    def blocks(self) -> Iterator[np.ndarray]:
        """The array in parts of about 16 MB along its first axis; one that is empty, or in Fortran's order, is one part."""
        if self._in_fortran_order or not self.shape or not math.prod(self.shape):
            yield self.read()
            return
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(1, _BLOCK_BYTES // row_bytes)
        with _named(self._path):
            stream = self._file.open(self._member)
        with stream:
            with _named(self._path):
                stream.read(self._start)
            for first in range(0, self.shape[0], step):
                rows = min(step, self.shape[0] - first)
                with _named(self._path):
                    part = self._array(stream.read(rows * row_bytes), (rows, *self.shape[1:]))
                yield part

    def _array(self, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        return np.frombuffer(data, self.dtype).reshape(shape, order="F" if self._in_fortran_order else "C")


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in the error of a damaged one."""
    try:
        yield
    except Exception as error:  # zipfile raises errors of many types
        raise ValueError(f"{path}: not readable as arrays ({error})") from None
