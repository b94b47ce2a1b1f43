"""The path of a reader from a command to the attention product: the files on the call stack, and how long they are.

docs/architecture.md states both paths.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.overrides import TorchFunctionMode

import segattn
from segattn import cli, config
from segattn.heads.ccnet import CrissCross
from tests import tiny
from tests.places import ROOT

PACKAGE = Path(segattn.__file__).parent
EXPERIMENT = "experiments/camvid.py"
MOST_FILES, MOST_LINES = 9, 1200


class Stack(TorchFunctionMode):
    """The package's files on the stack whenever a torch function is called, from the outermost to the innermost."""

    def __init__(self):
        super().__init__()
        self.files = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        if not getattr(function, "__name__", "").startswith("__"):  # an attribute such as x.dtype computes nothing
            frame, stack = sys._getframe(), []
            while frame is not None:
                file = Path(frame.f_code.co_filename)
                if file.is_relative_to(PACKAGE):
                    stack.insert(0, file.relative_to(PACKAGE).as_posix())
                frame = frame.f_back
            self.files += [file for file in dict.fromkeys(stack) if file not in self.files]
        return function(*arguments, **(options or {}))


@pytest.fixture
def passes(monkeypatch):
    """(is it training, files) of each pass through CCNet's mechanism, on real tensors."""
    seen, forward = [], CrissCross.forward

    def recorded(self, x):
        if x.is_meta:
            return forward(self, x)
        with Stack() as path:
            y = forward(self, x)
        seen.append((self.training, path.files))
        return y

    monkeypatch.setattr(CrissCross, "forward", recorded)
    return seen


def run_training(tmp_path):
    experiment = tiny.experiment(optimization={"iterations": 1}, evaluation={"examples": 0})
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(config.to_dict(experiment)))
    command = ["train", str(file), "--head", "ccnet", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert cli.main(command) == 0


def run_prediction(tmp_path):
    run_training(tmp_path)
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "photo.png")
    command = ["predict", str(tmp_path / "photo.png"), "--checkpoint", str(tmp_path / "run"), "--device", "cpu"]
    assert cli.main([*command, "--out", str(tmp_path / "labels")]) == 0


def lines(file):
    return len((PACKAGE / file).read_text(encoding="utf-8").splitlines())


def section(heading):
    """The text of docs/architecture.md below that heading."""
    return (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]


def files_in(text):
    return re.findall(r"^\d\. `segattn/(\S+)`", text, flags=re.MULTILINE)


def test_training_is_short_to_read(passes, tmp_path):
    run_training(tmp_path)
    stack = next(files for training, files in passes if training)
    assert stack[:2] == ["cli/__init__.py", "cli/train.py"]
    path = [*stack[:2], EXPERIMENT, "config.py", *stack[2:]]
    listing = "\n".join(f"{lines(file):6,}  {file}" for file in path)
    total = sum(map(lines, path))
    assert len(path) <= MOST_FILES, f"{len(path)} files, at most {MOST_FILES}:\n{listing}"
    assert total <= MOST_LINES, f"{total:,} lines, at most {MOST_LINES:,}:\n{listing}"
    text = section("The path of a training step")
    assert files_in(text) == path
    num_files, num_lines = map(int, re.search(r"^(\d+) files, about (\d+) lines", text, flags=re.MULTILINE).groups())
    assert num_files == len(path)
    assert abs(num_lines - total) <= 100, f"docs/architecture.md says about {num_lines} lines:\n{listing}"


def test_prediction_is_as_stated(passes, tmp_path):
    run_prediction(tmp_path)
    stack = passes[-1][1]
    assert stack[:2] == ["cli/__init__.py", "cli/predict.py"]
    assert files_in(section("The path of a prediction")) == stack
