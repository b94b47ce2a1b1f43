"""`segattn plan` as it is typed: tables, figures, messages."""

import dataclasses
import json

import pytest

from segattn import records
from segattn.cli import main
from segattn.cli.plan.quantities import budget, memory_bytes
from segattn.records import BenchRecord, Environment
from segattn.records.bench import Case, Latency, Result

pytestmark = pytest.mark.slow

SMALL = ["--backbone", "resnet18", "--input", "65", "--batch-size", "2", "--num-classes", "5", "--device", "cpu"]


def one_line(text):
    return " ".join(text.split())


@pytest.fixture
def said(capsys):
    def run(*arguments):
        code = main(["plan", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_json_adds_up_and_says_that_no_step_was_measured(said):
    code, out, _ = said("--heads", "fcn", *SMALL, "--format", "json")
    (fcn,) = json.loads(out)["heads"]
    assert code == 0
    assert fcn["bytes"]["total"] == sum(value for name, value in fcn["bytes"].items() if name != "total")
    assert fcn["hours"] is None
    assert "no step was measured" in fcn["why_no_hours"]


def test_adamw_keeps_twice_what_sgd_keeps(said):
    kept = {}
    for optimizer in ("sgd", "adamw"):
        code, out, _ = said("--heads", "fcn", *SMALL, "--format", "json", "--optimizer", optimizer)
        assert code == 0
        assert {"sgd": "(SGD with momentum)", "adamw": "(AdamW)"}[optimizer] in json.loads(out)["what"]
        kept[optimizer] = json.loads(out)["heads"][0]["bytes"]["optimizer"]
    assert kept["adamw"] == pytest.approx(2 * kept["sgd"], rel=1e-4)  # and the number of steps


def test_hours_are_those_of_the_step_given(said):
    _, out, _ = said("--heads", "fcn", *SMALL, "--step-seconds", "0.9", "--format", "json")
    assert json.loads(out)["heads"][0]["hours"] == pytest.approx(0.9 * 80_000 / 3600)


@pytest.fixture
def bench_record(tmp_path):
    """One training step of 0.45 s: FCN, ResNet-18, crop 65, batch 2."""
    latency = Latency(
        samples_ms=[440.0, 450.0, 470.0],
        median_ms=450.0,
        lower_quartile_ms=445.0,
        upper_quartile_ms=460.0,
        p95_ms=468.0,
    )
    case = Case(
        head="fcn",
        mode="faithful",
        part="network",
        phase="training",
        implementation="auto",
        backbone="resnet18",
        output_stride=8,
        num_classes=5,
        input_size=(65, 65),
        map_size=(9, 9),
        batch=2,
        dtype="fp32",
        channels_last=True,
        compile=False,
    )
    environment = Environment(
        segattn="0.1.0",
        commit=None,
        python="3.11",
        torch="2.13",
        system="Linux",
        processor="Synthetic CPU",
        device="cpu",
        threads=2,
        precision="fp32",
    )
    record = BenchRecord(
        suite="bench",
        command="segattn bench",
        environment=environment,
        results=[Result(case=case, outcome="ok", latency=latency)],
        limits=[],
        rounds=3,
        warmup=1,
        seed=0,
        seconds=17.0,
    )
    return str(records.write(record, tmp_path / "bench.json"))


def test_hours_are_those_of_the_step_in_a_bench_record(said, bench_record):
    _, out, _ = said("--heads", "fcn", "isanet", *SMALL, "--bench", bench_record)
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("fcn ", "isanet "))}
    assert rows["fcn"][-1] == "10.0"  # 0.45 s times 80,000
    assert rows["isanet"][-1] == "-"
    assert (
        "isanet: no hours (no step of this case in the record: training of the network, 65x65, batch 2, fp32)"
        in one_line(out)
    )
    assert "measured on Synthetic CPU" in out


def test_step_with_checkpointing_is_not_taken_from_a_record_without(said, bench_record):
    _, out, _ = said(
        "--heads", "fcn", *SMALL, "--bench", bench_record, "--activation-checkpointing", "--format", "json"
    )
    assert json.loads(out)["heads"][0]["hours"] is None


def test_table_says_what_fits(said):
    code, out, _ = said("--heads", "fcn", *SMALL, "--gpu-memory", "0.45GB")
    assert code == 0
    row = [line for line in out.splitlines() if line.startswith("fcn")][1]  # of the second sheet
    assert row.split()[2] == "yes"
    assert int(row.split()[3]) >= 2
    assert int(row.split()[4]) >= 65
    assert "0.45 GB = 0.42 GiB" in out


def test_where_nothing_fits_the_nearest_is_named(said):
    _, out, _ = said("--heads", "fcn", *SMALL, "--gpu-memory", "100MB")
    assert "fcn: nothing fits; batch 1 needs" in out
    assert "with --activation-checkpointing needs" in out


