"""Whether a checkpoint is one of this run: its experiment, data and log, and the names, shapes and types of all its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from segattn import config as configuration
from segattn.config import Experiment
from segattn.records import EarlierSettings
from segattn.training import fingerprint, log
from segattn.training.snapshots import Snapshot

ADJUSTABLE = tuple(
    f"optimization.{name}"
    for name in (
        *("lr", "min_lr", "poly_power", "warmup", "warmup_ratio", "head_lr_factor", "layer_decay"),
        *("momentum", "betas", "weight_decay", "clip_norm", "precision"),
    )
)
"""Settings that a diverged run may change when it goes on from its last good checkpoint."""


def changes(before: Any, now: Any, path: str = "") -> dict[str, Any]:
    """The settings in which two experiments (as dictionaries) differ, by path, with their values before."""
    if isinstance(before, dict) and isinstance(now, dict):
        both = sorted(before.keys() | now.keys())
        nested = [changes(before.get(key), now.get(key), f"{path}.{key}".strip(".")) for key in both]
        return {where: value for each in nested for where, value in each.items()}
    return {} if before == now else {path: before}


def recorded(raw: Any) -> dict[str, Any]:
    """A written experiment; settings that an older version did not have take their defaults.

    Raises:
        ValueError: it is no experiment.
    """
    return configuration.to_dict(configuration.from_dict(raw, allow_modules=None))


def check_run(
    snapshot: Snapshot, out: Path, config: Experiment, data: Mapping[str, Any], *, adjust: Collection[str]
) -> None:
    """Raise unless the checkpoint was written by this run; for one of version 0.1.0 only the log can be checked.

    Args:
        adjust: settings that may differ.

    Raises:
        fingerprint.DataChanged: it is this run's, and the data are not those that it began with.
        ValueError: another experiment, or the log is not the one that it counts on.
    """
    facts, where = snapshot.facts, f"{out}: the checkpoint of iteration {snapshot.iteration}"
    lines = log.read(out / "log.jsonl", snapshot.iteration)
    if facts is None:
        return
    differing = changes(recorded(facts.get("experiment")), configuration.to_dict(config))
    if not differing.keys() <= set(adjust):
        advice = "; add --resume-from-good to go on with these settings" if differing.keys() <= set(ADJUSTABLE) else ""
        if differing.keys() == {"optimization.iterations"}:
            advice = f"; add --extend-to {config.optimization.iterations} to go on with the longer schedule"
        raise ValueError(f"{where} is of another experiment (different: {', '.join(differing)}){advice}")
    check_data(out, facts.get("data"), data)
    if log.fingerprint(lines) != facts.get("log"):
        raise ValueError(f"{where} counts on another log: the lines of {out / 'log.jsonl'} up to there have changed")
    try:
        msgspec.convert(facts.get("earlier"), list[EarlierSettings])
    except msgspec.ValidationError as error:
        raise ValueError(f"{where} names no settings of before ({error!s:.200})") from None


def check_digests(snapshot: Snapshot, out: Path, without_digests: int) -> None:
    """Raise ValueError for a checkpoint without digests, unless version 0.1.0 wrote it: one up to iteration `without_digests`."""
    if snapshot.facts is None and snapshot.iteration > without_digests:
        raise ValueError(
            f"{out}: the checkpoint of iteration {snapshot.iteration} has a state.json without digests, and version 0.1.0, which "
            "wrote such, did not write this one: it is damaged"
        )


def check_data(out: Path, before: Any, now: Mapping[str, Any]) -> None:
    """Raise fingerprint.DataChanged unless the data are those that the run in `out` began with.

    Raises:
        ValueError: `before` is no fingerprint.
    """
    if difference := fingerprint.difference(before, now):
        raise fingerprint.DataChanged(
            f"{out}: the data have changed since this run began: {difference}. Restore them to go on, or choose another --out"
        )


def check_tensors(
    snapshot: Snapshot, model: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], *, where: Path
) -> None:
    """Raise ValueError for a tensor that this run has in another shape or type.

    Args:
        model: the network's weights and statistics.
        optimizer: what has momentum, by the names of the parameters, and the averages.
        where: the run's folder, for messages.
    """
    named = f"{where}: the checkpoint of iteration {snapshot.iteration}"
    for part, own, tensors in (("network", model, snapshot.model), ("optimiser", optimizer, snapshot.optimizer)):
        for name in tensors.keys() & own.keys():
            if (tensors[name].shape, tensors[name].dtype) != (own[name].shape, own[name].dtype):
                raise ValueError(
                    f"{named} has {name} of the {part} as {_described(tensors[name])}; here it is {_described(own[name])}"
                )


def check_generators(snapshot: Snapshot, *, rank: int, where: Path) -> None:
    """Raise ValueError unless there are usable states of the random generators, and of nothing else."""
    named = f"{where}: the checkpoint of iteration {snapshot.iteration}"
    unknown = sorted(name for name in snapshot.random if not re.fullmatch(r"(cpu|cuda)(\.[0-9]+)?|scaler", name))
    if unknown:
        raise ValueError(f"{named} has an unknown random generator {unknown[0]}")
    if rank == 0 and "cpu" not in snapshot.random:
        raise ValueError(f"{named} has no state of the random generator")
    for name, value in snapshot.random.items():
        fault = _fault_of_generator(name.partition(".")[0], value)
        if fault:
            raise ValueError(f"{named} has a random generator {name} that cannot be used: {fault}")


def _described(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {'x'.join(map(str, value.shape)) or 'scalar'}"


def _fault_of_generator(kind: str, value: Tensor) -> str:
    if kind == "scaler":
        right = value.dtype == torch.float64 and value.shape == (2,) and bool(value.isfinite().all()) and value[0] > 0
        return "" if right else "a gradient scaler has two positive numbers"
    if value.dtype != torch.uint8 or value.dim() != 1:
        return f"{_described(value)} instead of bytes"
    if kind == "cpu":
        try:
            torch.Generator().set_state(value)
        except (RuntimeError, TypeError) as error:
            return str(error).splitlines()[0]
    return ""
