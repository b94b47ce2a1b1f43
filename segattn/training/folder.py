"""The folder of one run: which experiment it holds, who writes it, and the checkpoints that an interrupted run resumes from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from segattn import checkpoint, records
from segattn import config as configuration
from segattn.config import Experiment
from segattn.model import SegmentationModel
from segattn.training.averaging import WeightAverage
from segattn.training.dropout import SharedDropout
from segattn.training.log import Log
from segattn.training.processes import agreed


def refuse_another(out: Path, config: Experiment) -> None:
    """Raise unless the folder is free or holds a run of this experiment, and no process of this machine writes it.

    Nothing is written.

    Raises:
        ValueError: the folder holds another experiment's run (naming what differs) or an unknown one, it is in use, or it is a
            file.
    """
    _refuse_another_experiment(out, config)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # several processes are refused together, by `open_log`
        records.Lease(out).refuse_if_held()


def _refuse_another_experiment(out: Path, config: Experiment) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; give a folder for the run")
    path = out / "experiment.json"
    if not path.exists():
        if (out / "checkpoints").exists():
            raise ValueError(
                f"{out} has checkpoints but no experiment.json that names their experiment; choose another --out or remove it"
            )
        return
    # read as an experiment: settings that an older version did not have take their defaults
    try:
        recorded = configuration.to_dict(configuration.from_dict(records.read_json(path), allow_modules=None))
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    wanted = configuration.to_dict(config)
    if recorded != wanted:
        differing = ", ".join(sorted(_differences(recorded, wanted)))
        raise ValueError(f"{out} holds the run of another experiment (different: {differing}); choose another --out")


_WRITING = tuple(
    f".{name}." for name in ("experiment.json", "log.jsonl", "config.json", "record.json", "model", "per_image")
)
"""Prefixes of temporary files, which are renamed when they are complete."""


def claim(out: Path, config: Experiment) -> None:
    """Write the experiment into the run's folder.

    Raises:
        ValueError: the folder holds another run, as in `refuse_another`, or it cannot be written.
    """
    _refuse_another_experiment(out, config)
    for leftover in out.glob(".*"):  # partly written files of a killed process
        if leftover.name.startswith(_WRITING):
            leftover.unlink(missing_ok=True)
    path = out / "experiment.json"
    if path.exists():
        return
    try:
        records.write_bytes(json.dumps(configuration.to_dict(config), indent=1).encode() + b"\n", path)
    except OSError as error:
        raise ValueError(f"cannot write the run into {out}: {error.strerror}") from error


def ended(out: Path) -> records.RunRecord | None:
    """The record of the finished run in this folder, or None; removes what a kill left behind: checkpoints, a lease, files."""
    path = out / "record.json"
    if not path.exists() or not (out / "experiment.json").exists():
        return None
    record: records.RunRecord = records.read(path)
    if (out / "checkpoints").exists() or records.Lease(out).path.exists():
        with suppress(ValueError), records.Lease(out, watch=False):  # or its holder removes them
            checkpoint.remove_snapshots(out)
    records.sweep(out)
    return record


def open_log(
    out: Path, config: Experiment, state: State, accelerator: Accelerator, on_notice: Callable[[str], object]
) -> Log:
    """Claim the folder, restore `state` from its newest checkpoint, open its log; rank 0 takes the lease of the folder.

    The log's `close` releases the lease.

    Raises:
        ValueError: as `claim` and `restore`, another process writes the folder or finished the run since `ended` was called, or
            the processes see different checkpoints.
    """
    rank, first = accelerator.process_index, accelerator.is_main_process
    lease = records.Lease(out, on_notice=on_notice) if first else None
    with ExitStack() as until_opened:
        with agreed(accelerator):
            if lease is not None:
                until_opened.enter_context(lease)
                if ended(out) is not None:
                    raise ValueError(
                        f"{out}: another process has just finished this run; its record is {out / 'record.json'}"
                    )
                claim(out, config)
        with agreed(accelerator):
            seed_process(config.seed, rank, 0)
            start = restore(out, state, seed=config.seed, rank=rank)
        if accelerator.num_processes > 1:
            if len(set(gather_object([start]))) > 1:
                raise ValueError(
                    f"the processes see different checkpoints in {out}; use a folder that all machines share"
                )
            if state.dropout is not None:
                state.dropout.follow(gather_object([random_state()])[0])
        with agreed(accelerator):
            log = Log(out / "log.jsonl", start, active=first, lease=lease)
        until_opened.pop_all()
    return log


def _differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Paths at which two configurations differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from _differences(a.get(key), b.get(key), f"{path}.{key}".strip("."))
    elif a != b:
        yield path


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


_AVERAGE = "average."  # prefix of the averaged parameters among the optimiser's tensors


def save(out: Path, state: State, iteration: int, random: Sequence[dict[str, Tensor]]) -> None:
    """Write a checkpoint; `random` holds the random states of all processes, in order of rank.

    Raises:
        ValueError: the disk is full or the folder cannot be written; earlier checkpoints are kept.
    """
    optimizer = momentum(state.model, state.optimizer)
    if state.average is not None:
        optimizer |= {_AVERAGE + name: value for name, value in state.average.values.items()}
    generators = {_of_rank(name, rank): value for rank, own in enumerate(random) for name, value in own.items()}
    if state.scaler is not None:
        scaler = state.scaler.state_dict()
        generators["scaler"] = torch.tensor([scaler["scale"], scaler["_growth_tracker"]], dtype=torch.float64)
    snapshot = checkpoint.Snapshot(
        iteration=iteration, model=state.model.state_dict(), optimizer=optimizer, random=generators
    )
    try:
        checkpoint.save_snapshot(snapshot, out)
    except OSError as error:
        before = checkpoint.latest_iteration(out)
        kept = "there is no earlier one" if before is None else f"the one of iteration {before} is kept"
        raise ValueError(
            f"the checkpoint of iteration {iteration} cannot be written into {out / 'checkpoints'}: "
            f"{error.strerror or error}; {kept}. Free some disk space and run the same command again"
        ) from error


def restore(out: Path, state: State, *, seed: int, rank: int = 0) -> int:
    """Load the newest checkpoint into `state` and the random generators; returns its iteration, 0 if there is none.

    Raises:
        ValueError: it has the momentum of a parameter that the network does not have: another version wrote it.
    """
    snapshot = checkpoint.latest_snapshot(out)
    if snapshot is None:
        return 0
    state.model.load_state_dict(snapshot.model)
    parameters = dict(state.model.named_parameters())
    for name, momentum in snapshot.optimizer.items():
        if name.startswith(_AVERAGE):
            continue
        if name not in parameters:
            raise ValueError(
                f"{out}: the checkpoint of iteration {snapshot.iteration} has the momentum of {name}, which this network does "
                f"not have: another version wrote it; remove {out / 'checkpoints'} to train from the start"
            )
        parameter = parameters[name]
        buffer = torch.empty_like(parameter).copy_(momentum)  # in the parameter's memory format
        state.optimizer.state[parameter] = {"momentum_buffer": buffer}
    if state.average is not None:
        averages = {
            name.removeprefix(_AVERAGE): v for name, v in snapshot.optimizer.items() if name.startswith(_AVERAGE)
        }
        state.average.load(averages)
    if state.scaler is not None and "scaler" in snapshot.random:
        scale, tracker = snapshot.random["scaler"].tolist()
        state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": scale, "_growth_tracker": int(tracker)})
    if _of_rank("cpu", rank) not in snapshot.random:  # the run had fewer processes when it was saved
        seed_process(seed, rank, snapshot.iteration)
        return snapshot.iteration
    torch.set_rng_state(snapshot.random[_of_rank("cpu", rank)])
    if _of_rank("cuda", rank) in snapshot.random and torch.cuda.is_available():
        torch.cuda.set_rng_state(snapshot.random[_of_rank("cuda", rank)])
    return snapshot.iteration


def seed_process(seed: int, rank: int, iteration: int) -> None:
    """Seed each process differently, for what heads draw besides `SharedDropout`; rank 0 keeps its generator state."""
    if rank > 0:
        torch.manual_seed(int(np.random.SeedSequence((seed, rank, iteration)).generate_state(1)[0]))


def _of_rank(name: str, rank: int) -> str:
    return f"{name}.{rank}" if rank else name


def momentum(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """The optimiser's momentum buffers by parameter name."""
    state = optimizer.state
    return {
        name: state[parameter]["momentum_buffer"]
        for name, parameter in model.named_parameters()
        if state.get(parameter, {}).get("momentum_buffer") is not None
    }


def random_state() -> dict[str, Tensor]:
    """States of torch's random generators."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Continue from states that `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
