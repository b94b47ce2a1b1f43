"""Strata counted by hand and by slow loops."""

import numpy as np
import pytest

from segattn.evaluation import strata


def components_by_flood_fill(label):
    """Area of the 8-connected segment of each pixel, one pixel at a time."""
    H, W = label.shape
    area = np.zeros((H, W), int)
    seen = np.zeros((H, W), bool)
    for start in np.ndindex(H, W):
        if seen[start]:
            continue
        segment, stack = [], [start]
        seen[start] = True
        while stack:
            y, x = stack.pop()
            segment.append((y, x))
            for v, u in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if 0 <= v < H and 0 <= u < W and not seen[v, u] and label[v, u] == label[y, x]:
                    seen[v, u] = True
                    stack.append((v, u))
        for place in segment:
            area[place] = len(segment)
    return area


def widths_by_squares(label, ignore_index=255):
    """The definition: every square with its centre in the image whose counted pixels are of one class covers them."""
    H, W = label.shape
    stratum = np.zeros((H, W), int)
    for share in strata.WIDTH_BORDERS:
        reach = max(1, round(share * np.hypot(H, W) / 2))
        covered = np.zeros((H, W), bool)
        for y, x in np.ndindex(H, W):
            square = (slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1))
            classes = set(label[square].flatten().tolist()) - {ignore_index}
            if len(classes) == 1:
                covered[square] |= label[square] == classes.pop()
        stratum += covered
    return stratum


def blotches(rng, H, W, classes, scale):
    """A label of blocks, with ignored pixels strewn in."""
    label = np.kron(rng.integers(0, classes, (H // scale + 1, W // scale + 1)), np.ones((scale, scale), int))[:H, :W]
    return np.where(rng.random((H, W)) < 0.02, 255, label)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_sizes_are_those_of_flood_filled_segments(scale):
    label = blotches(np.random.default_rng(scale), 47, 61, 3, scale)
    area = components_by_flood_fill(label)
    expected = (area * 300 >= label.size).astype(int) + (area * 100 >= 3 * label.size)
    expected[label == 255] = 0
    assert set(expected.flatten()) == {0, 1, 2} or scale != 2
    np.testing.assert_array_equal(strata.size_of_segments(label), expected)


@pytest.mark.parametrize(("H", "W", "scale"), [(47, 61, 4), (97, 131, 5), (67, 149, 6)])
def test_widths_are_those_of_covering_squares(H, W, scale):
    label = blotches(np.random.default_rng(H), H, W, 3, scale)
    expected = widths_by_squares(label)
    assert {1, 2} <= set(expected.flatten())
    np.testing.assert_array_equal(strata.widths(label), expected)


def test_a_spiral_is_one_segment():
    label = np.zeros((23, 23), np.uint8)
    y, x, dy, dx, length = 1, 1, 0, 1, 20
    while length > 1:
        for _ in range(2):
            for _ in range(length):
                label[y, x] = 1
                y, x = y + dy, x + dx
            dy, dx = dx, -dy
        length -= 3
    area = int(label.sum())
    assert area > 0.03 * label.size
    assert set(strata.size_of_segments(label)[label == 1]) == {2}


def test_diagonal_neighbours_are_one_segment():
    label = np.eye(31, dtype=np.uint8)  # 31 of 961 pixels: more than 3 %
    assert set(strata.size_of_segments(label)[label == 1]) == {2}
    assert set(strata.widths(label)[label == 1]) == {0}


def test_a_thin_part_of_a_large_object_is_thin():
    label = np.zeros((120, 160), np.uint8)  # diagonal 200: squares of 3 and of 9 pixels
    label[60:, 20:100] = 1
    label[10:60, 50] = 1  # a mast
    label[10:60, 70:77] = 1  # a chimney of 7
    widths, sizes = strata.widths(label), strata.size_of_segments(label)
    assert set(widths[10:58, 50]) == {0}
    assert set(widths[10:60, 70:77].flatten()) == {1}
    assert set(widths[60:, 20:100].flatten()) == {2}
    assert set(sizes[label == 1]) == {2}


def test_an_object_cut_by_the_edge_or_by_ignored_pixels_is_not_thin():
    label = np.zeros((120, 160), np.uint8)
    label[:, :5] = 1  # 5 columns at the edge, where 4 reach + 1 are needed
    label[:, 80:85], label[:, 85:90] = 1, 255
    assert set(strata.widths(label)[:, :5].flatten()) == {2}
    assert set(strata.widths(label)[:, 80:85].flatten()) == {2}
    label[:, 85:90] = 0
    assert set(strata.widths(label)[:, 80:85].flatten()) == {1}


def test_counts_by_hand():
    label = np.zeros((120, 160), np.uint8)
    label[10:60, 50] = 1  # 50 pixels of 19,200: small and thin
    label[:3] = 255
    prediction = np.zeros_like(label)
    prediction[10:20, 50] = 1
    prediction[:3] = 1
    pixels, right = strata.count(prediction, label, 2)
    assert pixels[1].tolist() == [[50, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert right[1].tolist() == [[10, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert pixels[0].sum() == right[0].sum() == 117 * 160 - 50
    assert pixels[0, 2].sum() == pixels[0].sum()


def test_an_image_without_labels_counts_nothing():
    assert strata.count(np.zeros((5, 7), int), np.full((5, 7), 255), 3).sum() == 0


def test_one_row_is_an_image_too():
    pixels, _ = strata.count(np.zeros((1, 7), int), np.zeros((1, 7), np.uint8), 1)
    assert pixels.sum() == 7


def test_false_positives_are_shared_by_area():
    pixels = np.array([[[30, 10], [0, 0]]])  # one image, two classes, two strata
    false = np.array([[8, 5]])
    assert strata.unions(pixels, false).tolist() == [[[36, 12], [0, 0]]]


@pytest.mark.parametrize("limit", [0, 2**20])
def test_the_next_network_on_the_same_labels_is_counted_alike_and_kept_strata_are_bounded(limit, monkeypatch):
    monkeypatch.setattr(strata, "KEPT_BYTES", limit)
    monkeypatch.setattr(strata, "_kept", {})
    rng = np.random.default_rng(0)
    labels = [blotches(rng, 40, 52, 3, 4), blotches(rng, 52, 40, 3, 4)]
    labels.append(labels[0].reshape(52, 40))  # the same bytes in another shape
    labels.append(np.asfortranarray(labels[0]))
    predictions = [rng.integers(0, 3, label.shape) for label in labels]
    first = [strata.count(prediction, label, 3) for prediction, label in zip(predictions, labels, strict=True)]
    assert len(strata._kept) == (3 if limit else 0)
    monkeypatch.setattr(strata, "segments", None)  # would be called for what is not kept
    for prediction, label, expected in zip(predictions, labels, first, strict=True):
        if limit:
            np.testing.assert_array_equal(strata.count(prediction, label, 3), expected)
        else:
            with pytest.raises(TypeError):
                strata.count(prediction, label, 3)
    np.testing.assert_array_equal(first[0][0], first[3][0])  # the label alone sets the strata


def test_the_same_label_with_another_ignored_class_has_strata_of_its_own():
    label = blotches(np.random.default_rng(0), 40, 52, 3, 4) % 3
    counted = [strata.count(label, label, 3, ignored)[0] for ignored in (255, 0)]
    assert counted[0][0].sum() > 0
    assert counted[1][0].sum() == 0
