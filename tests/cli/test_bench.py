"""`segattn bench` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from segattn import records
from segattn.cli import bench, main

pytestmark = pytest.mark.slow

TINY = [
    "--heads",
    "reconet",
    "--backbone",
    "resnet18",
    "--map",
    "5",
    "--threads",
    "1",
    "--rounds",
    "2",
    "--warmup",
    "0",
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One case end to end, into a file, as CSV."""
    path = tmp_path_factory.mktemp("bench") / "deeper" / "b.json"
    done = subprocess.run(
        [sys.executable, "-m", "segattn", "bench", *TINY, "-o", str(path), "--format", "csv"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path, done


def test_record_is_written_and_says_how_it_was_made(measured):
    record = records.read(measured[0])
    assert record.command == f"segattn bench {' '.join(TINY)} -o {measured[0]} --format csv"
    assert record.environment.threads == 1
    (result,) = record.results
    assert (result.outcome, result.case.map_size, len(result.latency.samples_ms)) == ("ok", (5, 5), 2)


def test_standard_output_is_the_csv_alone(measured):
    (row,) = csv.DictReader(io.StringIO(measured[1].stdout))
    assert (row["head"], row["outcome"]) == ("reconet", "ok")
    assert float(row["median_ms"]) > 0
    assert "%" in measured[1].stderr


def test_report_makes_its_page(measured, tmp_path, capsys):
    assert main(["report", str(measured[0]), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "bench.html").is_file()
    assert "reconet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--heads", "ccnett"], "did you mean ccnet"),
        (["--input", "769", "--map", "97"], "--input and --map are two ways to give the size"),
        (["--compare", "fast"], "--compare fast should be reference and one or more of auto and fast"),
        (["--compare", "reference,quick"], "should be reference and one or more"),
        (["--compare", "reference,fast", "--implementations", "fast"], "leave --implementations out"),
        (
            ["--heads", "ccnet", "fcn", "--parts", "head", "--compare", "reference,fast"],
            "--compare reference,fast: fcn has no switch `implementation`, so all of them are the same code; leave fcn or",
        ),
        (["--heads", "fcn", "--implementations", "auto", "fast"], "--implementations auto fast: fcn has no switch"),
        (["--rounds", "0"], "--rounds 0 should be at least 1"),
        (["--batch-size", "0"], "--batch-size 0 should be at least 1"),
        (["--feature-scale", "0"], "--feature-scale 0 should be above 0"),
        (["--threads", "0"], "--threads 0 should be at least 1"),
        (["--input", "big"], "should be HEIGHTxWIDTH"),
        (["--backbone", "resnet1"], "resnet1"),
        (["--out", "/"], "is a folder; give a file"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "--device", "cuda"]) == 2
    assert "torch sees no GPU; use --device cpu" in capsys.readouterr().err


def cases(*arguments):
    return bench._cases(bench.parse(bench.BenchArguments, arguments, command="bench", description=""))


def test_by_itself_it_measures_every_mechanism_at_97x97():
    from segattn import heads

    selected = cases()
    assert [case.head for case in selected] == [name for name in heads.names() if name != "fcn"]
    assert {(case.map_size, case.part, case.phase, case.dtype, case.implementation) for case in selected} == {
        ((97, 97), "mechanism", "inference", "fp32", "auto")
    }


def test_a_sweep_is_over_maps_and_of_the_written_out_form():
    selected = cases("--sweep", "size", "--heads", "ccnet", "--backbone", "resnet18")
    assert [case.map_size[0] for case in selected] == [int(side) for side in bench.SWEEP_MAPS]
    assert {case.implementation for case in selected} == {"reference"}


def test_both_is_off_and_on():
    selected = cases("--heads", "ccnet", "--channels-last", "both", "--compile", "both", "--map", "5")
    assert [(case.channels_last, case.compile) for case in selected] == [
        (False, False), (False, True), (True, False), (True, True),
    ]  # fmt: skip


def test_scaled_features_are_a_table_of_their_own():
    from segattn.report.bench.groups import setting

    once, tenfold = cases("--heads", "ccnet", "--map", "5", "--feature-scale", "1", "10")
    assert setting(tenfold) == setting(once).replace("fp32,", "fp32, features times 10,")


def test_compare_orders_the_forms_of_a_head_side_by_side():
    selected = cases("--heads", "ccnet", "danet", "--compare", "reference,fast", "--map", "5")
    assert [(case.head, case.implementation) for case in selected] == [
        (head, form) for head in ("ccnet", "danet") for form in ("reference", "fast")
    ]


def test_among_all_heads_one_without_a_choice_of_forms_is_measured_once():
    selected = cases("--parts", "head", "--compare", "reference,fast", "--map", "5", "--backbone", "resnet18")
    forms = {head: [case.implementation for case in selected if case.head == head] for head in ("fcn", "ccnet")}
    assert forms == {"fcn": ["reference"], "ccnet": ["reference", "fast"]}


def test_json_is_the_record(measured, capsys):
    record = records.read(measured[0])
    bench._show(record, bench.BenchArguments(format="json"))
    assert json.loads(capsys.readouterr().out)["kind"] == "bench"
