"""Tests and marks in words, and where the marks stand in every form of the table."""

import csv
import dataclasses
import io
import re

import pytest

from segattn import records, report
from segattn.report.study import certainty, page, tables, words
from tests.report import fabricate
from tests.report.study.test_terminal import printed
from tests.report.study.test_words import study_of


@pytest.fixture
def study(ten_by_three):
    """In it reconet is not distinguishable from fcn, and flanet not from the first row, denoised_nl."""
    return report.load(ten_by_three)


def notes(study):
    return " ".join(certainty.mark_notes(study, "the fcn baseline"))


def test_rows_close_to_first_and_baseline_are_marked(study):
    marks = {row.label: study.marks(row) for row in study.rows}
    assert marks["flanet"] == (True, False)
    assert marks["reconet"] == (True, True)
    assert marks["danet"] == marks["denoised_nl"] == marks["fcn"] == (False, False)


def test_p_values_are_corrected_for_the_comparisons_with_the_baseline(study):
    alone = {label: contrast.difference.p for label, contrast in study.contrasts.items()}
    smallest = min(alone, key=alone.get)
    assert study.baseline_verdict.p[smallest] == pytest.approx(9 * alone[smallest])
    assert study.baseline_verdict.p["reconet"] == pytest.approx(max(alone.values()))


def test_the_footnote_says_what_both_marks_mean(study):
    assert (
        "≈: after a name, not distinguishable from the first row; after Δ, not distinguishable from the fcn baseline"
        " (paired t over images and seeds, Holm-corrected for 9 comparisons, p ≥ 0.05)"
    ) in notes(study)
    assert "Tests cover seed-to-seed variation and the choice of images." in notes(study)


def test_marks_stand_beside_name_and_difference_in_every_form(study):
    reconet = next(row for row in study.rows if row.head == "reconet")
    cells = tables.cells(study, reconet)
    low, high = (100 * end for end in (study.delta(reconet).low, study.delta(reconet).high))
    text = f"+2.59 [{low:.2f}, {high:.2f}] ≈".replace("-", "−")
    assert (cells[0], cells[3]) == ("reconet ≈", text)
    half = f"+2.59 ±{(high - low) / 2:.2f} ≈"
    assert half in printed(study, 80)
    assert "pixel" not in printed(study, 80).split("denoised_nl")[0]
    assert text in printed(study, 140)
    assert half.replace("±", "+-").replace("≈", "~") in printed(study, 80, "ascii")
    assert f"| reconet ≈ | 76.32 ± 1.12 | 3 | {text} |".replace("[", r"\[").replace("]", r"\]") in tables.markdown(
        study
    )
    assert r"] $\approx$ & " in next(line for line in tables.latex(study).splitlines() if line.startswith("reconet"))
    html = page.page(study, [])
    assert len(re.findall('title="not distinguishable from the fcn baseline: Holm-corrected p = ', html)) == 1
    assert len(re.findall('title="not distinguishable from the first row: Holm-corrected p = ', html)) == len(
        study.verdict.unclear
    )


def test_csv_has_test_p_value_and_components(study):
    lines = {line["head"]: line for line in csv.DictReader(io.StringIO(tables.csv_text(study)))}
    ccnet, contrast = lines["ccnet"], study.contrasts["ccnet"]
    assert (ccnet["delta_fcn_test"], ccnet["p_to_first_test"]) == ("two-way", "two-way")
    assert float(ccnet["delta_fcn_p_holm"]) == study.baseline_verdict.p["ccnet"]
    assert float(ccnet["delta_fcn_std_between_seeds"]) ** 2 == pytest.approx(contrast.spread.between_seeds)
    assert float(ccnet["delta_fcn_error_of_images"]) ** 2 == pytest.approx(contrast.spread.between_images)
    assert lines["fcn"]["delta_fcn_test"] == lines["denoised_nl"]["p_to_first"] == ""


def test_a_row_without_a_seed_is_named_and_the_others_stay_paired(tmp_path):
    folder = fabricate.study(tmp_path, ["fcn", "ccnet", "flanet"], seeds=3, with_cost=False)
    study_record = records.read(folder / "study.json")
    kept = [name for name in study_record.runs if not name.startswith("08-")]  # the third run of flanet
    records.write(dataclasses.replace(study_record, runs=kept), folder / "study.json")
    study = report.load(folder)
    assert {label: contrast.test for label, contrast in study.contrasts.items()} == {
        "ccnet": "two-way",
        "flanet": "seeds",
    }
    assert "Not paired by seed: flanet has no seed 2." in words.footnotes(study)
    delta = next(note for note in words.footnotes(study) if note.startswith("Δ fcn"))
    assert "Welch's t over unpaired seeds and paired t over images and seeds" in delta or (
        "paired t over images and seeds and Welch's t over unpaired seeds" in delta
    )


def test_two_seeds_are_called_too_few(tmp_path):
    two = report.load(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=2, with_cost=False))
    assert "With two seeds, 95 % intervals" in notes(two)
    assert "Run a third seed." in notes(two)


def test_three_seeds_are_not(study):
    assert "two seeds" not in notes(study)


def test_the_finding_counts_what_is_distinguishable_from_the_baseline(study):
    text = " ".join(words.finding(study))
    assert "9 of 9 attention networks are above the fcn baseline, 8 of them distinguishably (" in text
    assert "too few seeds or images to distinguish it from flanet" in text


def test_one_seed_says_that_it_covers_images_only(tmp_path):
    study = study_of(tmp_path, fcn=[0.40], ccnet=[0.401])
    text = " ".join(words.finding(study) + words.footnotes(study))
    assert "distinguishably" not in text
    assert "One seed does not show seed-to-seed variation" in text
