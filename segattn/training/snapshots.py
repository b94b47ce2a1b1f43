"""Checkpoints of a run that is not finished: each is one thing, written completely or not at all, and verified before it is used.

    checkpoints/iteration-00002000/model.safetensors, optimizer.safetensors, random.safetensors
    checkpoints/iteration-00002000/state.json      size, SHA-256, names and shapes of each part; what the run was

A checkpoint is written under a temporary name, synced, and renamed. A damaged one is refused, and the one before it is used.
Version 0.1.0 wrote `{"iteration": N}` as state.json; for such a checkpoint the checks that are possible are made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from segattn import checkpoint, records
from segattn.records import integrity

PathLike = str | os.PathLike[str]
FORMAT = 2
_PARTS = ("model", "optimizer", "random")


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to resume exactly."""

    iteration: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    """States of the random generators."""
    facts: Mapping[str, Any] | None = field(default_factory=dict)
    """What the run was when it was written, as plain JSON types; None in a checkpoint of version 0.1.0."""


def save_snapshot(snapshot: Snapshot, run: PathLike, *, keep: int = 2) -> Path:
    """Write a checkpoint to resume from, then remove all but the newest `keep`.

    The folder appears under its name only when it is complete and synced, so a kill at any moment leaves the previous one intact.
    Later checkpoints are removed: they could not be used, or the run would not be at this iteration.
    """
    parent = Path(run) / "checkpoints"
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"iteration-{snapshot.iteration:08d}"
    temporary = parent / f".writing-{snapshot.iteration:08d}"
    for leftover in parent.glob(".*-*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir()
        parts = {}
        for name in _PARTS:
            tensors = getattr(snapshot, name)
            written = checkpoint.write_tensors(tensors, temporary / f"{name}.safetensors")
            parts[name] = {**written, "tensors": _shapes(tensors)}
        state: dict[str, Any] = {
            "format": FORMAT,
            "iteration": snapshot.iteration,
            "facts": snapshot.facts,
            "parts": parts,
        }
        state["sha256"] = integrity.sha256_of(state)
        records.write_bytes(json.dumps(state).encode(), temporary / "state.json")
        integrity.sync(temporary)
        if final.exists():  # the same iteration again, after a resume
            _remove(final)
        os.rename(temporary, final)
        integrity.sync(parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    folders = _folders(parent)
    earlier = [folder for iteration, folder in folders.items() if iteration <= snapshot.iteration]
    later = [folder for iteration, folder in folders.items() if iteration > snapshot.iteration]
    for old in (*earlier[:-keep], *later):
        _remove(old)
    return final


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: [str(value.dtype).removeprefix("torch."), list(value.shape)] for name, value in tensors.items()}


def _remove(folder: Path) -> None:
    """Remove a checkpoint; a kill never leaves part of it under its name."""
    removing = folder.with_name(f".removing-{folder.name}")
    shutil.rmtree(removing, ignore_errors=True)
    try:
        os.rename(folder, removing)
    except OSError:
        return
    shutil.rmtree(removing, ignore_errors=True)


def latest_iteration(run: PathLike) -> int | None:
    """The iteration of the newest checkpoint, None if there is none; no file is read."""
    return max(_folders(Path(run) / "checkpoints"), default=None)


def latest_snapshot(
    run: PathLike,
    *,
    check: Callable[[Snapshot], object] = lambda snapshot: None,
    on_notice: Callable[[str], object] = lambda line: None,
) -> Snapshot | None:
    """The newest checkpoint of a run that is whole, None if it has none.

    Args:
        check: raises ValueError for a checkpoint that does not fit the run; the one before it is tried then.
        on_notice: called with a line for each that is passed over.

    Raises:
        ValueError: none is whole; the fault of the newest.
    """
    parent = Path(run) / "checkpoints"
    faults: list[str] = []
    for iteration, folder in sorted(_folders(parent).items(), reverse=True):
        try:
            snapshot = _read(folder, iteration)
            check(snapshot)
        except ValueError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            on_notice(f"{fault}. The run goes on from the checkpoint of iteration {iteration} instead")
        return snapshot
    if faults:
        others = f", and {len(faults) - 1} before it cannot be used either" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{others}; remove {parent} to train from the start")
    return None


def _read(folder: Path, iteration: int) -> Snapshot:
    """A checkpoint, verified.

    Raises:
        ValueError: it is damaged; the message names the folder.
    """
    try:
        state = integrity.read_json(folder / "state.json")
        if not isinstance(state, dict) or type(state.get("iteration")) is not int:
            raise ValueError("state.json is not the state of a checkpoint")
        if state["iteration"] != iteration:
            raise ValueError(f"state.json says iteration {state['iteration']}")
        old = state.keys() == {"iteration"}
        parts = {} if old else _verified(folder, state)
        tensors = {name: checkpoint.read_tensors(folder / f"{name}.safetensors") for name in _PARTS}
        for name in () if old else _PARTS:
            if _shapes(tensors[name]) != parts[name].get("tensors"):
                raise ValueError(f"{name}.safetensors has other tensors than state.json says")
        for name in ("model", "optimizer"):
            if diverged := checkpoint.not_finite(tensors[name]):
                raise ValueError(f"{name}.safetensors: {checkpoint.some(diverged)} is not finite")
    except ValueError as error:
        fault = str(error).removeprefix(f"{folder}{os.sep}")
        raise ValueError(f"{folder}: damaged checkpoint ({fault})") from None
    except OSError as error:
        raise ValueError(f"{folder}: the checkpoint cannot be read ({error.strerror or error})") from None
    return Snapshot(iteration=iteration, **tensors, facts=None if old else state["facts"])


def _verified(folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    """The parts that a state names, whose files are the ones that were written."""
    if state.get("format") != FORMAT:
        raise ValueError(f"state.json has format {state.get('format')!r}; this version reads {FORMAT}")
    rest = {name: value for name, value in state.items() if name != "sha256"}
    if state.get("sha256") != integrity.sha256_of(rest):
        raise ValueError("state.json was changed since it was written: its SHA-256 is another")
    parts = state.get("parts")
    if not isinstance(parts, dict) or parts.keys() != set(_PARTS) or not isinstance(state.get("facts"), dict):
        raise ValueError(f"state.json should name the parts {', '.join(_PARTS)}")
    for name in _PARTS:
        integrity.verify(folder / f"{name}.safetensors", parts[name], "state.json")
    return parts


def remove_snapshots(run: PathLike) -> None:
    """Remove a finished run's checkpoints; the model stays."""
    parent = Path(run) / "checkpoints"
    for folder in _folders(parent).values():  # the newest last
        _remove(folder)
    shutil.rmtree(parent, ignore_errors=True)


def _folders(parent: Path) -> dict[int, Path]:
    """The folders of checkpoints by iteration, the newest last; whatever else lies there is left alone."""
    named = {path: re.fullmatch(r"iteration-([0-9]{8,15})", path.name) for path in parent.glob("iteration-*")}
    return dict(sorted((int(match[1]), path) for path, match in named.items() if match is not None))
