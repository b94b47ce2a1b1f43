"""Boundaries and strata on the page and in the tables."""

import csv
import dataclasses
import io

import pytest

from segattn import records, report
from segattn.report.study import details, tables
from tests.report import fabricate

pytestmark = pytest.mark.slow


def test_values_are_means_over_seeds(ten_by_three):
    study = report.load(ten_by_three)
    line = next(line for line in details.lines(study) if line.row.head == "ccnet")
    recorded = [run.record.strata for run in line.row.runs]
    assert len(recorded) == 3
    assert line.boundary == pytest.approx(sum(strata.boundary_mean_iou for strata in recorded) / 3)
    assert line.strata[0] == pytest.approx(sum(strata.sizes[0].mean_iou for strata in recorded) / 3)
    assert line.strata[5] == pytest.approx(sum(strata.widths[2].mean_iou for strata in recorded) / 3)
    assert line.boundary_iou[5] == pytest.approx(sum(strata.boundary_iou[5] for strata in recorded) / 3)


def test_csv_markdown_and_page_show_them(ten_by_three, built):
    study = report.load(ten_by_three)
    line = details.lines(study)[0]
    first = next(csv.DictReader(io.StringIO(tables.csv_text(study))))
    assert float(first["boundary_mean_iou"]) == line.boundary
    assert float(first["mean_iou_size_small"]) == line.strata[0]
    assert float(first["mean_iou_width_thick"]) == line.strata[5]
    label = line.row.label.replace("_", r"\_")
    assert f"| {label} | {100 * line.boundary:.2f} | {100 * line.strata[0]:.2f} |" in tables.markdown(study)
    page = built["report.html"].read_text(encoding="utf-8")
    assert f"<strong>{100 * max(other.boundary for other in details.lines(study)):.2f}</strong>" in page
    assert "Cheng et al., CVPR 2021" in page


def test_records_without_them_have_no_section(tmp_path):
    record = fabricate.run("fcn", 0, tmp_path)
    records.write(dataclasses.replace(record, strata=None), tmp_path / "record.json")
    study = report.load(tmp_path)
    assert details.lines(study) == []
    page = report.build(study, tmp_path / "out")["report.html"].read_text(encoding="utf-8")
    assert "Boundaries, small and thin" not in page + tables.markdown(study)


def test_a_network_without_them_has_dashes(tmp_path):
    fabricate.run("fcn", 0, tmp_path / "a")
    record = fabricate.run("ccnet", 0, tmp_path / "b")
    records.write(dataclasses.replace(record, strata=None), tmp_path / "b" / "record.json")
    study = report.load(tmp_path)
    by_head = {line.row.head: line for line in details.lines(study)}
    assert by_head["ccnet"].boundary is None
    assert by_head["ccnet"].strata == [None] * 6
    assert by_head["fcn"].boundary > 0
    assert "| ccnet | – | – |" in tables.markdown(study)
