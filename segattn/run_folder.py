"""The folder of one run: whose it is, its log, and where an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segattn import checkpoint, records
from segattn import config as configuration
from segattn.config import Experiment


def refuse_another(out: Path, config: Experiment) -> None:
    """Raise unless the folder is free or holds a run of this experiment; nothing is written.

    Raises:
        ValueError: the folder holds another experiment's run (naming what differs), or is a file.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; give a folder for the run")
    path = out / "experiment.json"
    if not path.exists():
        return
    # read as an experiment: settings that an older version did not have are at their defaults
    theirs = configuration.to_dict(configuration.from_dict(json.loads(path.read_text())))
    mine = configuration.to_dict(config)
    if theirs != mine:
        differing = ", ".join(sorted(_differences(theirs, mine)))
        raise ValueError(f"{out} holds the run of another experiment (different: {differing}); choose another --out")


def claim(out: Path, config: Experiment) -> None:
    """Write the experiment into the run's folder.

    Raises:
        ValueError: as `refuse_another`, or the folder cannot be written.
    """
    refuse_another(out, config)
    path = out / "experiment.json"
    if path.exists():
        return
    try:
        records.write_bytes(json.dumps(configuration.to_dict(config), indent=1).encode() + b"\n", path)
    except OSError as error:
        raise ValueError(f"cannot write the run into {out}: {error.strerror}") from error


def _differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Paths at which two configurations differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from _differences(a.get(key), b.get(key), f"{path}.{key}".strip("."))
    elif a != b:
        yield path


def restore(out: Path, model: nn.Module, optimizer: Any) -> int:
    """Load the newest checkpoint into model, optimiser and random generators; the iteration to go on from, 0 without one."""
    snapshot = checkpoint.latest_snapshot(out)
    if snapshot is None:
        return 0
    model.load_state_dict(snapshot.model)
    parameters = dict(model.named_parameters())
    for name, momentum in snapshot.optimizer.items():
        parameter = parameters[name]
        buffer = torch.empty_like(parameter).copy_(momentum)  # in the parameter's memory format
        optimizer.state[parameter] = {"momentum_buffer": buffer}
    torch.set_rng_state(snapshot.random["cpu"])
    if "cuda" in snapshot.random and torch.cuda.is_available():
        torch.cuda.set_rng_state(snapshot.random["cuda"])
    return snapshot.iteration


def momentum(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """The optimiser's momentum by the name of its parameter."""
    state = optimizer.state
    return {
        name: state[parameter]["momentum_buffer"]
        for name, parameter in model.named_parameters()
        if state.get(parameter, {}).get("momentum_buffer") is not None
    }


def random_state() -> dict[str, Tensor]:
    """States of torch's generators."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


class Log:
    """The run's `log.jsonl`: points after the checkpoint that a run resumes from are dropped."""

    def __init__(self, path: Path, start: int, *, active: bool) -> None:
        self.path, self.active = path, active
        self.points: list[records.CurvePoint] = []
        self.seconds = 0.0
        lines = path.read_text().splitlines() if path.exists() else []
        kept = []
        for line in lines:
            try:
                raw = json.loads(line)
            except ValueError:
                break  # a line cut by a kill
            if raw["iteration"] > start:
                break
            self.seconds = raw.pop("seconds")
            self.points.append(records.CurvePoint(**raw))
            kept.append(line)
        if active and path.exists():
            records.write_bytes("".join(line + "\n" for line in kept).encode(), path)
        self.board = _tensorboard(path.parent, start) if active else None

    def add(self, point: records.CurvePoint, seconds: float) -> None:
        self.points.append(point)
        self.seconds = seconds
        if self.active:
            with self.path.open("a") as file:
                file.write(json.dumps({**vars(point), "seconds": round(seconds, 3)}) + "\n")
        if self.board is not None:
            self.board.add_scalar("loss", point.loss, point.iteration)
            self.board.add_scalar("lr", point.lr, point.iteration)
            for name, loss in point.losses.items():
                self.board.add_scalar(f"losses/{name}", loss, point.iteration)
            if point.mean_iou is not None:
                self.board.add_scalar("val/mean_iou", point.mean_iou, point.iteration)
            self.board.flush()


def _tensorboard(folder: Path, start: int) -> Any:
    """A writer into the run's folder where TensorBoard is installed (extra `log`), else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
