"""Heads grouped and coloured by family, where a study has several."""

import dataclasses

import pytest

from segattn import records, report
from segattn.cost import head_facts
from segattn.records.head_facts import FAMILIES
from segattn.report.shared.student import mean
from segattn.report.study import families
from tests.report import fabricate

pytestmark = pytest.mark.slow
HEADS = ["fcn", "non_local", "ccnet", "danet", "emanet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study whose records have the facts that the heads declare."""
    folder = fabricate.study(tmp_path_factory.mktemp("families"), HEADS, seeds=2)
    path = folder / "study.json"
    facts = {head: head_facts(head) for head in HEADS}
    record = dataclasses.replace(records.read(path), head_facts=facts)
    records.write(record, path)
    for run in record.runs:
        own = records.read(folder / run)
        records.write(dataclasses.replace(own, head_facts=facts[own.head]), folder / run)
    return folder


def test_groups_hold_every_row_once_best_first(folder):
    study = report.load(folder)
    groups = families.groups(study)
    assert [group.family for group in groups] == ["baseline", "pairwise", "criss-cross", "basis"]
    assert sorted(row.head for group in groups for row in group.rows) == sorted(HEADS)
    pairwise = groups[1]
    assert pairwise.meaning == FAMILIES["pairwise"]
    assert [row.mean_iou for row in pairwise.rows] == sorted((row.mean_iou for row in pairwise.rows), reverse=True)
    assert {row.head for row in pairwise.rows} == {"non_local", "danet"}
    baseline = next(row for row in study.rows if row.head == "fcn")
    assert pairwise.mean_delta == pytest.approx(mean([row.mean_iou - baseline.mean_iou for row in pairwise.rows]))
    assert groups[0].mean_delta is None


def test_page_lists_families_and_figures_have_their_colours(folder, tmp_path):
    built = report.build([folder], tmp_path)
    page = built["report.html"].read_text(encoding="utf-8")
    assert 'id="families"' in page
    assert "A point has the colour of its head's family." in page
    svg = built["figures/accuracy_network_trained.svg"].read_text()
    assert families.COLOURS["criss-cross"] in svg
    assert families.COLOURS["basis"] in svg


def test_one_family_beside_the_baseline_is_not_grouped(tmp_path):
    study = report.load(fabricate.study(tmp_path / "study", ["fcn", "ccnet", "danet"], seeds=1))  # all "invented"
    assert families.groups(study) == []
    page = report.build([tmp_path / "study"], tmp_path / "out")["report.html"].read_text(encoding="utf-8")
    assert 'id="families"' not in page
    assert "Filled blue points" in page


def test_families_of_ones_own_come_last_in_grey_and_without_words(folder):
    study = report.load(folder)
    odd = dataclasses.replace(study.rows[0], facts=records.HeadFacts(family="<spectral>"))
    groups = families.groups(dataclasses.replace(study, rows=[odd, *study.rows[1:]]))
    assert (groups[-1].family, groups[-1].meaning) == ("<spectral>", "")
    assert groups[-1].colour not in families.COLOURS.values()


def test_every_family_has_a_colour_of_its_own():
    assert list(families.COLOURS) == list(FAMILIES)
    assert len(set(families.COLOURS.values())) == len(FAMILIES)


def test_records_without_facts_are_not_grouped(tmp_path):
    fabricate.run("ccnet", 0, tmp_path / "a")
    fabricate.run("fcn", 0, tmp_path / "b")
    study = report.load(tmp_path)
    assert (
        families.groups(dataclasses.replace(study, rows=[dataclasses.replace(row, facts=None) for row in study.rows]))
        == []
    )
