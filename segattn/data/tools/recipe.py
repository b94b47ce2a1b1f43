"""Where a data set comes from: what to download, how to process it, which paths must exist at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A file that can be downloaded without an account."""

    url: str
    size: str
    """In words, such as `1.9 GB`."""
    into: str = ""
    """Folder below the root to extract into."""
    md5: str = ""
    """Published checksum, empty where there is none."""

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Recipe:
    """How `segattn data prepare` gets a data set."""

    archives: tuple[Archive, ...] = ()
    manual: str = ""
    """What the user has to do."""
    local: tuple[str, ...] = ()
    """Archives that the user puts into ROOT/downloads, extracted into the root."""
    convert: Callable[[Path, Callable[[int, int], object]], str] | None = None
    """(root, on_progress(done, total)) -> what was done, in words; does nothing if it was done before."""
    expected: tuple[str, ...] = ()
    """Paths below the root that must exist at the end."""
    variants: Mapping[str, Recipe] = field(default_factory=dict)
