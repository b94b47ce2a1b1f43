"""The marks of the table in the terminal, in a few lines."""

import textwrap

from segattn import report
from segattn.report.study.legend import legend
from tests.report import fabricate
from tests.report.study.test_terminal import printed


def test_everything_at_once_takes_at_most_five_lines(from_trunk):
    study = report.load(from_trunk)
    text = legend(study, half=True)
    assert text.startswith("± standard deviation over n seeds; after Δ half its 95 % interval; ≈ not distinguishable: ")
    for word in ("after a name from the first row", "after Δ from fcn", "gate:", "without:", "fully trained:", "†"):
        assert word in text
    assert len(textwrap.wrap(text, 80)) <= 5
    below = printed(study, 80).split("\n\n")[-1]
    assert len(below.splitlines()) <= 5
    assert " ".join(below.split()) == text


def test_a_wide_table_has_intervals(ten_by_three):
    assert "[] 95 % interval of Δ" in legend(report.load(ten_by_three), half=False)


def test_only_what_is_in_the_table_is_explained(tmp_path):
    study = report.load(fabricate.study(tmp_path, ["fcn", "ccnet"], seeds=1, with_cost=False))
    assert "±" not in legend(study, half=True).partition("after Δ")[0]
    for word in ("gate", "without", "zoo", "†", "standard deviation"):
        assert word not in legend(study, half=True)
    alone = report.load(tmp_path / "00-faithful-s0")
    assert legend(alone, half=True) == ""


def test_the_finding_above_it_is_short_and_leaves_the_tests_to_the_report(ten_by_three):
    study = report.load(ten_by_three)
    text = " ".join(printed(study, 80).split())
    assert (
        "denoised_nl has the highest mIoU, 78.79 %: 0.04 points above flanet, 5.06 points above the fcn baseline."
        in text
    )
    assert "9 of 9 attention networks are above the fcn baseline, 8 of them distinguishably." in text
    for word in ("Holm", "Softmax", "confusion matrix", "80 % power"):
        assert word not in text
        assert word in report.study.page.page(study, [])
