"""Sparse counts hold, sum and write what one array holds."""

import tracemalloc

import numpy as np
import pytest

from segattn.evaluation import counts
from segattn.evaluation.counts import ImageCounts
from segattn.evaluation.evaluate import strata_scores


def sparse_array(shape, seed=0, most=1000):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.1, rng.integers(1, most, shape), 0)


def stored(array):
    kept = ImageCounts(len(array), array.shape[1:])
    for index in np.random.default_rng(1).permutation(len(array)).tolist():  # in any order
        kept.set(index, array[index])
    return kept


@pytest.mark.parametrize("shape", [(13, 5, 5), (7, 2, 3, 3, 2), (1, 2, 2)])
@pytest.mark.parametrize("most", [2, 200, 70_000, 2**40])
def test_counts_are_those_of_one_array(shape, most):
    array = sparse_array(shape, most=most)
    kept = stored(array)
    assert kept.shape == shape
    assert np.array_equal(kept[:], array)
    assert np.array_equal(kept[2:5], array[2:5])
    assert np.array_equal(np.concatenate(list(kept.blocks())), array)
    assert np.array_equal(kept.total(), array.sum(0))
    assert kept[:].dtype == kept.total().dtype == np.int64


def test_largest_matrix_keeps_its_last_position():
    array = np.zeros((1, 256, 256), np.int64)
    array[0, 255, 255] = 3
    assert np.array_equal(stored(array)[:], array)


def test_image_that_was_not_counted_is_zero():
    kept = ImageCounts(3, (2, 2))
    kept.set(1, np.array([[1, 0], [0, 2]]))
    assert kept[:].tolist() == [[[0, 0], [0, 0]], [[1, 0], [0, 2]], [[0, 0], [0, 0]]]


def test_counts_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="reshape"):
        ImageCounts(3, (2, 2)).set(0, np.zeros((3, 3), int))


def test_file_is_to_the_last_byte_as_numpy_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "_BLOCK_BYTES", 3 * 8 * 25)  # three images a block
    array, names = sparse_array((13, 5, 5)), np.array([f"photo{i}" for i in range(13)])
    np.savez_compressed(tmp_path / "numpy.npz", confusion=array, names=names)
    counts.write(tmp_path / "ours.npz", {"confusion": stored(array), "names": names})
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


def test_strata_are_scored_alike_from_arrays_sparse_counts_and_all_images_at_once(monkeypatch):
    """The formula over all images at once, as it was computed before, to the last bit."""
    from segattn.evaluation import strata as stratification

    n, K = 150, 7
    confusion, boundary, by_stratum = (
        sparse_array((n, *shape), seed) for seed, shape in enumerate([(K, K), (2, K), (2, K, 3, 3)])
    )
    by_stratum[:, 0] += by_stratum[:, 1]
    scores = strata_scores(confusion, boundary, by_stratum)
    assert scores == strata_scores(*map(stored, (confusion, boundary, by_stratum)))
    false = confusion.sum(1) - confusion.diagonal(axis1=1, axis2=2)
    for axis, strata in ((4, scores.sizes), (3, scores.widths)):
        pixels, right = by_stratum.sum(axis).swapaxes(0, 1)
        iou = right.sum(0) / stratification.unions(pixels, false).sum(0)
        assert [stratum.iou for stratum in strata] == iou.T.tolist()


def test_counts_of_a_large_split_take_little_memory(tmp_path):
    """1,000 images of 171 classes: 234 MB as one array of int64."""
    matrix = np.zeros((171, 171), np.int64)
    matrix[:15, :20] = 1234
    tracemalloc.start()
    kept = ImageCounts(1000, (171, 171))
    for index in range(1000):
        kept.set(index, matrix)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    counts.write(tmp_path / "counts.npz", {"confusion": kept})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4_000_000
    assert peak < size + 6 * counts._BLOCK_BYTES
