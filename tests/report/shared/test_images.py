"""Counts of single images: read, checked, and turned into scores."""

import numpy as np
import pytest

from segattn import report
from segattn.report.shared import images
from segattn.report.shared.images import Images
from tests.report import fabricate


def counts_of(confusion):
    confusion = np.array(confusion)
    right = confusion.diagonal(axis1=1, axis2=2)
    names = tuple(f"image {index}" for index in range(len(confusion)))
    return Images(names, confusion.sum(2), confusion.sum(1), right, None, None)


def test_mean_iou_of_an_image_is_over_the_classes_labelled_in_it():
    values = counts_of([[[6, 2], [0, 0]], [[3, 1], [2, 4]], [[0, 0], [0, 0]]]).mean_iou()
    np.testing.assert_allclose(values, [6 / 8, (3 / 6 + 4 / 7) / 2, np.nan])


def test_recorded_counts_add_up_to_the_recorded_scores(tmp_path):
    record = fabricate.run("ccnet", 0, tmp_path)
    counts = images.read(tmp_path, "per_image.npz", 19)
    assert len(counts.names) == 53
    assert counts.right.sum(0).tolist() == np.diagonal(record.scores.confusion).tolist()
    assert counts.labelled.sum(0).tolist() == np.sum(record.scores.confusion, 1).tolist()
    assert counts.predicted.sum(0).tolist() == np.sum(record.scores.confusion, 0).tolist()


def test_counts_are_the_same_in_blocks_and_without_details(tmp_path, monkeypatch):
    fabricate.run("ccnet", 0, tmp_path)
    whole = images.read(tmp_path, "per_image.npz", 19)
    monkeypatch.setattr("segattn.records.files._BLOCK_BYTES", 5 * 8 * 19**2)
    in_blocks, brief = (images.read(tmp_path, "per_image.npz", 19, details=details) for details in (True, False))
    for name in ("labelled", "predicted", "right", "boundary", "strata"):
        np.testing.assert_array_equal(getattr(in_blocks, name), getattr(whole, name))
    np.testing.assert_array_equal(brief.labelled, whole.labelled)
    assert (brief.boundary, brief.strata, brief.without) == (None, None, None)
    assert brief.names == whole.names


@pytest.mark.parametrize(("most", "dtype"), [(2**30 - 1, np.int32), (2**30, np.int64)])
def test_counts_take_32_bits_where_their_sums_fit(tmp_path, most, dtype):
    np.savez(tmp_path / "counts.npz", names=np.array(["a"]), confusion=np.array([[[most, 0], [0, 5]]]))
    counts = images.read(tmp_path, "counts.npz", 2)
    assert counts.right.dtype == dtype
    assert counts.right.tolist() == [[most, 5]]
    assert images.counts([counts]).bottom.tolist() == [[[most, 5]]]


@pytest.mark.parametrize("details", [True, False])
def test_negative_counts_are_refused(tmp_path, details):
    np.savez(tmp_path / "counts.npz", names=np.array(["a"]), confusion=np.array([[[1, 0], [0, -5]]]))
    with pytest.raises(ValueError, match=r"confusion should be counts of shape \(1, 2, 2\)"):
        images.read(tmp_path, "counts.npz", 2, details=details)


def test_run_without_images_has_no_counts(tmp_path):
    np.savez(tmp_path / "counts.npz", names=np.zeros(0, "<U1"), confusion=np.zeros((0, 2, 2), int))
    assert images.read(tmp_path, "counts.npz", 2).labelled.shape == (0, 2)


@pytest.mark.parametrize(
    ("file", "message"),
    [("gone.npz", "no such file"), ("../secret.npz", "inside the run's folder"), ("broken.npz", "not readable"),
     ("pickled.npz", "not readable"), ("other.npz", "confusion should be counts of shape")],
)  # fmt: skip
def test_unusable_files_are_named(tmp_path, file, message):
    run = tmp_path / "run"
    run.mkdir()
    np.savez(tmp_path / "secret.npz", names=np.array(["a"]), confusion=np.zeros((1, 2, 2), int))
    (run / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(run / "pickled.npz", names=np.array([{}], dtype=object), confusion=np.zeros((1, 2, 2), int))
    np.savez(run / "other.npz", names=np.array(["a"]), confusion=np.zeros((1, 3, 3), int))
    with pytest.raises(ValueError, match=message):
        images.read(run, file, 2)


def test_other_images_and_other_labels_are_refused():
    a, b = counts_of([[[3, 1], [2, 4]]] * 2), counts_of([[[3, 1], [2, 4]]] * 3)
    with pytest.raises(ValueError, match=r"A was scored on 2 images and B on 3.*'image 2' is only in B"):
        images.check_same(a, b, "A", "B")
    with pytest.raises(ValueError, match="labels of image 'image 1' differ"):
        images.check_same(a, counts_of([[[3, 1], [2, 4]], [[3, 2], [2, 4]]]), "A", "B")


def test_a_stratum_shares_false_positives_by_area():
    by_stratum = np.zeros((1, 2, 2, 3, 3), int)
    by_stratum[0, 0, 0, 0, 0], by_stratum[0, 0, 0, 2, 2] = 10, 30
    by_stratum[0, 1, 0, 0, 0], by_stratum[0, 1, 0, 2, 2] = 4, 26
    run = Images(("a",), np.array([[40, 0]]), np.array([[38, 2]]), np.array([[30, 0]]), None, by_stratum)
    small = images.stratum_counts([run], "size", 0)
    assert small.top[0, 0].tolist() == [4, 0]
    assert small.bottom[0, 0].tolist() == [10 + 8 / 4, 0]
    assert images.stratum_counts([counts_of([[[1]]])], "size", 0) is None


def test_rows_of_one_seed_are_told_apart_by_their_images(tmp_path):
    study = report.load(fabricate.study(tmp_path, ["fcn", "flanet"], seeds=1, with_cost=False))
    assert study.verdict.tests == ["images"]
    assert study.verdict.unclear == []


def test_rows_of_the_same_seeds_are_told_apart_by_images_and_seeds(ten_by_three):
    assert report.load(ten_by_three).verdict.tests == ["two-way"]


def test_without_counts_one_seed_tells_nothing(tmp_path):
    folder = fabricate.study(tmp_path, ["fcn", "flanet"], seeds=1, with_cost=False)
    next(folder.glob("*/per_image.npz")).unlink()
    assert report.load(folder).verdict is None
