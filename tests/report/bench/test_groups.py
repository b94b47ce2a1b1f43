"""What a case reached of the limits, worked out by hand."""

from __future__ import annotations

import pytest

from segattn import records
from segattn.report.bench import groups, words
from tests.report import fabricate_bench


def lines(record):
    return {(line.case.head, line.case.implementation): line for line in groups.lines(record)}


def test_rates_and_shares_by_hand():
    (line,) = groups.lines(fabricate_bench.record([fabricate_bench.result(ms=100, gflops=16, moved=4e8, batch=4)]))
    assert line.flops_per_second == pytest.approx(16e9 / 0.1)  # 160 GFLOP/s
    assert line.share == pytest.approx(160 / 400)
    assert line.intensity == pytest.approx(16e9 / 4e8)  # 40 FLOPs for each byte, right of the ridge at 20
    assert line.bound == "arithmetic"
    assert line.roof_share == line.share
    assert line.images_per_second == pytest.approx(40)


def test_left_of_the_ridge_the_bandwidth_is_the_roof():
    (line,) = groups.lines(fabricate_bench.record([fabricate_bench.result(ms=100, gflops=1, moved=4e8)]))
    assert line.bound == "memory"
    assert line.roof == pytest.approx(2.5 * 2e10)
    assert line.roof_share == pytest.approx(1e10 / 5e10)
    assert line.share == pytest.approx(1e10 / 4e11)


def test_ratios_are_to_the_reference_of_the_same_case():
    by_case = lines(fabricate_bench.comparison())
    assert by_case["ccnet", "fast"].time_ratio == pytest.approx(2)
    assert by_case["ccnet", "fast"].memory_ratio == pytest.approx(1 / 4)
    assert by_case["reconet", "fast"].time_ratio == pytest.approx(8)
    assert by_case["ccnet", "reference"].time_ratio is None
    assert by_case["danet", "fast"].time_ratio is None


def test_a_reference_in_another_arithmetic_is_not_compared_with():
    results = [
        fabricate_bench.result(implementation="reference", dtype="bf16"),
        fabricate_bench.result(implementation="fast"),
    ]
    assert [line.reference for line in groups.lines(fabricate_bench.record(results))] == [None, None]


def test_groups_are_what_can_be_compared():
    results = [fabricate_bench.result(head, batch=batch) for batch in (1, 2) for head in ("ccnet", "danet")]
    both = groups.groups(fabricate_bench.record(results))
    assert [[line.case.head for line in group.lines] for group in both] == [["ccnet", "danet"]] * 2
    assert both[1].title.startswith("mechanism, inference, map 97x97 (769x769 pixels), batch 2, fp32")


def test_hours_of_the_studys_schedule():
    """80,000 steps of 450 ms are 10 hours."""
    step = {"part": "network", "phase": "training", "batch": 8}
    results = [fabricate_bench.result(head, ms=ms, **step) for head, ms in (("fcn", 450), ("danet", 900))]
    results += [fabricate_bench.result(part="network"), fabricate_bench.result(phase="training")]
    sentences = words.schedules(fabricate_bench.record(results))
    assert sentences == ["80,000 such steps (batch 8, fp32), without data loading, in hours: fcn 10.0, danet 20.0."]
    assert sentences[0] in words.notes(fabricate_bench.record(results))


def test_only_bench_records_are_bench_records(tmp_path):
    record = records.write(fabricate_bench.comparison(), tmp_path / "a.json")
    other = tmp_path / "b.json"
    other.write_text('{"kind": "run"}')
    assert groups.is_bench([record])
    assert not groups.is_bench([record, other])
    assert not groups.is_bench([tmp_path])
    assert not groups.is_bench([])


def test_another_record_is_refused(tmp_path):
    from tests.report import fabricate

    fabricate.run("fcn", 0, tmp_path, images=1)
    with pytest.raises(ValueError, match="a run record, not one of `segattn bench`"):
        groups.read(tmp_path / "record.json")
