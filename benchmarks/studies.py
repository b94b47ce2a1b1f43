"""What executing a study by an engine costs, what it survives, and how long a large study takes to list.

    python -m benchmarks.studies overhead --engine local          seconds per job above `train` in a loop (goal: below 0.5)
    python -m benchmarks.studies chaos --engine ray --kills 20    a random worker is killed after every second new checkpoint
    python -m benchmarks.studies many --runs 1000                 planning, status and report of recorded runs (goals: 5, 5, 60 s)
    python -m benchmarks.studies many --runs 1000 --sweep         the same for 100 settings of each head instead of 100 seeds

Each writes its figures into the file of `-o`, beside those of the other parts. Overhead is the median time between the end
of one job and the end of the next one, minus the same in a loop of `train` in one process; the first job of each, which loads
libraries, does not count. Chaos compares all records, counts of images and networks with those of an undisturbed study, bit for
bit, on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import re
import resource
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.recorded import record_runs
from segattn import records, report
from segattn.config import Augmentation, Data, Evaluation, Experiment, Model, Optimization
from segattn.data.splits import open_data
from segattn.study import run as study
from segattn.study.engines import watching
from segattn.study.engines.local import Local
from segattn.study.engines.ray import Ray
from segattn.study.folder import write as write_plan
from segattn.study.plan import plan, run_name
from segattn.study.status import counts, status
from segattn.training.results import environment_of
from segattn.training.snapshots import latest_iteration
from segattn.training.train import train

HEADS = ("fcn", "ccnet")
TIMED = ("created", "train_seconds", "evaluate_seconds", "environment")
"""What two records of the same run may differ in."""


def experiment(iterations: int) -> Experiment:
    """The smallest one that goes through everything; a checkpoint after every iteration."""
    return Experiment(
        name="tiny",
        data=Data(size=(32, 64), train_images=5, val_images=3),
        augmentation=Augmentation(crop_size=(32, 48)),
        model=Model(
            backbone="resnet18",
            align_corners=False,
            head_options={"channels": 8},
            backbone_options={"width": 8},
        ),
        optimization=Optimization(iterations=iterations, batch_size=2, lr=0.05, precision="fp32"),
        evaluation=Evaluation(examples=0, strata=False, without_attention=False),
        validate_every=0,
        checkpoint_every=1,
        log_every=1,
    )


def engine_of(name: str, jobs: int) -> Any:
    """The engine with `jobs` jobs at a time, each on one core."""
    return {"local": Local, "ray": Ray}[name](jobs=jobs, cores_per_run=1, device="cpu")


def run(out: Path, iterations: int, seeds: int, engine: Any, on_event: Callable[[Any], object]) -> None:
    """The study of both heads; without costs at the paper's sizes, and without pictures."""
    with (
        mock.patch.object(study, "reference_costs", return_value=[]),
        mock.patch.object(study.looks, "update", lambda previous, *rest, **options: previous),
        mock.patch.object(watching, "EVERY", 0.2),
    ):
        study.run_study(
            experiment(iterations),
            out,
            head_names=HEADS,
            seeds=range(seeds),
            device="cpu",
            engine=engine,
            on_event=on_event,
            on_notice=lambda line: None,
        )


