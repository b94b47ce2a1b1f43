"""Heads that do not start as the identity are marked, and the zoo's networks stand beside the rows, in all five formats."""

import csv
import dataclasses
import io
import re
import shutil

import pytest

from segattn import records, report
from segattn.report.study import page, start, tables, words
from tests.report import fabricate
from tests.report.study.test_page import Outline
from tests.report.study.test_terminal import printed


@pytest.fixture
def study(from_trunk):
    return report.load(from_trunk)


def reached(study, head):
    """The fabricated figure of the zoo's network in per cent: ten points above the first seed."""
    runs = [run.record for run in study.runs if run.record.head == head]
    return f"{100 * (min(runs, key=lambda record: record.seed).scores.mean_iou + 0.1):.2f}"


def test_rows_that_are_not_the_identity_at_their_start_are_cold(study):
    assert {row.head for row in study.rows if start.is_cold(row)} == set(fabricate.COLD)
    assert {row.head for row in study.rows if start.identity(row) is None} == {"fcn"}


def test_a_head_that_starts_at_random_is_not_marked(from_trunk, tmp_path):
    folder = shutil.copytree(from_trunk, tmp_path / "study")
    for path in folder.rglob("record.json"):
        record = records.read(path)
        changed = dataclasses.replace(record.start, init_head="random")
        records.write(dataclasses.replace(record, start=changed), path)
    study = report.load(folder)
    assert not any(map(start.is_cold, study.rows))
    assert start.COLD not in tables.markdown(study)


def test_a_study_without_a_trunk_has_neither_mark_nor_column_nor_note(ten_by_three):
    study = report.load(ten_by_three)
    for text in (tables.markdown(study), tables.csv_text(study), tables.latex(study), printed(study, 200)):
        for word in ("†", "dagger", "ully trained", "fully_trained", "starts_as", "cold start"):
            assert word not in text
    assert start.notes(study) == []


def test_markdown_marks_the_name_and_has_the_column_and_both_notes(study):
    text = tables.markdown(study)
    lines = text.splitlines()
    assert "| Without attention % | Fully trained (zoo) % | Pixel acc. % |" in lines[4]
    assert f"| {reached(study, 'isanet')} |" in next(line for line in lines if line.startswith("| isanet† ≈ |"))
    assert "| – |" in next(line for line in lines if line.startswith("| danet |")).split("(−11.73)")[1][:8]
    assert any(line.startswith("- †: does not start as the identity: its lower mIoU after few steps") for line in lines)
    note = next(line for line in lines if line.startswith("- Fully trained (zoo): "))
    assert "on the trunk streets-local" in note
    assert "on the 200 validation scenes of the zoo" in note


def test_csv_has_every_digit(study):
    lines = {line["head"]: line for line in csv.DictReader(io.StringIO(tables.csv_text(study)))}
    assert {head: line["starts_as_identity"] for head, line in lines.items()} == {
        head: "" if head == "fcn" else "no" if head in fabricate.COLD else "yes" for head in fabricate.HEADS
    }
    network = start.fully_trained(study, next(row for row in study.rows if row.head == "ccnet"))
    assert float(lines["ccnet"]["fully_trained_mean_iou"]) == network.mean_iou
    assert (lines["ccnet"]["fully_trained"], lines["danet"]["fully_trained"]) == ("streets-local/ccnet", "")


def test_latex_marks_the_name_and_has_as_many_cells_in_every_line(study):
    text = tables.latex(study)
    (columns,) = re.findall(r"\\begin{tabular}{(lr*)}", text)
    heading, body = text.split(r"\toprule")[1].split(r"\bottomrule")[0].split(r"\midrule")
    above, below = (line for line in heading.strip().splitlines() if "&" in line)
    spanned = sum(int(number) - 1 for number in re.findall(r"\\multicolumn{(\d)}", above))
    assert len(above.split("&")) + spanned == len(re.split(r"(?<!\\)&", below)) == len(columns) == 13 + 4
    assert {len(re.split(r"(?<!\\)&", line)) for line in body.strip().splitlines()} == {len(columns)}
    assert r"\cmidrule(lr){9-11}" in text
    assert "\nisanet\\textdagger{} $\\approx$ & " in body
    assert "price of a cold start" in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_terminal_marks_the_name_and_shows_the_column(study, width):
    text = printed(study, width)
    assert max(map(len, text.splitlines())) <= width
    for row in study.rows:
        name = f"{row.label}†" if row.head in fabricate.COLD else row.label
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ") and "±" in line]
        assert row.head == "danet" or reached(study, row.head) in line.split()
    joined = " ".join(text.split())
    assert "fully trained: streets-local of segattn zoo" in joined
    assert (
        "† does not start as the identity: its lower mIoU after few steps is also the price of a cold start" in joined
    )


def test_an_ascii_terminal_gets_a_star(study):
    assert "isanet* ~" in printed(study, 80, encoding="ascii")


def test_the_page_marks_the_name_and_has_the_column(study):
    text = page.page(study, [])
    Outline(text)  # tags nest
    assert "Fully trained (zoo)&nbsp;%</th>" in text
    assert f'<span title="streets-local/ccnet">{reached(study, "ccnet")}</span>' in text
    assert f'isanet<abbr class="mark" title="{start.PRICE}">†</abbr>' in text
    table = text.split('<table class="sortable main">')[1].split("</table>")[0]
    rows = table.split("<tbody>")[1].split("<tr")[1:]
    assert len({row.count("<td") for row in rows}) == 1
    for note in words.footnotes(study):  # every definition is in the report
        assert note.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;") in text
