"""Gates and scores without attention: their means over seeds, their columns, and no column where nothing is recorded."""

import csv
import dataclasses
import io
import re
import shutil

import pytest

from segattn import records, report
from segattn.report.study import contribution, page, tables
from tests.report import fabricate
from tests.report.study.test_page import Outline
from tests.report.study.test_terminal import printed


@pytest.fixture
def study(with_contribution):
    return report.load(with_contribution)


def row_of(study, head):
    return next(row for row in study.rows if row.head == head)


def csv_lines(study):
    return {line["head"]: line for line in csv.DictReader(io.StringIO(tables.csv_text(study)))}


def test_gate_is_the_mean_magnitude_over_seeds(study):
    # recorded: 0.1, -0.1, 0.1 in the three seeds
    assert contribution.gates(row_of(study, "ccnet")) == pytest.approx({"gamma": 0.1})
    assert contribution.gates(row_of(study, "danet")) == pytest.approx({"position.gamma": 0.1, "channel.beta": 0.2})
    assert contribution.gates(row_of(study, "isanet")) == contribution.gates(row_of(study, "fcn")) == {}


def test_score_without_attention_is_the_mean_over_the_seeds_that_recorded_it(with_contribution, tmp_path):
    folder = shutil.copytree(with_contribution, tmp_path / "study")
    runs = [run for run in report.load(folder).runs if run.record.head == "ccnet"]
    records.write(
        dataclasses.replace(runs[0].record, without_attention=None, gates=None), runs[0].folder / "record.json"
    )
    pair = contribution.mean_iou(row_of(report.load(folder), "ccnet"))
    cut = [run.record.without_attention.mean_iou for run in runs[1:]]
    having = [run.record.scores.mean_iou for run in runs[1:]]
    assert pair.without == pytest.approx(sum(cut) / 2)
    assert pair.difference == pytest.approx((sum(cut) - sum(having)) / 2)


def test_classes_and_strata_have_pairs(study):
    row = row_of(study, "ccnet")
    record = row.runs[0].record
    pairs = contribution.classes(row)
    assert len(pairs) == len(record.class_names)
    assert pairs[0].having == pytest.approx(row.iou[0])
    assert pairs[0].without < pairs[0].having
    details = contribution.details(row)
    assert next(iter(details)) == "boundary mIoU"
    assert details["boundary mIoU"].difference == pytest.approx(-0.05)
    assert details["size: small"].difference == pytest.approx(-0.02)
    assert details["width: thick"].difference == pytest.approx(-0.03)
    assert contribution.classes(row_of(study, "fcn")) == []
    assert contribution.details(row_of(study, "fcn")) == {}


def test_a_study_that_records_neither_has_no_column_and_no_note(ten_by_three):
    study = report.load(ten_by_three)
    texts = [tables.markdown(study), tables.csv_text(study), tables.latex(study), printed(study, 200)]
    for text in texts:
        assert "gate" not in text.lower()
        assert "without attention" not in text.lower().replace("_", " ")
    assert contribution.notes(study) == []


def test_a_study_of_the_baseline_alone_has_neither_column(tmp_path):
    fabricate.run("fcn", 0, tmp_path, images=0, gates={}, without_attention=None)
    assert tables.contribution_headings(report.load(tmp_path)) == []


def test_only_the_column_that_something_is_recorded_for_is_there(tmp_path):
    fabricate.run("isanet", 0, tmp_path, images=0)
    fabricate.add_contribution(tmp_path)
    assert tables.contribution_headings(report.load(tmp_path)) == ["Without attention %"]


def test_markdown_and_csv_have_the_values(study):
    pair = contribution.mean_iou(row_of(study, "danet"))
    cell = f"{100 * pair.without:.2f} (−{-100 * pair.difference:.2f})"
    lines = tables.markdown(study).splitlines()
    assert "| Δ fcn | Gate | Without attention % | Pixel acc. % |" in lines[4]
    assert f"| 0.100/0.200 | {cell} |" in next(line for line in lines if line.startswith("| danet |"))
    assert "| – | – | – |" in next(line for line in lines if line.startswith("| fcn |"))
    values = csv_lines(study)
    assert float(values["danet"]["mean_iou_without_attention"]) == pair.without
    assert float(values["danet"]["delta_without_attention"]) == pair.difference
    assert float(values["danet"]["gate_channel.beta"]) == pytest.approx(0.2)
    assert values["fcn"]["gate_gamma"] == values["fcn"]["mean_iou_without_attention"] == ""


