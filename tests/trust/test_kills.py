"""A kill at any file operation of a command leaves no half file under its name, and the same command cleans up.

`make test-all` kills at every operation of a small study, before it and in the midst of the bytes written before it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.places import ROOT

PARTS = 12
"""Of the whole study, so that several processes of pytest share it."""
SAMPLE = (0.15, 0.4, 0.65, 0.9)


class Commands:
    """The process that starts the commands, and the folders of undisturbed ones."""

    def __init__(self, folder):
        self.folder, self.whole = folder, {}
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killed_at.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )

    def run(self, command, out, kill_at=None, torn=False):
        """Exit status, and the number of file operations."""
        job = {"command": command, "out": str(out), "kill_at": kill_at, "torn": torn}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline().split()
        assert answer, (self.folder / "stderr").read_text()[-2000:]
        return tuple(map(int, answer))

    def undisturbed(self, command):
        """The folder of a command that was not killed, and its number of file operations."""
        if command not in self.whole:
            if command == "predict":
                self.prepare_photos()
            status, count = self.run(command, self.folder / f"{command}-whole")
            assert status == 0, (self.folder / "stderr").read_text()[-2000:]
            self.whole[command] = self.folder / f"{command}-whole", count
        return self.whole[command]

    def prepare_photos(self):
        trained, _ = self.undisturbed("train")
        (self.folder / "trained").symlink_to(trained)
        (self.folder / "photos").mkdir()
        for index in range(2):
            pixels = np.random.default_rng(index).integers(0, 256, (32, 48, 3), np.uint8)
            Image.fromarray(pixels).save(self.folder / f"photos/{index}.png")


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    started = Commands(tmp_path_factory.mktemp("kills"))
    yield started
    started.server.stdin.close()
    started.server.wait(timeout=30)


def contents(folder):
    """Path and content of every file, but TensorBoard's, which has one for each process."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {str(path.relative_to(folder)): content(path, folder) for path in paths}


def content(path, folder):
    """Commands in the report name its folder."""
    return path.read_bytes().replace(str(folder).encode(), b"FOLDER")


def check_killed(folder, expected):
    """Whatever has its final name is whole; the log may end within a line."""
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        unfinished = any(part.startswith(".") for part in Path(name).parts) or path.name == "log.jsonl"
        if not path.is_file() or unfinished or name.partition("/")[0] == "tensorboard" or "/tensorboard/" in name:
            continue
        if "checkpoints" in path.parts:
            assert path.stat().st_size > 0, name
        elif path.name == "study.json":  # written after each run and after the pictures
            json.loads(path.read_text())
        else:
            assert content(path, folder) == expected[name], name


def cases(count, part):
    """(operation, whether the file before it is torn) of a part of all, or of the sample."""
    if part == "sample":
        return [(int(count * share), number % 2 == 1) for number, share in enumerate(SAMPLE)]
    every = [(at, torn) for at in range(count) for torn in (False, True)]
    return every if part == "all" else every[int(part) :: PARTS]


RUNS = [("train", "sample"), ("predict", "sample"), ("train", "all"), ("predict", "all")]
RUNS += [("study", str(part)) for part in range(PARTS)]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # dozens of commands, each run twice
@pytest.mark.long("sample")
@pytest.mark.parametrize(("command", "part"), RUNS)
def test_nothing_is_half_or_left_over_after_a_kill(command, part, commands, tmp_path):
    whole, count = commands.undisturbed(command)
    expected = contents(whole)
    chosen = cases(count, part)
    for kill_at, torn in chosen:
        folder = commands.folder / f"{command}-killed"
        shutil.rmtree(folder, ignore_errors=True)
        assert commands.run(command, folder, kill_at, torn)[0] == -signal.SIGKILL
        check_killed(folder, expected)
        assert commands.run(command, folder)[0] == 0, f"after the kill at operation {kill_at}"
        assert contents(folder) == expected, f"after the kill at operation {kill_at}, torn {torn}"
        folders = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}
        assert folders == {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_dir()}
    print(f"{command}: {len(chosen)} kills at {count} file operations, none left a trace")
