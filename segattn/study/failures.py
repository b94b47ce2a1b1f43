"""`failure.json` in the folder of a run that failed: why, after how many attempts, where. Removed when the run starts again."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from segattn import records

FILE = "failure.json"


class RunsFailed(Exception):
    """Runs of a study failed; the others are finished, and the study's record names them."""


def refuse(failed: Sequence[str], total: int) -> None:
    """Raise RunsFailed if any of `total` runs failed; `failed` has a name and a reason of each."""
    if failed:
        raise RunsFailed(f"{len(failed)} of {total} runs failed: {'; '.join(failed)}")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed."""

    message: str
    attempts: int
    host: str
    created: str
    """UTC, ISO 8601."""


def write(folders: Sequence[Path], message: str, attempts: int, host: str = "") -> None:
    """Note the failure of these runs; where that cannot be written, nothing is noted."""
    failure = Failure(
        message=message,
        attempts=attempts,
        host=host or socket.gethostname(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    for folder in folders:
        if not (folder / "record.json").exists():
            with suppress(OSError):
                records.write_bytes(json.dumps(asdict(failure), indent=1).encode() + b"\n", folder / FILE)


def clear(folders: Sequence[Path]) -> None:
    """Forget earlier failures of these runs."""
    for folder in folders:
        with suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def read(folder: Path) -> Failure | None:
    """The failure that is noted in a run's folder; None if there is none."""
    try:
        return msgspec.convert(records.read_json(folder / FILE), Failure)
    except (OSError, ValueError):
        return None
