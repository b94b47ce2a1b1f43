"""Starts the trainings that tests/test_killed.py kills: one a line of standard input, each in a forked process.

Standard output: the process's number, and when it has ended, its status.
"""

import json
import os
import sys
from pathlib import Path

import torch

from segattn import config
from segattn.training.train import train

experiment = config.from_dict(json.loads(Path(sys.argv[1]).read_text()))
torch.set_num_threads(1)
for line in sys.stdin:
    process = os.fork()  # a copy has torch imported
    if process == 0:
        status = 1
        try:
            train(experiment, line.strip(), device="cpu")
            status = 0
        finally:
            os._exit(status)
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
