"""Which row the others are compared with: what the records say of the heads, and what is done where they do not."""

import csv
import dataclasses
import io

import pytest

from segattn import records, report
from segattn.records import HeadFacts
from segattn.report.study import figures, page, tables, terminal, words
from tests.places import ROOT
from tests.report import fabricate

TENTH = HeadFacts(family="spectral")
PLAIN = HeadFacts(family="baseline", baseline=True)


def without_facts(folder):
    """The records of a study as version 0.1.0 wrote them."""
    for path in [folder / "study.json", *folder.glob("*/record.json")]:
        record = records.read(path)
        empty = {} if path.name == "study.json" else None
        records.write(dataclasses.replace(record, head_facts=empty), path)
    return folder


def test_old_records_have_the_head_whose_mechanism_costs_nothing_as_baseline(tmp_path):
    study = report.load(without_facts(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1)))
    assert {row.head: (row.facts, row.is_baseline) for row in study.rows} == {
        "ccnet": (None, False), "fcn": (None, True),
    }  # fmt: skip
    assert study.baseline_name == "fcn"
    assert study.delta(study.rows[0]).value > 0


def test_old_records_without_costs_have_no_baseline(tmp_path):
    study = report.load(without_facts(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1, with_cost=False)))
    assert not any(row.is_baseline for row in study.rows)
    assert [study.delta(row) for row in study.rows] == [None, None]
    assert "baseline" not in " ".join([*words.finding(study), *words.footnotes(study)])
    assert tables.headings(study)[3] == "Δ baseline"
    assert "delta_baseline" in tables.csv_text(study).splitlines()[0]


def test_the_study_of_version_0_1_0_is_compared_with_fcn():
    study = report.load(ROOT / "tests" / "golden" / "version_0_1_0" / "study")
    assert {row.head: row.is_baseline for row in study.rows} == {"emanet": False, "fcn": True}
    assert "the fcn baseline" in " ".join(words.finding(study) + words.footnotes(study))


@pytest.fixture
def of_ones_own(tmp_path):
    """A tenth head and a baseline that nobody here knows."""
    for index, (head, facts) in enumerate([("mylab.tenth", TENTH), ("mylab.plain", PLAIN), ("ccnet", None)]):
        changes = {} if facts is None else {"head_facts": facts}
        fabricate.run(head, 0, tmp_path / str(index), **changes)
    return report.load(tmp_path)


def test_a_head_of_ones_own_has_its_family_in_table_and_page(of_ones_own):
    lines = {line["head"]: line for line in csv.DictReader(io.StringIO(tables.csv_text(of_ones_own)))}
    assert lines["mylab.tenth"]["family"] == "spectral"
    html = page.page(of_ones_own, [])
    assert '<span class="quiet small">spectral</span>' in html


def test_any_head_can_be_the_baseline_and_gives_its_name(of_ones_own):
    assert of_ones_own.baseline_name == "mylab.plain"
    assert tables.headings(of_ones_own)[3] == "Δ mylab.plain"
    assert "Δ\nmylab.plain" in terminal.headings(of_ones_own, interval=False)
    assert "mylab.plain baseline" in " ".join(words.finding(of_ones_own) + words.footnotes(of_ones_own))
    assert r"$\Delta$ mylab.plain" in tables.latex(of_ones_own)
    html = page.page(of_ones_own, figures.draw(of_ones_own))
    assert "the mylab.plain baseline" in html
    assert "fcn" not in html


def test_facts_of_a_study_serve_runs_that_have_none(tmp_path):
    folder = fabricate.study(tmp_path, ["mylab.plain", "ccnet"], seeds=1, with_cost=False)
    for path in folder.glob("*/record.json"):
        records.write(dataclasses.replace(records.read(path), head_facts=None), path)
    study = records.read(folder / "study.json")
    facts = {**study.head_facts, "mylab.plain": PLAIN}
    records.write(dataclasses.replace(study, head_facts=facts), folder / "study.json")
    assert report.load(folder).baseline_name == "mylab.plain"


def test_several_baselines_have_no_name_of_their_own(tmp_path):
    for index, (head, facts) in enumerate([("fcn", PLAIN), ("mylab.plain", PLAIN), ("ccnet", TENTH)]):
        fabricate.run(head, 0, tmp_path / str(index), head_facts=facts)
    study = report.load(tmp_path)
    assert study.baseline_name == "baseline"
    assert words.baseline_text(study) == "the baseline"
