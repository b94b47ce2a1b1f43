"""Downloads that resume where they stopped."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1 << 20
_TRIES = 5
OnBytes = Callable[[int, int | None], object]
"""Called with the bytes received so far and the size of the file, None if the server does not tell it."""


def download(
    url: str, target: Path, *, md5: str = "", on_bytes: OnBytes = lambda done, total: None, pause: float = 2
) -> None:
    """Download `url` to `target`; a part left by an earlier try, `target.part`, is not downloaded again.

    A broken connection is retried, 5 tries in all. The part belongs to one version of the file: if the server has a newer one,
    it sends that from the start (If-Range).

    Args:
        pause: seconds before the second try, doubled for each further one.

    Raises:
        ValueError: the server refuses or cannot be reached, the disk is too small, or the checksum differs.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: only http and https can be downloaded")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            if _fetch(url, part, on_bytes):
                break
            reason: object = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise ValueError(f"{url}: the server answers {error.code} {error.reason}") from None
            reason = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
    else:
        kept = f"; {part} is kept, and the next run resumes it" if part.is_file() else ""
        raise ValueError(f"{url}: {reason}, {_TRIES} tries{kept}")
    if md5 and _md5(part) != md5:
        part.unlink()
        raise ValueError(f"{url}: the file's MD5 is not {md5}; the file was removed: run the command again")
    part.replace(target)
    _validator(part).unlink(missing_ok=True)


def _fetch(url: str, part: Path, on_bytes: OnBytes) -> bool:
    """One try; returns whether the file is complete."""
    have = part.stat().st_size if part.is_file() else 0
    version = _validator(part).read_text() if have and _validator(part).is_file() else ""
    headers = {"User-Agent": "segattn", "Accept-Encoding": "identity"}
    if have and version:  # without a version, the part may belong to another file
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file or longer; the total tells which
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if whole and int(whole[1]) == have:
                return True
            part.unlink()
            return False
        raise
    with response:
        begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        resumed = response.status == 206 and begin is not None and int(begin[1]) == have
        if response.status == 206 and not resumed:
            part.unlink()
            return False
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        _check_space(part, 0 if total is None else total - have)
        strong = response.headers.get("ETag", "")
        _validator(part).write_text(
            response.headers.get("Last-Modified", "") if strong.startswith("W/") or not strong else strong
        )
        with open(part, "ab" if resumed else "wb") as file:
            on_bytes(have, total)
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                on_bytes(have, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or have == total


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise ValueError(f"{part.parent}: {needed / 1e9:.1f} GB to download, {free / 1e9:.1f} GB free")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
