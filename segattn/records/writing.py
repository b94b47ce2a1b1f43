"""Files that appear whole or not at all: written under a temporary name beside their own, then renamed.

A temporary file is `.NAME.XXXXXXXX.part.EXT`. Its writer locks it (flock) until it is renamed. What a killed process left has no
lock any more, and the next process that writes into the folder removes it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segattn.records.integrity import sync

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part(\.\w{1,8})?")
_swept: set[tuple[int, str]] = set()
"""Process and folder: a folder is swept once by each process, or a large one would be listed for every file."""


@contextmanager
def writing(path: str | os.PathLike[str], *, synced: bool = True) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends, and is removed where the block raises.

    The file exists already and is empty; it keeps the extension of `path`. Missing folders are made.

    Args:
        synced: whether the contents reach the disk before the rename, which a power failure needs and a kill does not.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with writing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = (os.getpid(), os.path.abspath(path.parent))
    if mark not in _swept:
        _swept.add(mark)
        sweep(path.parent)
    handle, temporary = _create(path)
    try:
        yield temporary
        if synced:
            sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed processes left in `folder`; those of living writers stay."""
    with suppress(FileNotFoundError, NotADirectoryError):
        names = [name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name)]
        for name in names:
            with suppress(OSError):  # another process renames or removes it, or the file system has no locks
                _remove_unless_locked(Path(folder) / name)


def _create(path: Path) -> tuple[int, Path]:
    """A new temporary file for `path`, and the open file that holds its lock."""
    suffix = path.suffix if re.fullmatch(r"\.\w{1,8}", path.suffix) else ""
    stem = path.name.removesuffix(suffix)[:40]
    while True:
        temporary = path.with_name(f".{stem}.{secrets.token_hex(4)}.part{suffix}")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(temporary).st_ino == os.fstat(handle).st_ino:
                return handle, temporary
        os.close(handle)  # it was swept before it was locked


def _remove_unless_locked(path: Path) -> None:
    if fcntl is None:
        path.unlink()
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(handle)
