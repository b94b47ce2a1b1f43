"""Uploaded files between their arrival and the moment when the page reads and removes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_TOTAL_BYTES = 200 * 10**6
"""Of all files that wait to be read; the oldest are removed first."""


class Uploads:
    """The files in `folder`, by visitor. Those of a visitor are removed when the last of their pages is closed."""

    def __init__(self, folder: Path, limit: int = MAX_TOTAL_BYTES) -> None:
        self.folder, self.limit = folder, limit
        self.pages: Counter[str] = Counter()
        self.owners: dict[Path, set[str]] = {}
        """A file has several where they sent the same one: Gradio names files by content."""

    @contextmanager
    def visit(self, visitor: str) -> Iterator[None]:
        """A page of this visitor is open."""
        self.pages[visitor] += 1
        try:
            yield
        finally:
            self.pages[visitor] -= 1
            if not self.pages[visitor]:
                del self.pages[visitor]
                self._leave(visitor)

    @contextmanager
    def taking(self, visitor: str, size: int) -> Iterator[None]:
        """Room for `size` bytes; what is written into the folder in the meantime belongs to the visitor. One at a time."""
        files = self._files()
        total = sum(status.st_size for status in files.values())
        for path in sorted(files, key=lambda path: files[path].st_mtime_ns):
            if total + size <= self.limit:
                break
            total -= files[path].st_size
            self._remove(path)
        before = {path: status.st_ino for path, status in files.items()}
        try:
            yield
        finally:
            for path in self.folder.iterdir():
                if path.is_file():  # an upload whose end is missing: Gradio moves a whole one into a folder
                    path.unlink(missing_ok=True)
            files = self._files()
            self.owners = {path: owners for path, owners in self.owners.items() if path in files}
            for path, status in files.items():
                if before.get(path) != status.st_ino:
                    self.owners.setdefault(path, set()).add(visitor)

    def _leave(self, visitor: str) -> None:
        for path, owners in list(self.owners.items()):
            owners.discard(visitor)
            if not owners:
                self._remove(path)

    def _files(self) -> dict[Path, os.stat_result]:
        """All files and their status; the page may remove some at the same time."""
        files = {}
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    files[path] = path.stat()
        return files

    def _remove(self, path: Path) -> None:
        self.owners.pop(path, None)
        remove(path)


def remove(path: Path) -> None:
    """Remove an uploaded file and the folder that Gradio made for it."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # it holds another file of the same content
        path.parent.rmdir()
