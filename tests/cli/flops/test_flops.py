import csv
import io
import json
import os
import subprocess
import sys

import pytest

from segattn import heads
from segattn.cli import main
from segattn.cost import network_cost

SMALL = ["--input", "65x97", "--backbone", "resnet18", "--num-classes", "5"]


def flops(capsys, *arguments):
    assert main(["flops", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def ccnet():
    return network_cost("ccnet", input_size=(65, 97), num_classes=5, backbone="resnet18")


def test_json_has_every_figure(ccnet, capsys):
    (cost,) = json.loads(flops(capsys, "--heads", "ccnet", *SMALL, "--format", "json"))
    assert cost["mechanism"]["macs"] == ccnet.mechanism.macs
    assert cost["network"]["parameters"] == ccnet.network.parameters
    assert (cost["head"], cost["input_size"], cost["num_classes"]) == ("ccnet", [65, 97], 5)


def test_csv_has_every_figure(ccnet, capsys):
    (row,) = csv.DictReader(io.StringIO(flops(capsys, "--heads", "ccnet", *SMALL, "--format", "csv")))
    assert (row["head"], row["height"], row["width"], row["output_stride"]) == ("ccnet", "65", "97", "8")
    for part, figures in (("mechanism", ccnet.mechanism), ("head", ccnet.head_total), ("network", ccnet.network)):
        for figure in ("parameters", "macs", "flops", "study", "other", "activation_bytes"):
            assert int(row[f"{part}_{figure}"]) == getattr(figures, figure)


@pytest.mark.parametrize("convention", ["macs", "flops", "study"])
@pytest.mark.parametrize("form", ["table", "markdown"])
def test_table_has_the_convention_asked_for_and_its_meaning(form, convention, ccnet, capsys):
    shown = flops(capsys, "--heads", "ccnet", *SMALL, "--format", form, "--convention", convention)
    assert f"{getattr(ccnet.network, convention) / 1e9:.3f}" in shown
    assert f"{getattr(ccnet.mechanism, convention) / 1e9:.3f}" in shown
    assert f"{convention}: " in shown
    for condition in ("65x97", "resnet18 at output stride 8", "5 classes", "faithful heads"):
        assert condition in shown
    others = {"macs", "flops", "study"} - {convention}
    assert not [other for other in others if f"{other}: " in shown]


def test_all_conventions_fit_into_one_table(ccnet, capsys):
    shown = flops(capsys, "--heads", "ccnet", *SMALL, "--convention", "all", "--format", "markdown")
    row = next(line for line in shown.splitlines() if line.startswith("| ccnet"))
    for convention in ("macs", "flops", "study"):
        assert f" {getattr(ccnet.head_total, convention) / 1e9:.3f} " in row


@pytest.mark.slow
def test_sizes_and_heads_are_all_shown_baseline_first(capsys):
    arguments = ["--input", "65x97", "33", "--backbone", "resnet18", "--format", "json"]
    costs = json.loads(flops(capsys, *arguments))
    names = ["fcn", *(name for name in heads.names() if name != "fcn")]
    assert [(cost["input_size"], cost["head"]) for cost in costs] == [
        (size, name) for size in ([65, 97], [33, 33]) for name in names
    ]


def test_classes_are_those_of_the_studys_data_sets(capsys):
    costs = json.loads(
        flops(capsys, "--heads", "fcn", "--input", "520", "769", "--backbone", "resnet18", "--format", "json")
    )
    assert [cost["num_classes"] for cost in costs] == [150, 19]


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown"])
def test_operators_of_one_head(form, capsys):
    shown = flops(capsys, "--heads", "ccnet", *SMALL, "--operators", "--format", form)
    assert "convolution" in shown
    assert "head.attention" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "ccnett"], "unknown head 'ccnett'; did you mean ccnet"),
        (["--backbone", "resnet81"], "unknown backbone 'resnet81'"),
        (["--input", "large"], "size 'large' should be HEIGHTxWIDTH in pixels, such as 769x769"),
        (["--input", "0x5"], "size '0x5' should be"),
        (["--output-stride", "2"], "output_stride=2 is not possible; use one of 4, 8, 16, 32"),
        (["--num-classes", "0"], "num_classes=0 should be at least 1"),
        (
            ["--operators"],
            "--operators shows one network: give one head and one size, such as --heads ccnet --input 769x769",
        ),
    ],
)
def test_mistake_is_named(arguments, message, capsys):
    assert main(["flops", *arguments]) == 2
    assert message in capsys.readouterr().err


_MEASURED = """
import json, resource, subprocess, sys
out = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True).stdout
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([json.loads(out), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Runs a command from a small process: a child's highest memory begins with that of the process it comes from."""


@pytest.mark.slow
def test_all_heads_at_769_take_under_twenty_seconds_and_two_gigabytes():
    command = [sys.executable, "-m", "segattn", "flops", "--input", "769x769", "--format", "json"]
    measured = [sys.executable, "-c", _MEASURED, *command]
    process = subprocess.run(measured, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    costs, seconds, highest = json.loads(process.stdout)
    assert {cost["head"] for cost in costs} == set(heads.names())
    assert seconds < 20  # processor time: the clock's, where nothing else runs
    unit = 1 if sys.platform == "darwin" else 1024
    assert 1e8 < highest * unit < 2e9
