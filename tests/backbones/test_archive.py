"""Files that torch.save wrote: a flipped bit is seen, and what is no weight is named."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest
import torch

from segattn.backbones import archive
from segattn.backbones.placeholders import Placeholder


@pytest.fixture
def saved(tmp_path):
    state = {"a": torch.arange(600.0).reshape(20, 30), "b": torch.ones(7, dtype=torch.long)}
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path / "weights.pth", state


def test_archive_reads_as_it_was_written(saved):
    path, state = saved
    assert all(torch.equal(value, state[name]) for name, value in archive.read(path).items())


def test_flipped_bit_in_a_tensor_is_named(saved):
    path, state = saved
    content = bytearray(path.read_bytes())
    at = content.index(state["a"].numpy().tobytes()) + 1000
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged .the CRC of 'weights/data/0' is another"):
        archive.read(path)


def test_file_of_the_format_before_archives_reads(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert archive.read(tmp_path / "old.pth")["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (torch.tensor([1.0, float("inf")]), "a is not finite"),
        (torch.tensor([float("nan")], dtype=torch.float16), "a is not finite"),
        (torch.empty(3, device="meta"), "a is on the meta device"),
        (torch.eye(3).to_sparse(), "a is not a dense tensor"),
        (torch.ones(2, dtype=torch.complex64), "a is not a dense tensor of real numbers"),
        (torch.ones(2, dtype=torch.long), "a is int64, not of floating-point numbers"),
        (torch.ones(2, dtype=torch.bool), "a is bool, not of floating-point numbers"),
    ],
    ids=str,
)
def test_tensor_that_is_no_weight_is_named(value, fault):
    assert archive.fault_of({"note": "text", "a": value}, {"a": torch.zeros(2)}).startswith(fault)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_weights_too(dtype):
    assert archive.fault_of({"a": torch.ones(2, dtype=dtype)}, {"a": torch.zeros(2)}) == ""


class Log(dict):
    """Stands for what trainers store beside weights: a class of another package, with a state and items."""

    def __init__(self, *values):
        super().__init__(values=values)
        self.values_seen = np.array(values)

    def mean(self):
        return self.values_seen.mean()


def test_objects_of_other_classes_become_placeholders(tmp_path, monkeypatch):
    log = Log(1.0, 2.0)
    weights = torch.arange(12.0).reshape(3, 4)
    run = {
        "state_dict": OrderedDict(a=weights[:, 1:], b=torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))),
        "message_hub": {"log": log, "statistics": log.mean, "queue": deque([log, 1]), "kinds": {1, Log}},
        "best": np.float64(0.5),
        "iteration": 7,
    }
    torch.save(run, tmp_path / "iter_7.pth")
    monkeypatch.delattr(sys.modules[__name__], "Log")  # as where the other package is not installed
    read = archive.read(tmp_path / "iter_7.pth")
    assert read["iteration"] == 7
    assert torch.equal(read["state_dict"]["a"], weights[:, 1:])
    assert torch.equal(read["state_dict"]["b"], torch.ones(2, dtype=torch.bfloat16))
    hub = read["message_hub"]
    assert all(isinstance(hub[name], Placeholder) for name in ("log", "statistics", "queue"))
    assert hub["log"].stands_for.endswith("test_archive.Log")
    assert not hasattr(hub["log"], "values_seen")


class Calls:
    """Its pickle calls `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def touch(path):
    Path(path).touch()


@pytest.mark.parametrize("function", [touch, Path.touch, getattr])
def test_nothing_is_run(function, tmp_path):
    touched = tmp_path / "touched"
    torch.save({"a": torch.ones(2), "other": Calls(function, str(touched))}, tmp_path / "a.pth")
    assert isinstance(archive.read(tmp_path / "a.pth")["other"], Placeholder)
    assert not touched.exists()


@pytest.mark.parametrize("function", [os.mkdir, exec, subprocess.check_call])
def test_file_that_names_a_program_is_refused(function, tmp_path):
    touched = tmp_path / "touched"
    torch.save({"a": torch.ones(2), "other": Calls(function, str(touched))}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError, match=function.__name__):
        archive.read(tmp_path / "a.pth")
    assert not touched.exists()


def test_tensor_larger_than_its_data_is_refused(tmp_path):
    rebuilt = Calls(torch._utils._rebuild_tensor_v2, torch.ones(2).untyped_storage(), 0, (3, 10**9), (0, 0), False, {})
    torch.save({"a": torch.ones(2), "log": Log(1.0), "big": rebuilt}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError):
        archive.read(tmp_path / "a.pth")


def test_message_has_no_control_characters(tmp_path):
    name = "wicked\x1b[31mclass\x07"
    content = f"\x80\x02cposix\n{name}\n.".encode("latin1")
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as file:
        file.writestr("a/data.pkl", content)
        file.writestr("a/version", b"3\n")
    with pytest.raises(pickle.UnpicklingError) as error:
        archive.read(tmp_path / "a.pth")
    assert str(error.value).isprintable()
    assert "[31m" not in str(error.value)
