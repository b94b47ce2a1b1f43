"""Telling pixels of label maps drawn by hand, where the right answer is evident."""

import numpy as np
import pytest

from segattn.data import Dataset, Sample, streets
from segattn.evaluation.telling import innermost, lowest_interior, telling_pixels

NAMES = ("road", "pole", "rider", "bus", "sky", "lamp", "kerb")
ROAD, POLE, RIDER, BUS, SKY, LAMP, KERB = range(7)
IGNORED = 255


def dataset(*labels, names=NAMES):
    """A split of these label maps; None for an image without one."""
    samples = [Sample(np.zeros((40, 60, 3), np.uint8), label, f"scene-{i}") for i, label in enumerate(labels)]
    return Dataset(
        name="hand",
        split="val",
        class_names=names,
        palette=[(index, 0, 0) for index in range(len(names))],
        image_names=[sample.name for sample in samples],
        read=samples.__getitem__,
        from_files=False,
    )


def scene(*boxes, size=(40, 60)):
    """Road with boxes (class, top, left, height, width) on it."""
    label = np.full(size, ROAD, np.uint8)
    for class_index, top, left, height, width in boxes:
        label[top : top + height, left : left + width] = class_index
    return label


def chosen(*labels, **options):
    return [(each.class_name, each.index, each.pixel) for each in telling_pixels(dataset(*labels), **options)]


def poles(*heights):
    """A pole three pixels wide of each height, side by side from the top."""
    return [(POLE, 0, 2 + 6 * number, height, 3) for number, height in enumerate(heights)]


def test_class_gives_the_middle_of_its_segment_of_median_area():
    # areas 15, 45, 63, 81, 99: the pole of 21 pixels' height, columns 14 to 16, rows 0 to 20
    assert chosen(scene(*poles(5, 15, 21, 27, 33))) == [("pole", 0, (15, 10))]


def test_lower_one_of_two_middle_segments_counts():
    # rows 0 to 14 of columns 8 to 10
    assert chosen(scene(*poles(5, 15, 17, 21, 25, 27, 33, 7)))[0] == ("pole", 0, (15, 8))


def test_segments_of_all_images_are_put_in_one_order():
    short, tall = scene(*poles(3, 5)), scene(*poles(9, 21, 35))
    assert chosen(short, tall) == [("pole", 1, (3, 4))]  # 9 high, in the second image


def test_only_the_first_images_count():
    assert chosen(scene(*poles(5, 15, 21, 27, 33)), scene(*poles(9, 9, 9)), images=1) == [("pole", 0, (15, 10))]
    assert chosen(scene(*poles(5)), scene(*poles(5, 15, 21, 27)), images=1) == []


def test_class_with_four_segments_gives_none():
    assert chosen(scene(*poles(5, 15, 21, 27))) == []


def test_segments_below_one_in_2000_pixels_do_not_count():
    # 40 x 60 pixels: two are enough, one is not
    dots = [(LAMP, 2, 5 * number, 1, 2) for number in range(4)]
    assert chosen(scene(*dots, (LAMP, 2, 30, 1, 1))) == []
    assert chosen(scene(*dots, (LAMP, 2, 30, 1, 2))) == [("lamp", 0, (10, 2))]


def test_the_four_rarest_classes_give_pixels_the_rarest_first():
    sizes = {POLE: 5, RIDER: 4, SKY: 3, LAMP: 2, KERB: 6}
    boxes = [(each, 7 * each - 6, 8 * number, side, side) for each, side in sizes.items() for number in range(6)]
    assert [name for name, *_ in chosen(scene(*boxes, size=(60, 60)))] == ["lamp", "sky", "rider", "pole"]


def test_diagonal_neighbours_are_one_segment():
    label = scene(*poles(9, 9, 9, 9))
    label[[20, 21, 22], [40, 41, 42]] = POLE
    assert len(telling_pixels(dataset(label))) == 1  # the fifth


def test_vehicle_gives_its_lowest_interior_pixel():
    # rows 10 to 29, columns 20 to 29; the diagonal is 72 pixels, so that the interior begins one pixel inside
    body = scene((BUS, 10, 20, 20, 10))
    body[30:33, 21:24] = BUS  # a wheel under its left end: rows 30 to 32, columns 21 to 23
    assert chosen(body) == [("bus", 0, (22, 31))]


def test_left_one_of_two_wheels_is_taken():
    body = scene((BUS, 10, 20, 10, 20), (BUS, 20, 21, 4, 5), (BUS, 20, 34, 4, 5))
    assert chosen(body) == [("bus", 0, (23, 22))]


def test_largest_vehicle_that_the_edge_does_not_cut_is_taken():
    whole, larger, cut = (BUS, 10, 20, 8, 9), (BUS, 10, 20, 8, 11), (BUS, 20, 0, 18, 19)
    assert chosen(scene(whole, cut), scene(larger)) == [("bus", 1, (25, 16))]
    assert chosen(scene(cut)) == []


def test_vehicle_too_thin_for_an_interior_gives_none():
    assert chosen(scene((BUS, 10, 20, 2, 30))) == []


def test_ignored_pixels_are_no_segment_and_no_share():
    label = scene(*poles(5, 15, 21, 27, 33))
    label[35:40] = IGNORED
    (pixel,) = telling_pixels(dataset(label))
    assert pixel.pixel == (15, 10)
    assert (
        f"{100 * 303 / (35 * 60):.2g} % of the labelled pixels in the first 1 images" in pixel.reason
    )  # 3 x (5 + 15 + 21 + 27 + 33)
    assert "the middle one of its 5 segments" in pixel.reason


def test_images_without_label_are_passed_over():
    assert chosen(None, scene(*poles(5, 15, 21, 27, 33))) == [("pole", 1, (15, 10))]
    assert chosen(None) == []


@pytest.mark.parametrize("shape", ["disc", "frame", "cross"])
def test_innermost_is_the_farthest_by_a_slow_loop(shape):
    y, x = np.mgrid[-11:12, -13:14]
    mask = {
        "disc": x**2 + y**2 <= 90,
        "frame": (np.abs(x) > 5) | (np.abs(y) > 3),
        "cross": (x == 2) | (abs(y - 3) < 2),
    }[shape]
    outside = np.argwhere(np.pad(~mask, 1, constant_values=True)) - 1  # the ring around the image too
    distance = {tuple(place): np.abs(outside - place).max(1).min() for place in np.argwhere(mask)}
    column, row = innermost(mask)
    assert distance[row, column] == max(distance.values())
    centre = np.argwhere(mask).mean(0)
    rivals = [place for place, value in distance.items() if value == distance[row, column]]
    off = {place: ((np.array(place) - centre) ** 2).sum() for place in rivals}
    assert off[row, column] == min(off.values())


def test_interior_of_a_large_image_is_wider():
    mask = np.zeros((300, 400), bool)  # the diagonal is 500 pixels: squares of 2 x round(2.5) + 1 = 5 pixels
    mask[100:200, 100:200] = True
    assert lowest_interior(mask) == (149, 197)


def test_generated_streets_have_the_same_pixels_every_time():
    split = streets.load("val", height=64, width=128, num_images=12)
    pixels = telling_pixels(split)
    assert pixels == telling_pixels(split)
    assert len(pixels) >= 3
    for each in pixels:
        x, y = each.pixel
        assert split.class_names[split[each.index].label[y, x]] == each.class_name
        assert split[each.index].name == each.image
