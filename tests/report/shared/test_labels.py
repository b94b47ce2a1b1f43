"""Labels of a crowded plot."""

import itertools

import numpy as np

from segattn.report.shared.labels import overlap, place

FRAME = (0.0, 0.0, 400.0, 300.0)


def crowd(seed):
    rng = np.random.default_rng(seed)
    points = [tuple(point) for point in rng.uniform((120, 90), (250, 170), (11, 2))]
    sizes = [(float(width), 11.0) for width in rng.uniform(20, 60, 11)]
    return points, sizes


def test_labels_of_a_crowd_cover_neither_each_other_nor_points_and_stay_inside():
    for seed in range(7):
        points, sizes = crowd(seed)
        boxes = [placement.box for placement in place(points, sizes, FRAME)]
        assert all(overlap(a, b) == 0 for a, b in itertools.combinations(boxes, 2))
        assert not any(box[0] < x < box[2] and box[1] < y < box[3] for box in boxes for x, y in points)
        assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= 400 and box[3] <= 300 for box in boxes)


def test_a_lone_label_stands_beside_its_point_without_a_leader():
    (placement,) = place([(200.0, 150.0)], [(40.0, 11.0)], FRAME)
    left, bottom, _, top = placement.box
    assert placement.leader is None
    assert 200 < left < 212
    assert bottom - 2 < 150 < top + 2


def test_a_label_that_had_to_move_is_tied_to_its_point():
    points, sizes = [(200.0, 150.0)] * 9, [(50.0, 11.0)] * 9
    placements = place(points, sizes, FRAME)
    tied = [placement for placement in placements if placement.leader]
    assert tied
    assert all(placement.leader[0] == (200.0, 150.0) for placement in tied)


def test_overlap_is_the_shared_area():
    assert overlap((0, 0, 5, 3), (2, 1, 7, 11)) == 3 * 2
    assert overlap((0, 0, 5, 3), (5, 0, 7, 3)) == 0
