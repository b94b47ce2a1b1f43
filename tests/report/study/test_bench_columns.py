"""Latency and memory in a study's report: one setting, and a dash for what was not measured."""

from __future__ import annotations

import csv
import dataclasses
import re

import pytest

from segattn import records, report
from segattn.report.study import figures, tables
from tests.report import fabricate, fabricate_bench

pytestmark = pytest.mark.slow

HEADS = ["fcn", "ccnet", "danet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of three heads with a bench record of two of them in its folder."""
    study = fabricate.study(tmp_path_factory.mktemp("measured"), HEADS, seeds=1)
    records.write(fabricate_bench.networks(["ccnet", "danet"]), study / "bench.json")
    return study


def test_a_record_in_the_folder_is_taken_along(folder):
    assert report.load(folder).bench_columns.part == "network"


def test_a_record_can_be_named_beside_the_study(tmp_path):
    study = fabricate.study(tmp_path / "study", HEADS, seeds=1)
    bench = records.write(fabricate_bench.networks(HEADS), tmp_path / "mine.json")
    assert report.load([study]).bench_columns is None
    assert report.load([study, bench]).bench_columns.latency_ms(("danet", "faithful")) == 120


def test_columns_have_figures_and_dashes(folder):
    study = report.load(folder)
    column = tables.headings(study).index("Network latency ms, resnet101 at 769×769")
    columns = {row.label: tables.cells(study, row)[column : column + 2] for row in study.rows}
    assert columns == {"ccnet": ["100", "1,000"], "danet": ["110", "990"], "fcn": ["–", "–"]}


def test_without_measurements_there_are_no_columns(tmp_path):
    study = report.load(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1))
    assert not [heading for heading in tables.headings(study) if "latency" in heading]


def test_every_output_has_the_figures(folder, tmp_path):
    written = report.build(folder, tmp_path)
    assert ">latency ms<" in written["report.html"].read_text()
    assert "Lat." in written["table.tex"].read_text()
    rows = {row["head"]: row for row in csv.DictReader(written["table.csv"].open())}
    assert float(rows["ccnet"]["latency_ms"]) == 100
    assert float(rows["ccnet"]["extra_memory_bytes"]) == 1000 * 2**20
    assert rows["fcn"]["latency_ms"] == ""
    assert {"figures/accuracy_latency.svg", "figures/accuracy_memory.svg"} <= set(written)


def test_latex_lines_have_as_many_cells_as_the_header(folder):
    lines = [line for line in tables.latex(report.load(folder)).splitlines() if line.endswith(r"\\")]
    assert (
        len({line.count("&") + sum(int(n) - 1 for n in re.findall(r"multicolumn{(.)}", line)) for line in lines}) == 1
    )


def test_accuracy_against_latency_names_only_what_was_measured(folder):
    drawn = {figure.name: figure for figure in figures.draw(report.load(folder))}
    svg = drawn["accuracy_latency"].svg
    assert "ccnet" in svg
    assert "danet" in svg
    assert "fcn" not in svg


def test_one_measured_network_is_no_figure(tmp_path):
    study = fabricate.study(tmp_path, HEADS, seeds=1)
    records.write(fabricate_bench.networks(["danet"]), study / "bench.json")
    assert "accuracy_latency" not in {figure.name for figure in figures.draw(report.load(study))}


def networks(changes, **more):
    record = fabricate_bench.networks(["ccnet"])
    results = [dataclasses.replace(one, case=dataclasses.replace(one.case, **changes)) for one in record.results[:1]]
    return fabricate_bench.record(results, **more)


@pytest.mark.parametrize(
    "changes", [{"part": "head"}, {"input_size": (513, 513)}, {"backbone": "resnet18"}, {"batch": 8}, {"dtype": "bf16"}]
)
def test_the_setting_that_says_more_is_chosen(tmp_path, changes):
    study = fabricate.study(tmp_path, ["ccnet", "fcn"], seeds=1)
    records.write(networks(changes), study / "bench-a.json")
    records.write(networks({}), study / "bench-b.json")
    assert "network, inference, 769x769 pixels, batch 1, fp32" in report.load(study).bench_columns.title
    assert "resnet101" in report.load(study).bench_columns.title


def test_training_steps_are_not_latencies(tmp_path):
    study = fabricate.study(tmp_path, ["ccnet", "fcn"], seeds=1)
    records.write(networks({"phase": "training"}), study / "bench.json")
    assert report.load(study).bench_columns is None


def test_the_fast_form_stands_before_the_reference(tmp_path):
    study = fabricate.study(tmp_path, ["ccnet", "reconet"], seeds=1)
    records.write(fabricate_bench.comparison(), study / "bench.json")
    assert report.load(study).bench_columns.latency_ms(("reconet", "faithful")) == 50
