"""Boundary IoU and IoU by size and width of a split, from counts worked out by hand."""

import numpy as np
import pytest

from segattn import records
from segattn.evaluation.evaluate import strata_scores
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def scored():
    confusion = np.array([[[80, 10], [4, 6]], [[50, 50], [0, 0]]])  # two images, two classes
    boundary = np.array([[[3, 1], [6, 4]], [[2, 0], [4, 1]]])
    by_stratum = np.zeros((2, 2, 2, 3, 3), int)
    by_stratum[0, 0, 0, 2, 2], by_stratum[0, 1, 0, 2, 2] = 90, 80  # class 0: large and thick
    by_stratum[0, 0, 1, 0, 0], by_stratum[0, 1, 1, 0, 0] = 6, 3  # class 1: 6 small and thin, 4 medium and thin
    by_stratum[0, 0, 1, 1, 0], by_stratum[0, 1, 1, 1, 0] = 4, 3
    by_stratum[1, 0, 0, 2, 2], by_stratum[1, 1, 0, 2, 2] = 100, 50
    return strata_scores(confusion, boundary, by_stratum)


def test_boundary_counts_are_summed_over_images(scored):
    assert scored.boundary_iou == [5 / 10, 1 / 5]
    assert scored.boundary_mean_iou == pytest.approx(0.35)


def test_false_positives_are_shared_and_those_of_images_without_the_class_left_out(scored):
    small, medium, large = scored.sizes
    assert small.iou == [None, pytest.approx(3 / (6 + 10 * 6 / 10))]
    assert medium.iou == [None, pytest.approx(3 / (4 + 10 * 4 / 10))]
    assert large.iou == [pytest.approx(130 / (190 + 4)), None]
    assert (small.share, medium.share, large.share) == (6 / 200, 4 / 200, 190 / 200)


def test_the_mean_is_over_the_classes_of_the_stratum(scored):
    thin, medium, thick = scored.widths
    assert thin.mean_iou == pytest.approx(6 / 20)
    assert medium.mean_iou is None
    assert thick.mean_iou == pytest.approx(130 / 194)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run with strata and without."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        wanted: (train(tiny.experiment(evaluation={"strata": wanted}), folder / str(wanted)), folder / str(wanted))
        for wanted in (True, False)
    }


def test_every_labelled_pixel_is_in_one_stratum(runs):
    record, folder = runs[True]
    with np.load(folder / "per_image.npz") as counts:
        confusion, by_stratum, boundary = counts["confusion"], counts["strata"], counts["boundary"]
    np.testing.assert_array_equal(by_stratum[:, 0].sum((2, 3)), confusion.sum(2))
    np.testing.assert_array_equal(by_stratum[:, 1].sum((2, 3)), confusion.diagonal(axis1=1, axis2=2))
    assert strata_scores(confusion, boundary, by_stratum) == record.strata
    assert sum(stratum.share for stratum in record.strata.sizes) == pytest.approx(1)
    assert records.read(folder / "record.json").strata == record.strata


def test_without_strata_nothing_else_changes(runs):
    (record, folder), (other, _) = runs[False], runs[True]
    assert record.strata is None
    assert record.scores == other.scores
    with np.load(folder / "per_image.npz") as counts:
        assert set(counts) == {"confusion", "names"}
