"""What each process of tests/training/test_processes.py runs: a training in which rank 1 is stopped or killed after iteration 2.

The process that goes on writes how its training ended, and after how many seconds. Arguments: folder, SIGSTOP or SIGKILL.
"""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from segattn.training import processes
from segattn.training.train import train
from tests import tiny

RANK = int(os.environ["RANK"])
folder, how = Path(sys.argv[1]), signal.Signals[sys.argv[2]]
processes.PATIENCE = timedelta(seconds=8)
lost_at = []


def on_progress(progress):
    if progress.stage == "train" and progress.done == 2:
        lost_at.append(time.monotonic())
        if RANK == 1:
            os.kill(os.getpid(), how)


try:
    train(tiny.experiment("fcn", checkpoint_every=1), folder / "run", device="cpu", on_progress=on_progress)
except ValueError as error:
    seconds = time.monotonic() - lost_at[0]
    (folder / "ended.txt").write_text(f"{seconds:.0f} {error}")
    raise
