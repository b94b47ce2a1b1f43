"""Slurm's queue: which tasks were submitted for a study, which are still there, and their end; needs no torch."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from segattn import records

FOLDER = "slurm"
"""In the study's folder: output of the tasks, and `jobs.json`."""
_TASK = re.compile(r"[0-9]+(_[0-9]+)?")


def submitted(out: Path) -> dict[str, str]:
    """Slurm's name of each task that was submitted for the study in this folder, by the job's name; {} where none was.

    Another text in place of a name, such as an option of scancel, is left out.
    """
    try:
        raw = records.read_json(out / FOLDER / "jobs.json")
    except (OSError, ValueError):
        return {}
    tasks = raw.items() if isinstance(raw, dict) else ()
    return {str(name): str(task) for name, task in tasks if _TASK.fullmatch(str(task))}


def in_queue(tasks: Sequence[str]) -> set[str]:
    """Those of the tasks that Slurm has queued or runs; all of them where it does not answer."""
    ids = sorted({task.partition("_")[0] for task in tasks})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(ids)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return set(tasks)
    if done.returncode != 0:
        return set() if "Invalid job id" in done.stderr else set(tasks)
    return set(done.stdout.split()) & set(tasks)


def cancel_pending(tasks: Sequence[str]) -> None:
    """Take the tasks that wait out of the queue; those that run see the mark of the cancelled study."""
    if tasks and shutil.which("scancel") is not None:
        subprocess.run(["scancel", "--state=PENDING", *tasks], capture_output=True, check=False)
