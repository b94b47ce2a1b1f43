"""Everything that training changes, written into checkpoints and restored from them exactly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segattn.config import Experiment
from segattn.model import SegmentationModel
from segattn.records import integrity
from segattn.training import fits, optimizer_state, snapshots
from segattn.training.averaging import WeightAverage
from segattn.training.dropout import SharedDropout
from segattn.training.fingerprint import DataChanged


@dataclass(frozen=True)
class State:
    """Everything that training changes."""

    model: SegmentationModel
    optimizer: Any
    scaler: Any = None
    """fp16's gradient scaler."""
    average: WeightAverage | None = None
    dropout: SharedDropout | None = None
    """Of several processes."""

    @property
    def moving(self) -> dict[str, Tensor]:
        """The optimiser's tensors by name, and the averages of the weights under a prefix."""
        averages = {} if self.average is None else self.average.values
        own = optimizer_state.tensors(self.model, self.optimizer)
        return own | {_AVERAGE + name: value for name, value in averages.items()}


_AVERAGE = "average."  # prefix of the averaged parameters among the optimiser's tensors


@dataclass(frozen=True)
class Identity:
    """What a checkpoint must have been written by."""

    config: Experiment
    data: Mapping[str, Any]
    """The fingerprint of the data."""
    adjust: Collection[str] = ()
    """Settings with other values of which the run may go on."""
    without_digests: int = 0
    """The last iteration whose checkpoint may be one of version 0.1.0, as `begun.Begun.without_digests`."""


def save(
    out: Path,
    state: State,
    iteration: int,
    random: Sequence[dict[str, Tensor]],
    facts: Mapping[str, Any] | None = None,
    *,
    first: Callable[[], object] = lambda: None,
) -> None:
    """Write a checkpoint; `random` holds the random states of all processes, in order of rank, `facts` what the run is.

    `first` flushes to disk what the checkpoint counts on.

    Raises:
        ValueError: the disk is full or the folder cannot be written; earlier checkpoints are kept.
    """
    optimizer = state.moving
    generators = {_of_rank(name, rank): value for rank, own in enumerate(random) for name, value in own.items()}
    if state.scaler is not None:
        scaler = state.scaler.state_dict()
        generators["scaler"] = torch.tensor([scaler["scale"], scaler["_growth_tracker"]], dtype=torch.float64)
    snapshot = snapshots.Snapshot(iteration, state.model.state_dict(), optimizer, generators, facts or {})
    try:
        first()
        snapshots.save_snapshot(snapshot, out)
    except OSError as error:
        before = snapshots.latest_iteration(out)
        kept = "there is no earlier one" if before is None else f"the one of iteration {before} is kept"
        raise ValueError(
            f"the checkpoint of iteration {iteration} cannot be written into {out / 'checkpoints'}: "
            f"{error.strerror or error}; {kept}. Free some disk space and run the same command again"
        ) from error


def restore(out: Path, state: State, *, seed: int, rank: int = 0) -> int:
    """Load the newest checkpoint that is whole into `state` and the random generators; returns its iteration, 0 if there is none.

    Raises:
        ValueError: there are checkpoints, and none is whole and of this network; the fault of the newest.
    """
    snapshot = restored(out, state, seed=seed, rank=rank)
    return 0 if snapshot is None else snapshot.iteration


def restored(
    out: Path,
    state: State,
    *,
    seed: int,
    rank: int,
    identity: Identity | None = None,
    on_notice: Callable[[str], object] = lambda line: None,
) -> snapshots.Snapshot | None:
    """As `restore`, for checkpoints that `identity` has written; returns the checkpoint."""

    def load(snapshot: snapshots.Snapshot) -> None:
        if identity is not None:
            fits.check_digests(snapshot, out, identity.without_digests)
            fits.check_run(snapshot, out, identity.config, identity.data, adjust=identity.adjust)
        _load(snapshot, out, state, rank)

    try:
        snapshot = snapshots.latest_snapshot(out, check=load, on_notice=on_notice)
    except DataChanged as error:
        raise ValueError(str(error)) from None
    if snapshot is None:
        return None
    if _of_rank("cpu", rank) not in snapshot.random:  # the run had fewer processes when it was saved
        seed_process(seed, rank, snapshot.iteration)
        return snapshot
    torch.set_rng_state(snapshot.random[_of_rank("cpu", rank)])
    if _of_rank("cuda", rank) in snapshot.random and torch.cuda.is_available():
        torch.cuda.set_rng_state(snapshot.random[_of_rank("cuda", rank)])
    return snapshot


def _load(snapshot: snapshots.Snapshot, out: Path, state: State, rank: int) -> None:
    """Load all but the random generators.

    Raises:
        ValueError: the checkpoint has not the tensors of this run: another version wrote it, or it was changed.
    """
    own = optimizer_state.expected(state.model, state.optimizer)
    averages = {} if state.average is None else {_AVERAGE + name: v for name, v in state.average.values.items()}
    fits.check_tensors(snapshot, state.model.state_dict(), {**own, **averages}, where=out)
    named = f"{out}: the checkpoint of iteration {snapshot.iteration}"
    try:
        state.model.load_state_dict(snapshot.model)
    except RuntimeError as error:
        raise ValueError(f"{named} does not fit this network ({integrity.one_line(error)})") from None
    momenta = {name: value for name, value in snapshot.optimizer.items() if not name.startswith(_AVERAGE)}
    may_be_empty = snapshot.facts is not None or not state.optimizer.param_groups[0].get("momentum", 1)
    optimizer_state.check(state.model, state.optimizer, momenta, where=named, may_be_empty=may_be_empty)
    if snapshot.optimizer.keys() - momenta.keys() != averages.keys():
        raise ValueError(f"{named} has not the averages of the weights that this run has")
    fits.check_generators(snapshot, rank=rank, where=out)
    optimizer_state.load(state.model, state.optimizer, momenta)
    if state.average is not None:
        state.average.load({name: snapshot.optimizer[_AVERAGE + name] for name in state.average.values})
    if state.scaler is not None and "scaler" in snapshot.random:
        scale, tracker = snapshot.random["scaler"].tolist()
        state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})


def averages_of(state: State, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The averages of the weights as checkpoints hold them, all equal to these weights; {} where the run has none."""
    names = () if state.average is None else state.average.values
    return {_AVERAGE + name: weights[name] for name in names}


def seed_process(seed: int, rank: int, iteration: int) -> None:
    """Seed each process differently, for what heads draw besides `SharedDropout`; rank 0 keeps its generator state."""
    if rank > 0:
        torch.manual_seed(int(np.random.SeedSequence((seed, rank, iteration)).generate_state(1)[0]))


def _of_rank(name: str, rank: int) -> str:
    return f"{name}.{rank}" if rank else name


def random_state() -> dict[str, Tensor]:
    """States of torch's random generators."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Continue from states that `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
