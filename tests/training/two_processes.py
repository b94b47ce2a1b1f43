"""What each process of tests/test_distributed.py runs: trainings one after another, with notes of what this process saw.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py JOBS.json
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from segattn import config
from segattn.training import run as running
from segattn.training import train
from segattn.training.interruption import Interrupted

RANK = int(os.environ["RANK"])
written = []


def note_writing(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str) and (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            written.append(path)
    elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
        written.append(str(arguments[0]))


def run(job):
    """One training; what this process has to say about it."""
    out = Path(job["out"] + (job["elsewhere"] if RANK == 1 and "elsewhere" in job else ""))
    notes = {"buffers": [], "confusion": [], "asked": [], "evaluations": 0}
    genuine = running.evaluate

    def evaluate(model, dataset, *arguments, **options):
        class Noting(type(dataset)):
            def __getitem__(self, index):
                notes["asked"].append(self.image_name(index))
                return super().__getitem__(index)

        dataset.__class__ = Noting
        notes["evaluations"] += 1
        try:
            result = genuine(model, dataset, *arguments, **options)
        finally:
            dataset.__class__ = Noting.__base__
        notes["confusion"].append(result.scores.confusion)
        notes["buffers"].append({name: value.double().sum().item() for name, value in model.named_buffers()})
        return result

    def on_progress(progress):
        here = job.get("stop_rank") == RANK and [progress.stage, progress.done] == job["stop_at"]
        if here and job.get("evaluation") in (None, notes["evaluations"]):
            signal.raise_signal(signal.SIGTERM)

    running.evaluate = evaluate
    try:
        train.train(config.from_dict(job["config"], allow_modules=None), out, device="cpu", on_progress=on_progress)
    except Interrupted as stopped:
        notes["interrupted"] = str(stopped)
    except ValueError as error:
        notes["refused"] = str(error)
    finally:
        running.evaluate = genuine
    notes["written"] = [path for path in written if str(out) in path]
    notes["random"] = torch.get_rng_state().sum().item()
    return notes


sys.addaudithook(note_writing)
jobs_file = Path(sys.argv[1])
job_notes = [run(job) for job in json.loads(jobs_file.read_text())]
jobs_file.with_name(f"notes-{RANK}.json").write_text(json.dumps(job_notes))
