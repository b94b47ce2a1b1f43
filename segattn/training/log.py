"""The log of one run: `log.jsonl`, and what its trackers get of it."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from segattn import records
from segattn.records import integrity
from segattn.training.trackers import Trackers

MOST_BYTES = 2**28
"""Of a log that is read: 1.5 million lines."""


class Line(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One line: a point of the curve, and the seconds of training until then."""

    iteration: int
    loss: float
    lr: float
    seconds: float
    losses: dict[str, float] = {}  # msgspec copies it
    mean_iou: float | None = None
    crc32: int | None = None
    """Of a point with a mean IoU, as it was read: no checkpoint counts on the last one of them, which is measured after it."""

    @property
    def point(self) -> records.CurvePoint:
        raw = msgspec.structs.asdict(self)
        del raw["seconds"], raw["crc32"]
        return records.CurvePoint(**raw)

    def checksum(self) -> int:
        """CRC-32 of the point."""
        return zlib.crc32(json.dumps(vars(self.point), sort_keys=True).encode())

    def encoded(self) -> bytes:
        measured = {} if self.mean_iou is None else {"crc32": self.checksum()}
        return json.dumps({**vars(self.point), "seconds": self.seconds, **measured}).encode() + b"\n"


def read(path: Path, start: int) -> list[Line]:
    """The lines up to iteration `start`, the one that the run resumes from; what follows them may be cut off by a kill.

    Raises:
        ValueError: iterations do not increase, a line before another of them is damaged, or the file is no log that can be read.
    """
    try:
        content = records.read_bytes(path, most=MOST_BYTES).split(b"\n") if path.exists() else []
    except OSError as error:
        raise ValueError(f"{path}: not readable as a log ({error.strerror})") from None
    parsed = [_parsed(line) for line in content]
    known = [
        (number, line) for number, line in enumerate(parsed, start=1) if line is not None and line.iteration <= start
    ]
    for number, (at, line) in enumerate(known, start=1):
        if at != number:
            raise ValueError(f"{path}: line {number} is damaged, or of a later iteration than a line below it")
        if number > 1 and line.iteration <= known[number - 2][1].iteration:
            raise ValueError(
                f"{path}: line {number} is of iteration {line.iteration}, which is not above the line before"
            )
    return [line for _, line in known]


def _parsed(text: bytes) -> Line | None:
    """A line, None if it is damaged."""
    try:
        line = msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    numbers = (line.loss, line.lr, line.seconds, *line.losses.values(), line.mean_iou or 0.0)
    if line.iteration <= 0 or not all(map(math.isfinite, numbers)) or line.crc32 not in (None, line.checksum()):
        return None
    return line


def fingerprint(lines: Sequence[Line]) -> dict[str, Any]:
    """How many lines, and their SHA-256; without the last mean IoU, which is measured after the checkpoint is written."""
    plain = [{**vars(line.point), "seconds": line.seconds} for line in lines]
    if plain:
        plain[-1]["mean_iou"] = None
    return {"lines": len(plain), "sha256": integrity.sha256_of(plain)}


class Log:
    """The run's `log.jsonl`; points after the checkpoint that the run resumes from are dropped.

    Args:
        start: the iteration of that checkpoint.
        active: whether this process writes.
        lease: of the run's folder, held by the process that writes; checked before each write, released by `close`.
        trackers: of the run, ended by `close`; none on other ranks.

    Raises:
        ValueError: as `read`, or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        *,
        active: bool,
        lease: records.Lease | None = None,
        trackers: Trackers | None = None,
    ) -> None:
        self.path, self.start, self.active, self.lease = path, start, active, lease
        self.lines = read(path, start)
        self.facts: dict[str, Any] = {}
        """What checkpoints say of the run: `experiment`, `data`, `earlier` settings; set by `folder.open_log`."""
        self.seconds = self.lines[-1].seconds if self.lines else 0.0
        if active and path.exists():
            self._rewrite()
        self.trackers = Trackers() if trackers is None else trackers

    @property
    def points(self) -> list[records.CurvePoint]:
        """The curve so far."""
        return [line.point for line in self.lines]

    def add(self, point: records.CurvePoint, seconds: float) -> None:
        """Append a point, reached after `seconds` of training, to the log and to the trackers."""
        self.check()
        self.seconds = seconds
        self.lines.append(Line(**vars(point), seconds=round(seconds, 3)))
        if self.active:
            try:
                with self.path.open("ab") as file:
                    file.write(self.lines[-1].encoded())
            except OSError as error:
                raise self._unwritable(error) from error
        parts = {f"losses/{name}": loss for name, loss in point.losses.items()}
        self.trackers.log({"loss": point.loss, "lr": point.lr, **parts}, point.iteration)

    def replace_last(self, point: records.CurvePoint) -> None:
        """Replace the last point by one that includes the mean IoU."""
        self.check()
        self.lines[-1] = Line(**vars(point), seconds=self.lines[-1].seconds)
        if self.active:
            self._rewrite()
        if point.mean_iou is not None:
            self.trackers.log({"val/mean_iou": point.mean_iou}, point.iteration)

    def sync(self) -> None:
        """Flush the log to disk, before a checkpoint counts on it; raises OSError."""
        for path in (self.path, self.path.parent) if self.path.exists() else ():
            integrity.sync(path)

    def check(self) -> None:
        """Raise `records.LeaseLost` unless this process may still write the run's folder; ranks without a lease pass."""
        if self.lease is not None:
            self.lease.check()

    def close(self) -> None:
        """End the trackers, which may have threads and files of their own, and release the lease."""
        try:
            self.trackers.close()
        finally:
            if self.lease is not None:
                self.lease.release()

    def _rewrite(self) -> None:
        try:
            records.write_bytes(b"".join(line.encoded() for line in self.lines), self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(
            f"{self.path} cannot be written: {error.strerror or error}; the checkpoints are kept. Free some disk space and run "
            "the same command again"
        )
