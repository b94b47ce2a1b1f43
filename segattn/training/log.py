"""The log of one run: `log.jsonl`, and TensorBoard's files where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segattn import records


class Log:
    """The run's `log.jsonl`; points after the checkpoint that the run resumes from are dropped.

    Args:
        start: the iteration of that checkpoint.
        active: whether this process writes.
        lease: of the run's folder, held by the process that writes; checked before each write, released by `close`.
    """

    def __init__(self, path: Path, start: int, *, active: bool, lease: records.Lease | None = None) -> None:
        self.path, self.start, self.active, self.lease = path, start, active, lease
        self.points: list[records.CurvePoint] = []
        self.seconds = 0.0
        lines = path.read_text().splitlines() if path.exists() else []
        kept = []
        for line in lines:
            try:
                raw = json.loads(line)
            except ValueError:
                break  # a kill cut the line off
            if raw["iteration"] > start:
                break
            self.seconds = raw.pop("seconds")
            self.points.append(records.CurvePoint(**raw))
            kept.append(line)
        if active and path.exists():
            records.write_bytes("".join(line + "\n" for line in kept).encode(), path)
        self.board = _tensorboard(path.parent, start) if active else None

    def add(self, point: records.CurvePoint, seconds: float) -> None:
        """Append a point, reached after `seconds` of training, to the log and to TensorBoard."""
        self.check()
        self.points.append(point)
        self.seconds = seconds
        if self.active:
            line = json.dumps({**vars(point), "seconds": round(seconds, 3)}) + "\n"
            try:
                with self.path.open("a") as file:
                    file.write(line)
            except OSError as error:
                raise ValueError(
                    f"{self.path} cannot be written: {error.strerror or error}; the checkpoints are kept. Free some disk "
                    "space and run the same command again"
                ) from error
        if self.board is not None:
            self.board.add_scalar("loss", point.loss, point.iteration)
            self.board.add_scalar("lr", point.lr, point.iteration)
            for name, loss in point.losses.items():
                self.board.add_scalar(f"losses/{name}", loss, point.iteration)
            if point.mean_iou is not None:
                self.board.add_scalar("val/mean_iou", point.mean_iou, point.iteration)
            self.board.flush()

    def replace_last(self, point: records.CurvePoint) -> None:
        """Replace the last point by one that includes the mean IoU."""
        self.check()
        self.points.pop()
        if self.active:
            lines = self.path.read_text().splitlines(keepends=True)
            records.write_bytes("".join(lines[:-1]).encode(), self.path)
        self.add(point, self.seconds)

    def check(self) -> None:
        """Raise `records.LeaseLost` unless this process may still write the run's folder; ranks without a lease pass."""
        if self.lease is not None:
            self.lease.check()

    def close(self) -> None:
        """Close TensorBoard's writer, which has a thread and a file of its own, and release the lease."""
        try:
            if self.board is not None:
                self.board.close()
        finally:
            if self.lease is not None:
                self.lease.release()


def _tensorboard(folder: Path, start: int) -> Any:
    """A TensorBoard writer for the run's folder; None if TensorBoard (extra `log`) is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