# Overhead -----------------------------------------------------------------------------------------------------------------
def overhead(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds from the end of one job to the end of the next one, with an engine and in a loop."""
    opened, ends = open_data(experiment(2).data), []
    for number, each in enumerate(plan(experiment(2), HEADS, range(chosen.runs // 2))):
        train(each, folder / f"loop-{number}", device="cpu", opened=opened, on_notice=lambda line: None)
        ends.append(time.perf_counter())
    loop, ends_of_jobs = _between(ends), []

    def note(event: Any) -> None:
        if event.state == "finished":
            ends_of_jobs.append(time.perf_counter())

    run(folder / "study", 2, chosen.runs // 2, engine_of(chosen.engine, 1), note)
    jobs = _between(ends_of_jobs)
    return {
        "runs": chosen.runs,
        "loop_seconds": statistics.median(loop),
        "engine_seconds": statistics.median(jobs),
        "overhead_seconds": statistics.median(jobs) - statistics.median(loop),
        "loop_all": loop,
        "engine_all": jobs,
    }


def _between(ends: Sequence[float]) -> list[float]:
    return [round(end - begin, 4) for begin, end in itertools.pairwise(ends)]


# Chaos --------------------------------------------------------------------------------------------------------------------
def chaos(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill workers at random while the study runs; compare its records with those of an undisturbed one."""
    each, begun = chosen.runs // len(HEADS), time.perf_counter()
    run(folder / "undisturbed", chosen.iterations, each, None, lambda event: None)
    undisturbed, out, retried = time.perf_counter(), folder / "chaos", []

    def note(event: Any) -> None:
        if event.state == "retried":
            retried.append(event.job.name)

    with killing(out, chosen.kills, random.Random(chosen.seed)) as killed:
        run(out, chosen.iterations, each, engine_of(chosen.engine, 2), note)
    wanted, records_of_chaos = results(folder / "undisturbed"), results(out)
    return {
        "runs": len(wanted),
        "seed": chosen.seed,
        "kills": len(killed),
        "killed": killed,
        "retried": len(retried),
        "equal": sum(records_of_chaos.get(name) == record for name, record in wanted.items()),
        "undisturbed_seconds": undisturbed - begun,
        "chaos_seconds": time.perf_counter() - undisturbed,
    }


def results(out: Path) -> dict[str, Any]:
    """By run, its record without times and places, its counts of images, and its network's file."""
    of_runs = {}
    for path in records.read(out / "study.json").runs:
        raw = dataclasses.asdict(records.read(out / path))
        files = [(out / path).with_name(name).read_bytes() for name in ("model.safetensors", "per_image.npz")]
        of_runs[path] = ({name: value for name, value in raw.items() if name not in TIMED}, files)
    return of_runs


@contextlib.contextmanager
def killing(out: Path, kills: int, dice: random.Random) -> Iterator[list[str]]:
    """Kill a worker at every second new checkpoint, `kills` times; yields the names of the runs that were hit.

    The worker is drawn from those whose run has a new checkpoint since it was last hit, so no run fails for want of progress.
    """
    killed: list[str] = []
    done = threading.Event()

    def watch() -> None:
        latest: dict[Path, int] = {}
        fresh: set[Path] = set()
        new = 0
        while len(killed) < kills and not done.wait(0.01):
            for folder in out.glob("*-s*"):
                iteration = latest_iteration(folder)
                if iteration is not None and iteration > latest.get(folder, -1):
                    latest[folder] = iteration
                    fresh.add(folder)
                    new += 1
            holders = {folder: pid for folder in sorted(fresh) if (pid := _holder(folder)) is not None}
            if new >= 2 and holders:
                folder = dice.choice(list(holders))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(holders[folder], signal.SIGKILL)
                    killed.append(folder.name)
                    fresh.discard(folder)
                    new = 0

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def _holder(folder: Path) -> int | None:
    """The process that trains the run in this folder; None where no process holds its lease, or this one does."""
    try:
        pid = re.search(r"^pid=(\d+)$", (folder / ".lease").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if pid is None or int(pid[1]) == os.getpid() else int(pid[1])


# Many runs ----------------------------------------------------------------------------------------------------------------
MANY_HEADS = ("fcn", "ccnet", "danet", "dnlnet", "emanet", "flanet", "isanet", "non_local", "denoised_nl", "reconet")


def many(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times of planning, status and report where all runs are recorded, each with the counts of its images."""
    repeats = max(1, chosen.runs // len(MANY_HEADS))
    rates = [{"optimization.lr": 0.01 * (1 + number)} for number in range(repeats)] if chosen.sweep else []
    seeds = [0] if chosen.sweep else range(repeats)
    out, swept = folder / "many", ["optimization.lr"] if chosen.sweep else []
    runs = {run_name(each, swept): each for each in plan(experiment(20), MANY_HEADS, seeds, rates)}
    record_runs(runs, swept, folder, out, num_images=chosen.images)
    begun = time.perf_counter()
    plan(experiment(20), MANY_HEADS, seeds, rates)
    write_plan(out, runs, swept)
    planned = time.perf_counter()
    states = counts(status(out))
    looked = time.perf_counter()
    computed = time.process_time()
    report.build(out, folder / "report")
    reported = time.perf_counter()
    return {
        "runs": len(runs),
        "images": chosen.images,
        "states": states,
        "plan_seconds": planned - begun,
        "status_seconds": looked - planned,
        "report_seconds": reported - looked,
        "report_cpu_seconds": time.process_time() - computed,
        "report_bytes": sum(file.stat().st_size for file in (folder / "report").rglob("*") if file.is_file()),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


PARTS = {"overhead": overhead, "chaos": chaos, "many": many}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=6, help="of each run of the chaos study")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of workers to kill")
    parser.add_argument("--images", type=int, default=500, help="of each recorded run")
    parser.add_argument("--sweep", action="store_true", help="recorded runs differ in a setting instead of the seed")
    parser.add_argument("-o", "--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = PARTS[chosen.part](chosen, Path(folder))
    environment = dataclasses.asdict(environment_of(torch.device("cpu"), "fp32"))
    kind = ("sweep" if chosen.sweep else "seeds") if chosen.part == "many" else chosen.engine
    name = f"{chosen.part}-{kind}"
    written = {name: {"environment": environment, "figures": figures}}
    print(json.dumps({key: value for key, value in figures.items() if not key.endswith("_all")}, indent=1))
    if chosen.out is not None:
        before = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
        chosen.out.write_text(json.dumps({**before, **written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
