"""A study: every head with every seed, under one protocol, one record per run, and the cost of each head at the paper's sizes.

Finished runs are not repeated; an interrupted run resumes from its checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segattn import records
from segattn.config import Experiment
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools.labels import refuse_unscorable
from segattn.study import failures
from segattn.study import folder as written
from segattn.study.collect import Facts, head_facts, reference_costs
from segattn.study.engines import Engine, OnEvent
from segattn.study.execution import OnPosition, Position, Runs
from segattn.study.features import FEATURES_LIMIT
from segattn.study.jobs import looked_at
from segattn.study.plan import is_finished, plan, run_name, study_name
from segattn.study.sweep import Settings, paths
from segattn.training import fingerprint, looks, trackers
from segattn.training.train import OnNotice

__all__ = ["OnPosition", "Position", "plan", "reference_costs", "run_name", "run_study", "study_name"]


def run_study(
    config: Experiment,
    out: str | Path,
    *,
    head_names: Sequence[str],
    seeds: Sequence[int] = (0,),
    command: str = "",
    device: str = "auto",
    num_workers: int = 0,
    features: str | Path | None = None,
    features_limit: int = FEATURES_LIMIT,
    fully_trained: Sequence[records.FullyTrained] = (),
    sweep: Sequence[Settings] = (),
    engine: Engine | None = None,
    track: Sequence[str] | None = None,
    on_position: OnPosition = lambda position: None,
    on_event: OnEvent = lambda event: None,
    on_notice: OnNotice = print,
) -> Path:
    """Run everything that is not finished yet; returns the path of the study's record.

    At the end, pictures of where the networks look are written into `looks` in `out`, and named in the record.

    In a head-only study the frozen backbone's maps are computed once and stored. Where they would not fit, the heads of a seed
    are trained side by side, which gives the same networks.

    Args:
        features: folder for the maps; by default `features` in `out`.
        features_limit: bytes that the maps may take; what is free on the disk is a limit too.
        fully_trained: networks of the zoo to show beside the study's; goes into its record.
        sweep: settings of which each is studied with all heads and seeds, in place of the experiment's; see `sweep.grid`.
        engine: what executes the runs; None for this process, one run after the other.
        track: trackers that each run is written to, as in `segattn.training.trackers.check`.
        on_position: called with the progress of this process, and with each run that is finished.
        on_event: called with what an engine tells of its jobs.

    Raises:
        ValueError: as `plan` and `segattn.training.train.train`; no network could be scored on the validation split; a finished
            run has other classes than the data; the engine cannot work here.
        segattn.training.train.Interrupted: a signal was received; the same call resumes the study.
        RunsFailed: jobs of the engine failed; everything else is done.
    """
    trackers.check(track)
    out = Path(out)
    swept = paths(sweep)
    runs = {run_name(run, swept): run for run in plan(config, head_names, seeds, sweep)}
    first = int(os.environ.get("RANK", "0")) == 0  # of several processes, only rank 0 writes and prints
    said: set[str] = set()

    def say_once(notice: str) -> None:
        if first and notice not in said:
            said.add(notice)
            on_notice(notice)

    opened, data = None, next(iter(runs.values())).data
    finished_before = {name: run for name, run in runs.items() if is_finished(out / name, run)}
    if len(finished_before) < len(runs):
        if engine is not None:
            engine.check()
        opened = open_data(data)  # a damaged file fails before the first network is trained
        refuse_unscorable(opened[1])
        on_same = [out / name for name, run in finished_before.items() if run.data == data]
        fingerprint.check_trained_on(on_same, opened)
        for notice in notices(*opened, network=config.model):
            say_once(notice)
    facts = Facts(
        experiment=config.name,
        command=command,
        costs=reference_costs(head_names, config.model.mode),
        head_facts=head_facts(head_names, config.model.mode),
        fully_trained=list(fully_trained),
        swept=swept,
    )
    root, path = out / "features" if features is None else Path(features), out / "study.json"
    study = Runs(runs, swept, out, opened, device, num_workers, root, features_limit, say_once, track)
    pictures = looks.recorded(path) if first else None

    def save(finished: Sequence[str], last: str = "") -> None:
        if first and finished:
            study.write_plan()
            facts.write(out, finished, pictures, on_notice, last=last)

    if first:
        (out / written.CANCEL).unlink(missing_ok=True)
    failed: list[str] = []
    if engine is None:
        finished = study.here(on_position, save)
    else:
        finished, failed = study.on_engine(engine, on_event, on_position, save)
    if first and finished and looked_at(runs, out, finished):
        drawn = looks.update(
            pictures,
            config,
            looked_at(runs, out, finished),
            out,
            lambda: opened[1] if opened else open_split(data, data.val_split, data.val_images),
            device=device,
            allow_modules=[*head_names, data.name],
            on_notice=on_notice,
        )
        if drawn != pictures:
            pictures = drawn
            save(finished)
    failures.refuse(failed, len(runs))
    return path
