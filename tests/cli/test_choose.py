"""`segattn choose` as it is typed."""

import dataclasses
import json

import pytest

from segattn import records, zoo
from segattn.cli import main
from segattn.profile.environment import processor_name
from segattn.records.bench import Case, Latency, PeakMemory, Result
from tests.cli.test_plan import one_line

pytestmark = pytest.mark.slow


def result(network, ms, form="eager", size=(32, 64), batch=1, **changes):
    case = Case(
        head="fcn", mode="controlled", part="network", phase="inference", implementation="auto", backbone="resnet18",
        output_stride=8, num_classes=19, input_size=size, map_size=(4, 8), batch=batch, dtype="fp32",
        channels_last=False, compile=False, network=network, form=form,
    )  # fmt: skip
    latency = Latency(samples_ms=[ms], median_ms=ms, lower_quartile_ms=ms, upper_quartile_ms=ms, p95_ms=ms)
    memory = PeakMemory(extra_bytes=1, total_bytes=20_000_000, method="by hand")
    made = Result(case=case, outcome="ok", latency=latency, memory=memory)
    return dataclasses.replace(made, **changes)


@pytest.fixture
def bench(tmp_path):
    """Writes a record of these results, measured on this processor or another."""

    def write(*results, processor=None, name="bench.json"):
        environment = records.Environment(
            segattn="0.1.0", commit=None, python="3.11", torch="2.13", system="Linux",
            processor=processor or processor_name(), device="cpu", threads=2, precision="fp32",
        )  # fmt: skip
        record = records.BenchRecord(
            suite="bench", command="segattn bench", environment=environment, results=list(results), limits=[],
            rounds=1, warmup=0, seed=0, seconds=1.0,
        )  # fmt: skip
        return str(records.write(record, tmp_path / name))

    return write


@pytest.fixture
def said(capsys, tiny_zoo):
    def run(*arguments):
        code = main(["choose", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def most_accurate():
    return max(zoo.networks("streets"), key=lambda entry: entry.mean_iou)


def test_the_most_accurate_within_the_time_is_chosen_in_its_fastest_form(said, bench):
    best = most_accurate().name
    (other,) = [name for name in ("streets/fcn", "streets/ccnet") if name != best][:1]
    path = bench(result(best, 40.0), result(best, 30.0, "optimized"), result(other, 20.0), result(best, 60.0, "onnx"))
    code, out, _ = said("--bench", path, "--budget", "50ms")
    assert code == 0
    assert f"Chosen: {best} (optimized), " in out
    assert ", 30 ms" in out
    code, out, _ = said("--bench", path, "--budget", "25ms", "1GB", "--format", "json")
    answer = json.loads(out)
    assert answer["chosen"] == {"network": other, "form": "eager"}
    assert [entry["within"] for entry in answer["networks"]] == [True, False, False, False]
    assert {(entry["network"], entry["form"]) for entry in answer["networks"] if entry["front"]} >= {(other, "eager")}


def test_a_form_that_rounds_is_listed_but_not_chosen(said, bench):
    code, out, err = said(
        "--bench", bench(result("streets/fcn", 5.0, "int8"), result("streets/fcn", 50.0)), "--budget", "9ms"
    )
    assert code == 2
    assert "no network with a recorded accuracy is within 9 ms; the nearest is streets/fcn (eager): 50 ms" in err
    assert "not scored in this form" in out


def test_another_machine_is_named(said, bench):
    here, there = (
        bench(result("streets/fcn", 5.0)),
        bench(result("streets/fcn", 5.0), processor="Other CPU", name="o.json"),
    )
    assert "NOT this machine" not in said("--bench", here)[1]
    code, out, _ = said("--bench", there)
    assert code == 0
    assert f"measured on Other CPU, 2 threads, NOT this machine ({processor_name()})" in one_line(out)
    code, _, err = said("--bench", here, there)
    assert code == 2
    assert "the records are of 2 machines" in err


def test_counted_budgets_need_no_record(said):
    code, out, _ = said("streets", "--budget", "1TFLOPs", "--format", "json")
    assert code == 0
    assert json.loads(out)["chosen"]["network"] == most_accurate().name
    assert json.loads(out)["machine"] is None


def test_runs_have_the_accuracy_of_their_record(said, tiny_runs):
    code, out, _ = said(str(tiny_runs[0].parent), "--format", "json")
    assert code == 0
    scores = {str(run): records.read(run / "record.json").scores.mean_iou for run in tiny_runs}
    assert {entry["network"]: entry["mean_iou"] for entry in json.loads(out)["networks"]} == scores


def test_one_of_several_sizes_has_to_be_named(said, bench):
    path = bench(result("streets/fcn", 5.0), result("streets/fcn", 50.0, size=(64, 64)))
    assert "networks measured at 32x64, 64x64; give one of these as --input" in said("--bench", path)[2]
    code, out, _ = said("--bench", path, "--input", "64")
    assert code == 0
    assert "64x64 pixels, batch 1" in out
    assert "no network measured at that --input; there are: 32x64, 64x64" in said("--bench", path, "--input", "9")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give networks to choose from: folders of runs, names of segattn zoo, or --bench FILE.json"),
        (["streets", "--budget", "50ms"], "--budget 50ms needs measured networks: segattn bench --checkpoint"),
        (["streets", "--budget", "5GFLOPs", "6GFLOPs"], "limits flops twice"),
        (["streets", "--budget", "50"], "budget '50' should be a number above 0 with its unit"),
        (["streets", "--budget", "1FLOPs"], "is within 1e-09 GFLOPs; the nearest is streets/"),
        (["nowhere"], "nowhere is not a folder"),
        (["--bench", "nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_are_told(said, arguments, message):
    code, _, err = said(*arguments)
    assert code == 2
    assert message in err


def test_a_record_without_trained_networks_is_told(said, bench):
    assert (
        "no trained network measured at inference; segattn bench --checkpoint"
        in said("--bench", bench(result("", 5.0)))[2]
    )
