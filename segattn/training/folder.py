"""The folder of one run: which experiment it holds, and who writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from segattn import config as configuration
from segattn import records
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.records import integrity
from segattn.training import begun, extension, fits, resume, snapshots
from segattn.training.fingerprint import DataChanged, of_splits
from segattn.training.log import Log
from segattn.training.processes import agreed
from segattn.training.trackers import Trackers


def refuse_another(out: Path, config: Experiment, *, adjust: Collection[str] = ()) -> None:
    """Raise unless the folder is free or holds a run of this experiment, and no process of this machine writes it.

    Nothing is written. The settings of `adjust` may differ in a run that has not ended, and its iterations also in one that has.

    Raises:
        ValueError: the folder holds another experiment's run (naming what differs) or an unknown one, it is in use, or it is a
            file.
    """
    _refuse_another_experiment(out, config, adjust=adjust)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # several processes are refused together, by `open_log`
        records.Lease(out).refuse_if_held()


def _refuse_another_experiment(out: Path, config: Experiment, *, adjust: Collection[str] = ()) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; give a folder for the run")
    path = out / "experiment.json"
    if not path.exists():
        if (out / "checkpoints").exists():
            raise ValueError(
                f"{out} has checkpoints but no experiment.json that names their experiment; choose another --out or remove it"
            )
        return
    try:
        differing = fits.changes(fits.recorded(integrity.read_json(path)), configuration.to_dict(config))
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None
    has_ended, only_longer = (out / "record.json").exists(), differing.keys() == {extension.ITERATIONS}
    if not differing.keys() <= set(adjust) or (has_ended and differing and not only_longer):
        advice, now = "choose another --out", config.optimization.iterations
        if differing.keys() <= set(fits.ADJUSTABLE) and not has_ended and snapshots.latest_iteration(out):
            advice += ", or add --resume-from-good to go on from its last checkpoint with these settings"
        if only_longer and differing[extension.ITERATIONS] < now:
            advice += f", or add --extend-to {now} to go on with the longer schedule"
        raise ValueError(f"{out} holds the run of another experiment (different: {', '.join(differing)}); {advice}")


_WRITING = tuple(
    f".{name}." for name in ("experiment.json", "log.jsonl", "config.json", "record.json", "model", "per_image")
)
"""Prefixes of temporary files, which are renamed when they are complete."""


def claim(
    out: Path, config: Experiment, data: Mapping[str, Any] | None = None, *, adjust: Collection[str] = ()
) -> None:
    """Write the experiment, and the fingerprint of its data, into the run's folder; `adjust` as in `refuse_another`.

    Raises:
        ValueError: the folder holds another run, as in `refuse_another`, the data have changed since it began, or the folder
            cannot be written.
    """
    _refuse_another_experiment(out, config, adjust=adjust)
    for leftover in out.glob(".*"):  # partly written files of a killed process
        if leftover.name.startswith(_WRITING):
            leftover.unlink(missing_ok=True)
    path, wanted = out / "experiment.json", {**configuration.to_dict(config), "run": begun.written(_begun(out, data))}
    if path.exists() and integrity.read_json(path) == wanted:
        return
    try:
        records.write_bytes(json.dumps(wanted, indent=1).encode() + b"\n", path)
    except OSError as error:
        raise ValueError(f"cannot write the run into {out}: {error.strerror}") from error


def _begun(out: Path, data: Mapping[str, Any] | None) -> begun.Begun:
    """What the run began with; one that has no checkpoint begins now."""
    before, latest = begun.read(out), snapshots.latest_iteration(out)
    if latest is None:
        return begun.Begun(data=data)
    if before is None:  # of version 0.1.0
        return begun.Begun(data=data, without_digests=latest)
    if data is None or before.data is None:
        return replace(before, data=before.data or data)
    try:
        fits.check_data(out, before.data, data)
    except DataChanged as error:
        raise ValueError(str(error)) from None
    return before


def ended(out: Path) -> records.RunRecord | None:
    """The record of the finished run in this folder, or None; removes what a kill left behind: checkpoints, a lease, files."""
    path = out / "record.json"
    if not path.exists() or not (out / "experiment.json").exists():
        return None
    record: records.RunRecord = records.read(path)
    if (out / "checkpoints").exists() or records.Lease(out).path.exists():
        with suppress(ValueError), records.Lease(out, watch=False):  # or its holder removes them
            snapshots.remove_snapshots(out)
    records.sweep(out)
    return record


def open_log(
    out: Path,
    config: Experiment,
    opened: tuple[Dataset, Dataset],
    state: resume.State,
    accelerator: Accelerator,
    on_notice: Callable[[str], object],
    *,
    adjust: Collection[str] = (),
    track: Sequence[str] | None = None,
) -> Log:
    """Claim the folder, restore `state` from its newest checkpoint, open its log; rank 0 takes the lease of the folder.

    The log has the facts that checkpoints of the run carry; its `close` releases the lease and ends the trackers. `adjust` is as
    in `refuse_another`, `track` as in `trackers.check`.

    Raises:
        ValueError: as `claim`, `resume.restored` and `Trackers.begin`; another process writes the folder or finished the run
            since `ended` was called, or the processes see different checkpoints.
    """
    rank, first = accelerator.process_index, accelerator.is_main_process
    identity = resume.Identity(config, of_splits(*opened), adjust)
    lease = records.Lease(out, on_notice=on_notice) if first else None
    trackers = Trackers(accelerator, config, out, on_notice) if first else Trackers()
    with ExitStack() as until_opened:
        with agreed(accelerator):
            if lease is not None:
                until_opened.enter_context(lease)
                if extension.ITERATIONS in adjust and (out / "record.json").exists():
                    extension.reopen(out, config, state, identity.data)
                if ended(out) is not None:
                    raise ValueError(
                        f"{out}: another process has just finished this run; its record is {out / 'record.json'}"
                    )
                until_opened.callback(trackers.close)
                trackers.begin(track, resumed=snapshots.latest_iteration(out) is not None)
                claim(out, config, identity.data, adjust=adjust)
        with agreed(accelerator):
            before = begun.read(out)
            identity = replace(identity, without_digests=before.without_digests if before is not None else 0)
            resume.seed_process(config.seed, rank, 0)
            tell = on_notice if first else lambda line: None
            snapshot = resume.restored(out, state, seed=config.seed, rank=rank, identity=identity, on_notice=tell)
            if changed := extension.notice(out, snapshot, config):
                tell(changed)
        start = 0 if snapshot is None else snapshot.iteration
        if accelerator.num_processes > 1:
            if len(set(gather_object([start]))) > 1:
                raise ValueError(
                    f"the processes see different checkpoints in {out}; use a folder that all machines share"
                )
            if state.dropout is not None:
                state.dropout.follow(gather_object([resume.random_state()])[0])
        with agreed(accelerator):
            log = Log(out / "log.jsonl", start, active=first, lease=lease, trackers=trackers)
            if first:
                trackers.write(track, start=start)
            log.facts = _facts(snapshot, identity)
        until_opened.pop_all()
    return log


def _facts(snapshot: snapshots.Snapshot | None, identity: resume.Identity) -> dict[str, Any]:
    """What a run's checkpoints say of it; `earlier` has the settings that a part of the training had before they changed."""
    wanted = configuration.to_dict(identity.config)
    earlier: list[Any] = []
    if snapshot is not None and snapshot.facts is not None:
        earlier = list(snapshot.facts["earlier"])
        if differing := fits.changes(fits.recorded(snapshot.facts["experiment"]), wanted):
            fresh = {"fresh_momentum": True} if snapshot.facts.get("finished") else {}
            earlier.append({"until": snapshot.iteration, "settings": differing, **fresh})
    return {"experiment": wanted, "data": identity.data, "earlier": earlier}
