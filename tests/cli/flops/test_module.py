"""`segattn flops --module` and `--cross-check`."""

import json

import pytest

from segattn.cli import main

NETS = """
import torch
from torch import nn

class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 5, 7, bias=False))

class Counts(nn.Linear):
    def __init__(self):
        super().__init__(5, 7, bias=False)
        if self.weight.sum().item() != self.weight.sum().item():
            raise ValueError("not a number")

class Looks(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Needs(nn.Module):
    def __init__(self, width):
        super().__init__()

class Odd(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real

def make():
    return Plain()

def number():
    return 5

ready = Plain()
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_nets(tmp_path, monkeypatch):
    (tmp_path / "owner_nets.py").write_text(NETS)
    (tmp_path / "owner_broken.py").write_text("raise RuntimeError('half written')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def flops(capsys, *arguments, code=0):
    assert main(["flops", *arguments]) == code
    out, error = capsys.readouterr()
    return error if code else out


@pytest.mark.parametrize("name", ["Plain", "make", "ready"])
def test_class_function_and_module_are_counted(name, capsys):
    ledger = json.loads(
        flops(capsys, "--module", f"owner_nets.{name}", "--input", "17x19", "--format", "json", "--convention", "all")
    )
    (total,) = [entry for entry in ledger["modules"] if entry["module"] == ""]
    assert total["macs"] == 11 * 13 * 5 * 3 * 49
    assert total["parameters"] == 5 * 3 * 49


def test_input_may_be_a_whole_shape_and_several(capsys):
    out = flops(capsys, "--module", "owner_nets.Plain", "--input", "2x3x7x7", "1x3x7x9", "--convention", "macs")
    assert "owner_nets.Plain, input 2x3x7x7" in out
    assert "1.470 k" in out  # 2 x 1 x 1 x 5 x 147
    assert "2.205 k" in out  # 1 x 3 x 5 x 147


def test_constructor_that_reads_values_is_moved_to_meta_afterwards(capsys):
    out = flops(capsys, "--module", "owner_nets.Counts", "--input", "1x3x5", "--convention", "macs")
    assert "105" in out


def test_module_that_reads_values_is_told_to_run_for_real(capsys):
    error = flops(capsys, "--module", "owner_nets.Looks", "--input", "5x7", code=2)
    assert "owner_nets.Looks cannot run on meta with an input of shape 1x3x5x7" in error
    assert "--device cpu" in error
    assert "(network)" in flops(capsys, "--module", "owner_nets.Looks", "--input", "5x7", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["owner_nets.Plan"], "owner_nets has no Plan; near: Plain"),
        (["Plain"], "should be a dotted path such as mypkg.Plain"),
        (["owner_missing.Net"], "no package owner_missing is installed, and the working directory"),
        (["owner_broken.Net"], "importing it raises RuntimeError: half written"),
        (["owner_nets.Needs"], "missing 1 required positional argument: 'width'. It is called without arguments"),
        (["owner_nets.number"], "gives int, no torch.nn.Module"),
        (["owner_nets.NETS"], "owner_nets has no NETS"),
        (["owner_nets.Odd", "--input", "5x7"], "has no formula"),
        (["owner_nets.Plain", "--input", "5by7"], "should be HEIGHTxWIDTH"),
        (["owner_nets.Plain", "--input", "1x5x9x9"], "cannot run on meta"),
        (["owner_nets.Plain", "--heads", "ccnet"], "--heads is for the heads of segattn; leave it out with --module"),
        (["owner_nets.Plain", "--num-classes", "5"], "--num-classes is for the heads of segattn"),
    ],
    ids=str,
)
def test_what_cannot_be_counted_says_why(arguments, message, capsys):
    assert message in flops(capsys, "--module", *arguments, code=2)


def test_device_without_a_module_is_an_error(capsys):
    assert "--device is for --module" in flops(capsys, "--device", "cpu", code=2)


def test_cross_check_of_a_users_module_has_every_counter(capsys):
    arguments = ["--module", "owner_nets.Plain", "--input", "17x19", "--cross-check"]
    (check,) = json.loads(flops(capsys, *arguments, "--format", "json"))
    assert check["macs"] == 11 * 13 * 5 * 3 * 49
    assert [reading["peer"] for reading in check["readings"]] == ["torch", "fvcore", "ptflops", "thop", "torchinfo"]
    assert check["readings"][0]["figure"] == 2 * check["macs"]
    table = flops(capsys, *arguments)
    assert "2 per multiply-add" in table
    assert "0.000" in table


@pytest.mark.slow
def test_cross_check_of_a_head_has_mechanism_head_and_network(capsys):
    arguments = [
        "--heads",
        "danet",
        "--backbone",
        "resnet18",
        "--input",
        "65x97",
        "--num-classes",
        "5",
        "--cross-check",
    ]
    checks = json.loads(flops(capsys, *arguments, "--format", "json"))
    assert [entry["part"].split(",")[0] for entry in checks] == ["mechanism", "head", "network"]
    for entry in checks:
        for reading in entry["readings"]:
            if reading["figure"] is not None:
                amounts = sum(amount for _, amount in reading["differences"])
                assert reading["unit"] * entry["macs"] + amounts == reading["figure"]
    assert "| torch | FLOPs |" in flops(capsys, *arguments, "--format", "markdown")
    assert flops(capsys, *arguments, "--format", "csv").startswith("head,part,macs,peer,version,figure,unit")
