"""`segattn plan` as it is typed: tables, figures, messages."""

import json

import pytest

from segattn.cli import main
from segattn.cli._quantities import budget, memory_bytes

SMALL = ["--backbone", "resnet18", "--crop", "65", "--batch", "2", "--num-classes", "5", "--device", "cpu"]


@pytest.fixture
def said(capsys):
    def run(*arguments):
        code = main(["plan", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_json_adds_up_and_says_that_no_step_was_measured(said):
    code, out, _ = said("--head", "fcn", *SMALL, "--format", "json")
    (fcn,) = json.loads(out)["heads"]
    assert code == 0
    assert fcn["bytes"]["total"] == sum(value for name, value in fcn["bytes"].items() if name != "total")
    assert fcn["hours"] is None
    assert "no step was measured" in fcn["why_no_hours"]


def test_hours_are_those_of_the_step_given(said):
    _, out, _ = said("--head", "fcn", *SMALL, "--step-seconds", "0.9", "--format", "json")
    assert json.loads(out)["heads"][0]["hours"] == pytest.approx(0.9 * 80_000 / 3600)


def test_table_says_what_fits(said):
    code, out, _ = said("--head", "fcn", *SMALL, "--gpu-memory", "0.6GB")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("fcn"))
    assert row.split()[8] == "yes"
    assert int(row.split()[9]) >= 2
    assert int(row.split()[10]) >= 65
    assert "0.60 GB = 0.56 GiB" in out


def test_where_nothing_fits_the_nearest_is_named(said):
    _, out, _ = said("--head", "fcn", *SMALL, "--gpu-memory", "100MB")
    assert "fcn: nothing fits; batch 1 needs" in out
    assert "with --activation-checkpointing needs" in out


def test_budget_tells_records_apart_and_names_sources(said):
    code, out, _ = said("--budget", "410GFLOPs", "--head", "fcn", "--input", "769x769")
    assert code == 0
    own, _, rest = out.partition("Published by others, not measured here")
    published, _, unrecorded = rest.partition("Without any record of accuracy")
    assert "give --runs DIR" in own
    assert "71.11  mmsegmentation: 80,000 iterations, 512×1024" in published
    assert "resnet34" in unrecorded
    assert "resnet34" not in published


def test_budget_too_small_names_the_nearest(said):
    code, _, err = said("--budget", "1Mparameters", "--head", "fcn")
    assert code == 2
    assert "no network is within 1 Mparams" in err
    assert "the nearest is fcn with resnet18" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu-memory", "24"], "memory '24' should be a number above 0 with its unit, such as 24GB"),
        (["--gpu-memory", "0GB"], "memory '0GB' should be a number above 0"),
        (["--budget", "600"], "budget '600' should be a number above 0 with its unit: 600GFLOPs"),
        (["--head", "danett"], "unknown head 'danett'; did you mean danet"),
        (["--head", "fcn", "--backbone", "resnet19"], "unknown backbone 'resnet19'"),
        (["--head", "fcn", "--crop", "big"], "size 'big' should be HEIGHTxWIDTH"),
        (["--head", "fcn", "--batch", "3", "--accumulation", "2"], "--batch 3 cannot be split into 2 parts"),
        (["--head", "fcn", "--runs", "there"], "--runs has no meaning for a plan without --budget"),
        (["--budget", "600GFLOPs", "--batch", "4"], "--batch has no meaning for a budget of flops"),
        (["--budget", "600GFLOPs", "--measure"], "--measure has no meaning for --budget 600GFLOPs"),
        (["--budget", "50Mparameters", "--input", "65"], "--input has no meaning for a budget of parameters"),
        (["--budget", "600GFLOPs", "--dataset", "citiscapes"], "no accuracy on 'citiscapes' is recorded; there are:"),
        (["--budget", "600GFLOPs", "--runs", "nowhere"], "nowhere: no run records (record.json) in it"),
        (["--head", "fcn", "--step-seconds", "1", "--measure"], "give one of them"),
        (["--head", "fcn", "--inference", "--accumulation", "2", "--batch", "2"], "no meaning for --inference"),
        (["--head", "fcn", *SMALL, "--step-seconds", "-1"], "--step-seconds -1.0 should be above 0"),
    ],
)
def test_mistakes_are_told(said, arguments, message):
    code, _, err = said(*arguments)
    assert code == 2
    assert message in err


def test_gigabytes_are_decimal_and_gibibytes_binary():
    assert memory_bytes("24GB") == 24 * 10**9
    assert memory_bytes("1.5 GiB") == 1536 * 2**20
    assert memory_bytes("700mb") == 700 * 10**6


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("600GFLOPs", ("flops", 600e9)),
        ("1.5 TFLOPs", ("flops", 1.5e12)),
        ("300gmacs", ("macs", 300e9)),
        ("50M parameters", ("parameters", 50e6)),
        ("50Mparams", ("parameters", 50e6)),
        ("24GiB", ("memory", 24 * 2**30)),
    ],
)
def test_budgets_by_unit(text, meaning):
    assert budget(text) == meaning
