"""Runs the commands that tests/trust/test_kills.py kills, each in a forked process, which has everything imported.

One JSON object a line on standard input: {"command": ..., "out": ..., "kill_at": n or null, "torn": bool}. Standard output, one
line each: the exit status (-9 when killed) and the number of file operations in `out`.
"""

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure  # noqa: F401
import torch

from segattn import checkpoint, records, report
from segattn.inference import files
from segattn.study import collect
from segattn.study import run as study
from segattn.training import results, run
from segattn.training.train import train
from tests import tiny

torch.set_num_threads(1)
OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
EXPERIMENT = tiny.experiment(
    "ccnet",
    data={"train_images": 2, "val_images": 2},
    optimization={"iterations": 2},
    evaluation={"examples": 1, "without_attention": False},
    validate_every=1,
    checkpoint_every=1,
)
records.Lease.__init__.__kwdefaults__["duration"] = 1.0  # one that a kill leaves without a holder's name is waited for
COSTS = study.reference_costs(["ccnet"], "faithful")
ENVIRONMENT = results.environment_of(torch.device("cpu"), "fp32")


class Noon(datetime):
    """A clock that stands still, so that two runs write the same bytes."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, 12, tzinfo=tz)


for module in (results, collect):
    assert module.datetime is datetime, module
    module.datetime = Noon
results.environment_of = lambda device, precision: ENVIRONMENT  # the processor's clock varies
run.time = SimpleNamespace(perf_counter=lambda: 0.0)
run.Run.seconds = property(lambda self: 0.0)


class Operations:
    """Counts file operations below a folder, and kills the process just before one.

    `torn` also halves what was last opened for writing there: a kill in the midst of its bytes.
    """

    def __init__(self, folder: str, kill_at: int | None, torn: bool) -> None:
        self.folder, self.kill_at, self.torn = folder, kill_at, torn
        self.count, self.opened, self.before = 0, "", 0
        sys.addaudithook(self._note)

    def _note(self, event, arguments):
        path = self._path(event, arguments)
        if path is None or not path.startswith(self.folder) or "tensorboard" in path:
            return
        if self.count == self.kill_at:
            self.kill_at = None
            if self.torn and os.path.exists(self.opened):
                os.truncate(self.opened, (self.before + os.path.getsize(self.opened)) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
        if event == "open":
            self.opened = path
            appends = arguments[2] & os.O_APPEND and os.path.exists(path)
            self.before = os.path.getsize(path) if appends else 0

    def _path(self, event, arguments):
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return os.path.abspath(os.fsdecode(path)) if writes and not isinstance(path, int) else None
        if event not in OPERATIONS:
            return None
        path = os.fsdecode(arguments[0])
        if os.path.isabs(path) or not isinstance(arguments[-1], int) or arguments[-1] < 0:
            return os.path.abspath(path)
        return os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)  # rmtree names them by folder


def run_study(out):
    study.reference_costs = lambda head_names, mode: COSTS  # takes seconds, and touches no file
    path = study.run_study(EXPERIMENT, out, head_names=["ccnet"], device="cpu", on_notice=lambda notice: None)
    report.build(path, out)


def run_training(out):
    train(EXPERIMENT, out, device="cpu", on_notice=lambda notice: None)


def predict(out):
    trained, photos = out.parent / "trained", out.parent / "photos"
    model = checkpoint.load_model(trained)
    settings = files.Settings(class_names=model.class_names, palette=model.palette, confidence=True)
    list(files.predict_files(model, files.find_images([photos]), out, settings))


COMMANDS = {"train": run_training, "study": run_study, "predict": predict}

for line in sys.stdin:
    job = json.loads(line)
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        operations = Operations(job["out"], job["kill_at"], job["torn"])
        try:
            COMMANDS[job["command"]](Path(job["out"]))
            status = 0
        finally:
            os.write(writer, str(operations.count).encode())
            os._exit(status)
    os.close(writer)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(status, os.read(reader, 99).decode() or job["kill_at"], flush=True)
    os.close(reader)
