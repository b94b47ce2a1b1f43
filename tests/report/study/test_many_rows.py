"""A study of more networks than a page can show: the best are shown, the others folded, and table.csv has all."""

import csv
import dataclasses
import re

import pytest

from segattn import records, report
from segattn.report.study import certainty, contribution, curves, figures, page, protocol, study, swept, tables, words
from tests.report import fabricate
from tests.report.study.test_terminal import printed

RATES = (0.001, 0.003, 0.01, 0.03)


def sweep(folder, heads=("ccnet", "fcn"), rates=RATES):
    """Write a study of each head at each learning rate, one seed each; the larger the rate, the longer it trains."""
    names = []
    for head in heads:
        for number, rate in enumerate(rates):
            name = f"{head}-lr{rate}-s0"
            record = fabricate.run(head, number, folder / name, images=0)  # numbers differ by rate: other scores
            config = {**record.config, "seed": 0, "optimization": {**record.config["optimization"], "lr": rate}}
            changed = dataclasses.replace(record, seed=0, config=config, iterations=100 * (number + 1))
            records.write(changed, folder / name / "record.json")
            names.append(f"{name}/record.json")
    records.write(
        records.StudyRecord(
            experiment="synthetic", command="", runs=names, costs=[], environment=fabricate.ENVIRONMENT,
            head_facts={head: fabricate.facts(head) for head in heads}, swept=["optimization.lr"],
        ),
        folder / "study.json",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def swept_folder(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture
def three_shown(monkeypatch):
    for module in (study, words, figures):
        monkeypatch.setattr(module, "MOST_SHOWN", 3)
    for module in (curves, swept):
        monkeypatch.setattr(module, "MOST_PANELS", 1)


@pytest.fixture
def two_named(monkeypatch):
    for module in (certainty, contribution, words):
        monkeypatch.setattr(module, "MOST_NAMED", 2)


def test_all_rows_are_shown_where_they_are_few(swept_folder):
    few = report.load(swept_folder)
    assert (few.shown, few.folded, words.shown_note(few)) == (few.rows, [], "")


def test_best_rows_and_the_best_baseline_are_shown_and_the_others_folded(swept_folder, three_shown):
    many = report.load(swept_folder)
    assert [row.head for row in many.rows] == 4 * ["ccnet"] + 4 * ["fcn"]
    assert many.shown == [*many.rows[:3], many.rows[4]]
    assert many.folded == [many.rows[3], *many.rows[5:]]
    assert words.shown_note(many) == (
        "Tables and figures show the 3 networks of highest mIoU and the best baseline; table.csv has all 8. Tests compare all."
    )
    assert len(many.verdict.p) == 7


@pytest.mark.slow
def test_report_of_many_rows(swept_folder, three_shown, tmp_path):
    written = report.build(swept_folder, tmp_path)
    assert len(list(csv.DictReader(written["table.csv"].open()))) == 8
    text = written["report.md"].read_text()
    assert (
        len([line for line in text.splitlines() if line.startswith(("| ccnet", "| fcn"))]) == 2 * 4
    )  # table and strata
    assert "table.csv has all 8" in text
    assert "table.csv has all 8" in written["table.tex"].read_text()
    html = written["report.html"].read_text()
    assert "<summary>The other 4 networks</summary>" in html
    folded = html.partition("<summary>")[2].partition("</details>")[0]
    assert folded.count('<tr><th scope="row">') == 4
    loss = written["figures/loss.svg"].read_text()
    assert len(re.findall(r"<text[^>]*>ccnet \(lr=", loss)) == 1  # one panel
    assert "The 1 networks of highest mIoU" in html
    assert "Names: the best points of the Pareto front" in html
    assert "1 more are not drawn" in html  # the curve of fcn over lr


def test_terminal_says_that_rows_are_left_out(swept_folder, three_shown):
    text = printed(report.load(swept_folder), 80)
    assert "has all 8" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_sentences_give_the_number_of_many_names(tmp_path, two_named):
    folder = sweep(tmp_path, ("psp", "fcn"))
    many = report.load(folder)
    assert "With context but without attention, 4 of 4 networks are above the fcn baseline." in words.finding(many)
    verdict = dataclasses.replace(
        many.verdict, p=dict(zip(many.verdict.p, [0.9, 0.8, 0.7, 0.01, 0, 0, 0], strict=True))
    )
    assert certainty.distinguishable(verdict)[0].startswith(
        "There are too few images to distinguish it from 3 of the 7 others, marked ≈; it is above the rest ("
    )


def test_settings_of_many_values_name_the_first(swept_folder, monkeypatch):
    monkeypatch.setattr(protocol, "_VALUES", 2)
    (rates,) = [setting for setting in protocol.settings(report.load(swept_folder)) if setting.key == "optimization.lr"]
    assert len(rates.values) == 3
    assert rates.values[-1] == ("and 2 more values", "")


def test_main_tables_have_a_column_for_each_swept_setting(swept_folder):
    loaded = report.load(swept_folder)
    assert tables.headings(loaded)[:3] == ["Head", "lr", "mIoU %"]
    assert {row.label for row in loaded.rows} >= {"ccnet (lr=0.001)", "fcn (lr=0.03)"}
    assert [tables.cells(loaded, row)[1] for row in loaded.rows if row.head == "fcn"] == [
        str(row.swept["lr"]) for row in loaded.rows if row.head == "fcn"
    ]
    assert tables.cells(loaded, loaded.rows[0])[0].split()[0] == "ccnet"
    latex = tables.latex(loaded)
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") for line in body[1:]}) == 1
    assert r"Head & lr & mIoU \% & $n$" in latex
    assert r"\cmidrule(lr){7-9}" in latex  # head, lr, mIoU, n, difference, pixel accuracy; then GFLOPs
    html = page.page(loaded, [])
    assert '<th scope="col" rowspan="2" class="number">lr</th>' in html
    assert '<td class="number">0.003</td>' in html


def test_settings_stay_in_the_label_beside_mode_and_experiment(swept_folder, tmp_path):
    controlled = fabricate.run("ccnet", 0, tmp_path / "ccnet-controlled-s0", images=0, mode="controlled")
    assert controlled.config["optimization"]["lr"] == 0.01
    both = report.load([swept_folder, tmp_path / "ccnet-controlled-s0"])
    names = {(row.label, row.name) for row in both.rows}
    assert ("ccnet (lr=0.01, controlled)", "ccnet (controlled)") in names
    assert ("ccnet (lr=0.01, faithful)", "ccnet (faithful)") in names


def test_best_of_each_budget(swept_folder, monkeypatch):
    loaded = report.load(swept_folder)
    sentences = swept.best(loaded)
    assert [sentence.split(",")[0] for sentence in sentences] == [
        f"Within {n} iterations" for n in (100, 200, 300, 400)
    ]
    tops = [sentence.partition(", ")[2] for sentence in sentences]
    monkeypatch.setattr(swept, "_MOST", 3)
    assert [sentence.partition(", ")[2] for sentence in swept.best(loaded)] == list(dict.fromkeys(tops))
