"""Gets a data set from its archives: download, extract, convert; each step runs once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from segattn import data, records
from segattn.catalogue import read_json
from segattn.data.tools.download import download
from segattn.data.tools.extract import extract
from segattn.data.tools.recipe import Recipe

OnStep = Callable[[str, int, int | None], object]
"""(step, done, total if known); counts bytes for a download and files for other steps."""


def recipe(name: str, variant: str | None = None) -> Recipe:
    """The recipe of a data set.

    Raises:
        ValueError: an unknown name or variant, or a data set without a download.
    """
    steps: Recipe | None = getattr(data.module(name), "RECIPE", None)
    if steps is None:
        raise ValueError(f"{name} is not downloaded: {(inspect.getdoc(data.module(name)) or '').splitlines()[0]}")
    if variant is None:
        return steps
    if variant not in steps.variants:
        known = f"variants: {', '.join(steps.variants)}" if steps.variants else "it has only one form"
        raise ValueError(f"{name} has no variant {variant!r}; {known}")
    return steps.variants[variant]


def instructions(name: str, root: Path, variant: str | None = None) -> str:
    """What to download from where, and the folder tree that it must become."""
    steps = recipe(name, variant)
    parts = [inspect.getdoc(data.module(name)) or "", f"ROOT here is {root}"]
    if steps.archives:
        listed = [
            f"  {archive.url}\n    {archive.size}, extracted into {root / archive.into}"
            + (f", MD5 {archive.md5}" if archive.md5 else ", no checksum published")
            for archive in steps.archives
        ]
        parts.append("Downloads, no account needed:\n" + "\n".join(listed))
    if steps.manual:
        parts.append(steps.manual.replace("ROOT/", f"{root}/"))
    if steps.variants:
        parts.append(f"Other forms: --variant {' or '.join(steps.variants)}")
    return "\n\n".join(parts)


def prepare(
    name: str,
    root: Path,
    *,
    variant: str | None = None,
    on_step: OnStep = lambda what, done, total: None,
    keep_archives: bool = True,
) -> list[str]:
    """Download, extract and convert what is still missing.

    Returns:
        What was done, one line per step.

    Raises:
        ValueError: a download or an archive fails, or files that the user has to provide are missing.
    """
    steps = recipe(name, variant)
    root.mkdir(parents=True, exist_ok=True)
    downloads, done = root / "downloads", []
    extracted = _Extracted(root / "downloads" / "unpacked.json")
    for archive in steps.archives:
        file = downloads / archive.file_name
        if archive.file_name in extracted:
            continue
        if not file.is_file():
            download(archive.url, file, md5=archive.md5, on_bytes=partial(on_step, file.name))
            done.append(f"downloaded {file}")
        done.append(_extract(file, root / archive.into, on_step))
        extracted.add(archive.file_name)
        if not keep_archives:
            file.unlink()
    for local in steps.local:
        if (downloads / local).is_file() and local not in extracted:
            done.append(_extract(downloads / local, root, on_step))
            extracted.add(local)
    if steps.convert is not None:
        done.append(steps.convert(root, lambda n, of: on_step("converting", n, of)))
    missing = [path for path in steps.expected if not (root / path).exists()]
    if missing:
        done = [line for line in done if line]
        told = f" (done: {'; '.join(done)})" if done else ""
        raise ValueError(f"{root}: still missing {', '.join(missing)}{told}; the text above says where it comes from")
    return [line for line in done if line]


def _extract(file: Path, into: Path, on_step: OnStep) -> str:
    count = extract(file, into, lambda n, of: on_step(f"extracting {file.name}", n, of))
    return f"extracted {count} files of {file.name} into {into}"


class _Extracted:
    """Names of the archives that were extracted completely."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.names: list[str] = list(read_json(path))
        except (OSError, ValueError, TypeError):
            self.names = []

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def add(self, name: str) -> None:
        self.names.append(name)
        records.write_bytes(json.dumps(self.names).encode(), self.path)
