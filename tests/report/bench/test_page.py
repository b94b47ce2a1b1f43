"""The page, its tables and figures, of fabricated records."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path

import pytest
from rich.console import Console

from segattn import records
from segattn.report.bench import figures, page, tables
from tests.report import fabricate_bench

RESULTS = Path(__file__).parents[3] / "benchmarks/results"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    return {name: page.build(record, out / name) for name, record in
            (("comparison", fabricate_bench.comparison()), ("sweep", fabricate_bench.sweep()))}  # fmt: skip


def test_terminal_shows_every_case_and_what_went_wrong():
    out = io.StringIO()
    tables.show(fabricate_bench.comparison(), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"ccnet +fast +100 +95.0-110 +15.0 +2.00 +0.250 +160 +40 arithmetic", text)
    assert "danet (fast): out of memory: tried to allocate 9 GB" in text
    assert "fp32: 400 GFLOP/s for products of 2048 x 2048 (best 500)" in text


def test_terminal_shows_exponents_and_crossings_of_a_sweep():
    out = io.StringIO()
    tables.show(fabricate_bench.sweep(), Console(file=out, width=120))
    assert re.search(r"ccnet +time +1.50 +1.50 +1.5 ", out.getvalue())
    assert "non_local takes less time than ccnet on maps below about 32x32; above, ccnet does." in out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("path", sorted(RESULTS.glob("*--*--*.json")), ids=lambda path: path.stem.partition("--")[0])
def test_terminal_cuts_no_word_and_no_figure(path, width):
    record, stream = records.read(path), io.StringIO()
    tables.show(record, Console(file=stream, width=width))
    shown = stream.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    for group in tables.groups(record):
        for line in group.lines:
            for heading, cell in zip(tables.headings(group), tables.cells(group, line), strict=True):
                assert cell in shown.split() or (width < 110 and heading in tables._SPARE), (heading, cell)


def test_csv_has_every_digit_and_an_empty_field_for_what_there_is_not(built):
    rows = list(csv.DictReader(built["comparison"]["bench.csv"].open()))
    assert [row["outcome"] for row in rows] == ["ok"] * 4 + ["out of memory"]
    assert float(rows[1]["extra_bytes"]) == 15 * 2**20
    assert rows[4]["median_ms"] == ""
    assert rows[1]["map_size"] == "97x97"


def test_markdown_tables_have_as_many_cells_as_headings(built):
    for files in built.values():
        tables = [line for line in files["bench.md"].read_text().splitlines() if line.startswith("|")]
        for header, rule in itertools.pairwise(tables):
            if set(rule) <= set("|:-"):
                width = header.count("|")
                assert rule.count("|") == width
        assert "nan" not in files["bench.md"].read_text()


@pytest.mark.parametrize("name", ["comparison", "sweep"])
def test_page_stands_alone(built, name):
    text = built[name]["bench.html"].read_text()
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "danet (fast): out of memory" in text or name == "sweep"
    assert text.count("<svg") == text.count("</svg>") == sum(path.endswith(".svg") for path in built[name])


def test_figures_are_those_that_there_are_data_for(built):
    names = {kind: {path.removeprefix("figures/").removesuffix(".svg") for path in files if path.endswith(".svg")}
             for kind, files in built.items()}  # fmt: skip
    assert names["comparison"] == {"times_0", "roofline_0"}
    assert names["sweep"] == {"scaling_time_0", "scaling_memory_1"}


def test_crossing_is_marked_in_the_figure(built):
    text = built["sweep"]["figures/scaling_memory_1.svg"].read_text()
    assert text.count("stroke: #1b2126") >= 2  # the circle and the line across
    assert "flanet  N^0.50" in text


def test_what_a_record_says_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    results = [fabricate_bench.result(evil), fabricate_bench.result("ccnet", outcome="failed", message=evil)]
    text = page.build(fabricate_bench.record(results, command=evil), tmp_path)["bench.html"].read_text()
    assert evil not in text


def test_a_record_of_failures_alone_still_makes_a_page(tmp_path):
    record = fabricate_bench.record([fabricate_bench.result(ms=None, outcome="refused", message="no")], limits=[])
    assert "refused: no" in page.build(record, tmp_path)["bench.html"].read_text()


def test_record_is_read_back_as_it_was_written(tmp_path):
    record = fabricate_bench.comparison()
    assert records.read(records.write(record, tmp_path / "r.json")) == record


def test_names_at_the_ends_of_curves_stand_apart_and_inside():
    assert figures._apart([0.1, 0.12, 0.5], 0.05) == pytest.approx([0.1, 0.15, 0.5])
    assert figures._apart([0.3, 0.98, 0.99], 0.05) == pytest.approx([0.3, 0.92, 0.97])
