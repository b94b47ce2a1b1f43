"""Extracts archives below a folder and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from segattn import records

OnFiles = Callable[[int, int | None], object]


def extract(archive: Path, folder: Path, on_files: OnFiles = lambda done, total: None) -> int:
    """Extract a zip or tar (also compressed) into a folder; existing files of the right size are kept.

    Only files and folders are written. Links, devices and names that lead out of the folder are errors.

    Returns:
        The number of files.

    Raises:
        ValueError: no archive, a damaged one, an unsafe name, or too little space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            return _extract_zip(archive, folder, on_files)
        if tarfile.is_tarfile(archive):
            return _extract_tar(archive, folder, on_files)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError) as error:
        raise ValueError(f"{archive}: damaged archive ({error}); remove it and download it again") from error
    except RuntimeError as error:  # an encrypted zip
        raise ValueError(f"{archive}: cannot be extracted ({error})") from error
    raise ValueError(f"{archive}: neither a zip nor a tar archive")


def _extract_zip(archive: Path, folder: Path, on_files: OnFiles) -> int:
    with zipfile.ZipFile(archive) as file:
        members = [member for member in file.infolist() if not member.is_dir()]
        for member in members:
            if member.external_attr >> 28 == 0o12:
                raise ValueError(f"{archive}: {member.filename} is a link; such archives are not extracted")
        targets = [_inside(archive, folder, member.filename) for member in members]
        free = shutil.disk_usage(folder).free
        needed = sum(member.file_size for member in members)
        if needed > free:
            raise ValueError(f"{folder}: {needed / 1e9:.1f} GB to extract, {free / 1e9:.1f} GB free")
        for done, (member, target) in enumerate(zip(members, targets, strict=True)):
            if not _there(target, member.file_size):
                with file.open(member) as content:
                    _write(content, target, member.file_size)
            on_files(done + 1, len(members))
    return len(members)


def _extract_tar(archive: Path, folder: Path, on_files: OnFiles) -> int:
    done = 0
    with tarfile.open(archive) as file:
        for member in _files_of(archive, file):
            target = _inside(archive, folder, member.name)
            if not _there(target, member.size):
                content = file.extractfile(member)
                if content is not None:
                    _write(content, target, member.size)
            done += 1
            on_files(done, None)
    return done


def _files_of(archive: Path, file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in file:
        if member.isdir():
            continue
        if not member.isfile():
            raise ValueError(f"{archive}: {member.name} is a link or a device; such archives are not extracted")
        yield member


def _inside(archive: Path, folder: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise ValueError(f"{archive}: {name!r} leads out of the folder; such archives are not extracted")
    target = folder.joinpath(*parts)
    # an existing link could lead out as well
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{archive}: {name!r} leads out of the folder by a link; remove the link")
    return target


def _there(target: Path, size: int) -> bool:
    return target.is_file() and not target.is_symlink() and target.stat().st_size == size


def _write(content: IO[bytes], target: Path, size: int) -> None:
    with records.writing(target, synced=False) as temporary, open(temporary, "wb") as file:
        written = 0
        while block := content.read(1 << 20):
            written += len(block)
            if written > size:
                raise ValueError(f"{target}: longer than its archive states")
            file.write(block)
