"""What executing a study by an engine costs, what it survives, and how long a large study takes to list.

    python -m benchmarks.studies overhead --engine local          seconds per job above `train` in a loop (goal: below 0.5)
    python -m benchmarks.studies chaos --engine ray --times 20    random workers are killed, one after every second checkpoint
    python -m benchmarks.studies many --runs 1000                 planning, status and report of recorded runs (goals: 5, 5, 60 s)

Each writes its figures into the file of `-o`, beside those of the other parts. Overhead is the median time between the end
of one job and the end of the next one, minus the same in a loop of `train` in one process; the first job of each, which loads
libraries, does not count. Chaos compares all records with those of an undisturbed study, bit for bit, on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from segattn import config as configuration
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
    study.reference_costs = lambda names, mode: []  # type: ignore[assignment]
    study.looks.update = lambda previous, *rest, **options: previous  # type: ignore[assignment]
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
    """Kill workers at random while the study runs, again and again; compare with an undisturbed one."""
    run(folder / "undisturbed", chosen.iterations, chosen.runs // 2, None, lambda event: None)
    wanted = results(folder / "undisturbed")
    outcomes = []
    for number in range(chosen.times):
        out, dice = folder / f"chaos-{number}", random.Random(number)
        with killing(out, chosen.engine, dice) as killed:
            run(out, chosen.iterations, chosen.runs // 2, engine_of(chosen.engine, 2), lambda event: None)
        equal = sum(results(out)[name] == record for name, record in wanted.items())
        outcomes.append({"kills": len(killed), "equal": equal, "runs": len(wanted)})
        print(f"chaos {number + 1} of {chosen.times}: {outcomes[-1]}", flush=True)
        shutil.rmtree(out)
    return {"times": outcomes, "all_equal": all(each["equal"] == each["runs"] for each in outcomes)}


def results(out: Path) -> dict[str, Any]:
    """The records of a study without times and places, and the SHA-256 of each network's file."""
    found = {}
    for path in records.read(out / "study.json").runs:
        raw = dataclasses.asdict(records.read(out / path))
        weights = (out / path).with_name("model.safetensors").read_bytes()
        found[path] = ({name: value for name, value in raw.items() if name not in TIMED}, weights)
    return found


@contextlib.contextmanager
def killing(out: Path, engine: str, dice: random.Random) -> Iterator[list[int]]:
    """Kill one of the workers whenever two more checkpoints have appeared; yields the processes that were killed."""
    killed: list[int] = []
    done = threading.Event()

    def watch() -> None:
        seen: set[tuple[str, int]] = set()
        new = 0
        while not done.wait(0.02):
            for folder in out.glob("*-s*"):
                if (latest := latest_iteration(folder)) is not None and (folder.name, latest) not in seen:
                    seen.add((folder.name, latest))
                    new += 1
            workers = workers_of(os.getpid(), engine)
            if new >= 2 and workers:
                new = 0
                killed.append(dice.choice(workers))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def workers_of(pid: int, engine: str) -> list[int]:
    """Processes below this one that execute jobs."""
    word = {"local": b"engines.worker", "ray": b"ray::_task"}[engine]
    parents, workers = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if word in (entry / "cmdline").read_bytes():
                workers.append(int(entry.name))
    return [worker for worker in workers if _is_below(worker, pid, parents)]


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


# Many runs ----------------------------------------------------------------------------------------------------------------
def many(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times of planning, status and report where all runs are recorded: copies of one, with other seeds and scores."""
    heads = ("fcn", "ccnet", "danet", "dnlnet", "emanet", "flanet", "isanet", "non_local", "denoised_nl", "reconet")
    seeds, out = range(max(1, chosen.runs // len(heads))), folder / "many"
    train(plan(experiment(20), ("fcn",), (0,))[0], folder / "one", device="cpu", on_notice=lambda line: None)
    record: records.RunRecord = records.read(folder / "one/record.json")
    dice = random.Random(0)
    for each in plan(experiment(20), heads, seeds):
        scores = dataclasses.replace(record.scores, mean_iou=record.scores.mean_iou + 0.01 * dice.random())
        copy = dataclasses.replace(
            record,
            head=each.model.head,
            seed=each.seed,
            config=configuration.to_dict(each),
            scores=scores,
            per_image=None,
            head_facts=None,
        )
        records.write(copy, out / run_name(each) / "record.json")
        shutil.copy(folder / "one/log.jsonl", out / run_name(each))
    begun = time.perf_counter()
    runs = {run_name(each): each for each in plan(experiment(20), heads, seeds)}
    write_plan(out, runs)
    planned = time.perf_counter()
    states = counts(status(out))
    looked = time.perf_counter()
    report.build(out, folder / "report")
    reported = time.perf_counter()
    return {
        "runs": len(runs),
        "states": states,
        "plan_seconds": planned - begun,
        "status_seconds": looked - planned,
        "report_seconds": reported - looked,
    }


PARTS = {"overhead": overhead, "chaos": chaos, "many": many}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=6, help="of each run of the chaos study")
    parser.add_argument("--times", type=int, default=20, help="chaos studies")
    parser.add_argument("-o", "--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    watching.EVERY = 0.2
    with tempfile.TemporaryDirectory() as folder:
        figures = PARTS[chosen.part](chosen, Path(folder))
    environment = dataclasses.asdict(environment_of(torch.device("cpu"), "fp32"))
    name = chosen.part if chosen.part == "many" else f"{chosen.part}-{chosen.engine}"
    written = {name: {"environment": environment, "figures": figures}}
    print(json.dumps({key: value for key, value in figures.items() if not key.endswith("_all")}, indent=1))
    if chosen.out is not None:
        before = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
        chosen.out.write_text(json.dumps({**before, **written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
