"""Heat maps and confusions against counts by hand."""

import numpy as np
import pytest

from segattn import report
from segattn.report.study import classes
from tests.report import fabricate

NAMES = ["road", "building", "pole"]


def run(folder, head, confusion, seed=0):
    scores = fabricate.scores(np.array(confusion))
    fabricate.run(head, seed, folder, images=0, class_names=NAMES, palette=[(0, 0, 0)] * 3, scores=scores)


@pytest.fixture
def study(tmp_path):
    run(tmp_path / "a", "fcn", [[50, 0, 0], [5, 15, 0], [0, 6, 4]])
    run(tmp_path / "b", "ccnet", [[50, 0, 0], [1, 19, 0], [0, 2, 8]])
    return report.load(tmp_path)


def test_lines_have_share_iou_and_difference(study):
    road, building, pole = classes.class_lines(study)
    assert (road.share, building.share, pole.share) == (50 / 80, 20 / 80, 10 / 80)
    assert [row.head for row in study.rows] == ["ccnet", "fcn"]
    assert pole.iou == [pytest.approx(8 / 10), pytest.approx(4 / 10)]
    assert pole.delta == [pytest.approx(0.4), None]
    assert (pole.hard, road.hard) == (True, False)


def test_confusions_are_shares_of_the_label_most_frequent_first(study):
    first, second = classes.confusions(study)
    assert (first.label, first.prediction, first.hard) == ("pole", "building", True)
    assert first.average == pytest.approx((0.6 + 0.2) / 2)
    assert first.baseline == pytest.approx(0.6)
    assert first.lowest == (pytest.approx(0.2), "ccnet")
    assert first.highest == (pytest.approx(0.6), "fcn")
    assert (second.label, second.prediction) == ("building", "road")
    assert second.average == pytest.approx((0.25 + 0.05) / 2)


def test_best_names_the_row_and_ties_go_to_the_higher_one(study):
    road, _, pole = classes.class_lines(study)
    assert classes.best(study, pole).head == "ccnet"
    assert road.iou[0] > road.iou[1]


def test_no_network_is_best_at_what_none_finds(tmp_path):
    run(tmp_path, "fcn", [[5, 0, 0], [0, 3, 0], [0, 2, 0]])
    study = report.load(tmp_path)
    assert classes.best(study, classes.class_lines(study)[2]) is None


def test_a_data_set_without_hard_classes_shows_its_weakest(tmp_path):
    scores = fabricate.scores(np.array([[9, 1], [3, 7]]))
    fabricate.run("fcn", 0, tmp_path, images=0, class_names=["cell", "rest"], palette=[(0, 0, 0)] * 2, scores=scores)
    lines = classes.class_lines(report.load(tmp_path))
    assert [line.name for line in classes.hard_classes(lines)] == ["rest", "cell"]