def test_latex_has_as_many_cells_in_every_line(study):
    text = tables.latex(study)
    (columns,) = re.findall(r"\\begin{tabular}{(lr*)}", text)
    assert len(columns) == 12 + 4
    assert r"\cmidrule(lr){8-10}" in text
    heading, body = text.split(r"\toprule")[1].split(r"\bottomrule")[0].split(r"\midrule")
    above, below = (line for line in heading.strip().splitlines() if "&" in line)
    spanned = sum(int(number) - 1 for number in re.findall(r"\\multicolumn{(\d)}", above))
    assert len(above.split("&")) + spanned == len(below.split("&")) == len(columns)
    assert {len(re.split(r"(?<!\\)&", line)) for line in body.strip().splitlines()} == {len(columns)}


def test_notes_say_what_was_replaced_by_what(study):
    gate, without = contribution.notes(study)
    assert gate.startswith("Gate: the learnt factor")
    assert "not retrained" in without
    assert "replaced by its input; in isanet, reconet by the mean of each of its channels" in without
    only = dataclasses.replace(study, rows=[row_of(study, "isanet")])
    assert contribution.notes(only)[0].endswith(
        "The mechanism's output is replaced by the mean of each of its channels over these images."
    )
    text = page.page(study, [])
    assert all(note.replace("'", "&#39;") in text for note in (gate, without))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_terminal_table_fits_and_says_what_is_left_out(study, width):
    text = printed(study, width)
    assert max(map(len, text.splitlines())) <= width
    pair = contribution.mean_iou(row_of(study, "denoised_nl"))
    (line,) = [line for line in text.splitlines() if line.startswith("denoised_nl ") and "±" in line]
    assert f"{100 * pair.without:.2f} (−{-100 * pair.difference:.2f})" in line
    assert any("0.100/0.200" in line for line in text.splitlines() if line.startswith("danet "))
    _, marker, rest = text.partition("not shown at this width")
    left_out = " ".join(f"{marker}{rest}".partition("\n\n")[0].split())
    assert ("pixel acc. %" in left_out) == ("96.66" not in line)
    assert (
        left_out
        == {
            80: "not shown at this width: pixel acc. %, head GFLOPs, network GFLOPs, param. M, train s",
            100: "not shown at this width: pixel acc. %, head GFLOPs, network GFLOPs",
            140: "not shown at this width: pixel acc. %",
        }[width]
    )


def test_a_table_that_fits_leaves_nothing_out(ten_by_three):
    assert "not shown" not in printed(report.load(ten_by_three), 110)


def test_an_ascii_terminal_gets_ascii(study):
    assert "-11." in printed(study, 80, encoding="ascii")


@pytest.mark.slow
def test_page_has_both_columns_and_a_dash_for_the_baseline(study, tmp_path):
    text = report.build(study, tmp_path)["report.html"].read_text(encoding="utf-8")
    Outline(text)  # tags nest
    assert '<th scope="col" rowspan="2" class="number">Gate</th>' in text
    assert "Without attention&nbsp;%</th>" in text
    pair = contribution.mean_iou(row_of(study, "ccnet"))
    assert f'{100 * pair.without:.2f} <span class="quiet small">(−{-100 * pair.difference:.2f})</span>' in text
    assert "0.100/0.200" in text
    table = text.split('<table class="sortable main">')[1].split("</table>")[0]
    rows = table.split("<tbody>")[1].split("<tr")[1:]
    assert len({row.count("<td") for row in rows}) == 1
    baseline = next(row for row in rows if 'class="baseline"' in row)
    assert baseline.count(">–</td>") == 3  # difference, gate, without attention