def test_budget_tells_records_apart_and_names_sources(said):
    code, out, _ = said("--budget", "410GFLOPs", "--heads", "fcn", "--input", "769x769")
    assert code == 0
    own, _, rest = out.partition("Published by others, not measured here")
    published, _, unrecorded = rest.partition("Without any record of accuracy")
    assert "give a folder of runs: segattn plan RUN ..." in own
    assert "71.11 mmsegmentation: 80,000 iterations, 512×1024" in one_line(published)
    assert "resnet34" in unrecorded
    assert "resnet34" not in published


def test_budget_too_small_names_the_nearest(said):
    code, _, err = said("--budget", "1Mparameters", "--heads", "fcn")
    assert code == 2
    assert "no network is within 1 Mparams" in err
    assert "the nearest is fcn with resnet18" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu-memory", "24"], "memory '24' should be a number above 0 with its unit, such as 24GB"),
        (["--gpu-memory", "0GB"], "memory '0GB' should be a number above 0"),
        (["--budget", "600"], "budget '600' should be a number above 0 with its unit: 600GFLOPs"),
        (["--heads", "danett"], "unknown head 'danett'; did you mean danet"),
        (["--heads", "fcn", "--backbone", "resnet19"], "unknown backbone 'resnet19'"),
        (["--heads", "fcn", "--input", "big"], "size 'big' should be HEIGHTxWIDTH"),
        (["--heads", "fcn", "--batch-size", "3", "--accumulation", "2"], "--batch-size 3 cannot be split into 2 parts"),
        (["there", "--heads", "fcn"], "a folder of runs has no meaning for a plan without --budget"),
        (["--budget", "600GFLOPs", "--batch-size", "4"], "--batch-size has no meaning for a budget of flops"),
        (["--budget", "600GFLOPs", "--measure"], "--measure has no meaning for --budget 600GFLOPs"),
        (["--budget", "50Mparameters", "--input", "65"], "--input has no meaning for a budget of parameters"),
        (["--budget", "600GFLOPs", "--dataset", "citiscapes"], "no accuracy on 'citiscapes' is recorded; there are:"),
        (["nowhere", "--budget", "600GFLOPs"], "nowhere: no run records (record.json) in it"),
        (["--heads", "fcn", "--step-seconds", "1", "--measure"], "give one of them"),
        (["--heads", "fcn", "--inference", "--accumulation", "2", "--batch-size", "2"], "no meaning for --inference"),
        (["--heads", "fcn", *SMALL, "--step-seconds", "-1"], "--step-seconds -1.0 should be above 0"),
    ],
)
def test_mistakes_are_told(said, arguments, message):
    code, _, err = said(*arguments)
    assert code == 2
    assert message in err


@pytest.fixture
def inference_record(bench_record, tmp_path):
    """The record's network at inference: 40 ms an image."""
    record = records.read(bench_record)
    (result,) = record.results
    case = dataclasses.replace(result.case, phase="inference", batch=1, channels_last=False)
    latency = dataclasses.replace(result.latency, median_ms=40.0)
    changed = dataclasses.replace(record, results=[dataclasses.replace(result, case=case, latency=latency)])
    return str(records.write(changed, tmp_path / "inference.json"))


OF_RECORD = ["--heads", "fcn", "ccnet", "--input", "65", "--num-classes", "5"]


def test_budget_in_time_lists_what_was_measured_within_it(said, inference_record):
    code, out, _ = said("--budget", "50ms", *OF_RECORD, "--bench", inference_record, "--format", "json")
    (network,) = json.loads(out)["networks"]
    assert code == 0
    assert (network["head"], network["backbone"], network["time"]) == ("fcn", "resnet18", 0.04)
    assert "measured on Synthetic CPU" in json.loads(out)["what"]


def test_budget_in_time_that_nothing_meets_names_the_nearest(said, inference_record):
    code, _, err = said("--budget", "30ms", *OF_RECORD, "--bench", inference_record)
    assert code == 2
    assert "the nearest is fcn with resnet18 at output stride 8: 40 ms" in err


def test_budget_in_time_needs_a_record_of_these_settings(said, bench_record):
    assert "--budget 50ms needs measured times; give --bench FILE.json" in said("--budget", "50ms")[2]
    _, _, err = said("--budget", "50ms", *OF_RECORD, "--bench", bench_record)
    assert (
        "no network at inference with 65x65 pixels, batch 1, fp32, faithful heads and 5 classes; measure some:" in err
    )


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
        ("50ms", ("time", 0.05)),
        ("0.5 s", ("time", 0.5)),
    ],
)
def test_budgets_by_unit(text, meaning):
    assert budget(text) == meaning
