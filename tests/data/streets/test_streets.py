import hashlib
import subprocess
import sys

import numpy as np
import pytest

from segattn.data import streets
from segattn.data.streets.canvas import Canvas, Dice, noise

ROAD, SIDEWALK, RIDER, TRAIN, MOTORCYCLE, BICYCLE = 0, 1, 12, 16, 17, 18


def fingerprint(sample):
    return tuple(hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in (sample.image, sample.label))


GOLDEN = {
    ("train", 0, 128, 256): ("69a941eb899ac386", "4d97ff658bc62e21"),
    ("train", 31, 101, 211): ("6e9753209ea74dd3", "7bb75b56bd06b53a"),
    ("val", 7, 64, 64): ("d6b81ae1c3ae8f37", "3b0f408531330c49"),
    ("test", 2, 256, 512): ("bba1a4180715ef43", "ac78930f02472315"),
}


@pytest.fixture(scope="module")
def fifty():
    dataset = streets.load("train", height=128, width=256)
    return [dataset[index] for index in range(50)]


@pytest.mark.parametrize("key", GOLDEN, ids=str)
def test_samples_are_the_same_on_every_machine(key):
    split, index, height, width = key
    assert fingerprint(streets.load(split, height=height, width=width)[index]) == GOLDEN[key]


def test_another_process_draws_the_same_sample():
    code = (
        "import hashlib; from segattn.data import streets;"
        "print(hashlib.sha256(streets.load('val', height=61, width=127)[3].image.tobytes()).hexdigest()[:16])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == fingerprint(streets.load("val", height=61, width=127)[3])[0]


def test_a_sample_does_not_depend_on_what_was_drawn_before():
    dataset = streets.load("train", height=64, width=128)
    first = fingerprint(dataset[5])
    for index in (4, 9, 0):
        _ = dataset[index]
    assert fingerprint(dataset[5]) == first
    assert fingerprint(streets.load("train", height=64, width=128, num_images=6)[5]) == first


def test_splits_seeds_and_indices_are_different_streets():
    def draw(split="train", index=0, seed=0):
        return fingerprint(streets.load(split, height=64, width=128, seed=seed)[index])

    drawn = [draw(), draw("val"), draw("test"), draw(index=1), draw(index=2), draw(seed=1), draw(seed=2)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.slow
def test_every_class_occurs_in_many_of_fifty_images(fifty):
    images = np.zeros(256, int)
    for sample in fifty:
        images[np.unique(sample.label)] += 1
    assert images[:19].min() >= 12
    assert images[19:255].sum() == 0


def test_every_class_has_a_share_that_can_be_learnt(fifty):
    pixels = np.bincount(np.concatenate([sample.label.ravel() for sample in fifty]), minlength=256)
    share = pixels / pixels.sum()
    assert share[:19].min() > 0.001
    assert share[:19].max() < 0.45
    assert 0.01 < share[255] < 0.08


def test_size_changes_the_resolution_only():
    fine = streets.load("val", height=384, width=768)
    coarse = streets.load("val", height=128, width=256)
    for index in range(5):
        agreement = fine[index].label[1::3, 1::3] == coarse[index].label
        assert agreement.mean() > 0.97


def test_a_rider_is_above_a_two_wheeler(fifty):
    for sample in fifty:
        rows, columns = np.nonzero(sample.label == RIDER)
        if len(rows) > 40:
            below = sample.label[:, columns.min() : columns.max() + 1][rows.min() :]
            assert np.isin(below, (MOTORCYCLE, BICYCLE)).any()


def test_grey_of_sidewalk_alone_does_not_tell_it_from_road(fifty):
    distances = []
    for sample in fifty:
        image = sample.image.astype(int).mean(2)
        distances.append(abs(np.median(image[sample.label == ROAD]) - np.median(image[sample.label == SIDEWALK])))
    assert np.mean(np.array(distances) < 8) > 0.25


@pytest.mark.parametrize("size", [(32, 32), (37, 211), (211, 37), (127, 251)])
def test_any_size_can_be_drawn(size):
    sample = streets.load("train", height=size[0], width=size[1])[11]
    assert sample.image.shape == (*size, 3)
    assert sample.label.shape == size
    assert sample.image.dtype == sample.label.dtype == np.uint8


def test_the_palette_is_that_of_cityscapes():
    dataset = streets.load("val")
    assert dataset.num_classes == 19
    assert dataset.class_names[TRAIN] == "train"
    assert dataset.palette[TRAIN] == (0, 80, 100)
    assert dataset.palette[ROAD] == (128, 64, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "somewhere"}, "streets is generated and has no folder"),
        ({"height": 31}, "31 x 512"),
        ({"num_images": 0}, "num_images 0"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_options_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        streets.load("train", **options)


def test_names_are_unique_and_sliceable():
    dataset = streets.load("test", num_images=3)
    assert [dataset.image_name(i) for i in range(3)] == ["test-000000", "test-000001", "test-000002"]


def test_dice_reach_both_ends_and_nothing_else():
    dice = Dice(1)
    assert {dice.between(3, 7) for _ in range(300)} == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("smoothness", [0, 2, 5])
def test_noise_has_every_value_equally_often(smoothness):
    assert np.bincount(noise(smoothness).ravel(), minlength=256).tolist() == [256] * 256


def test_a_convex_polygon_fills_the_pixels_whose_centres_it_holds():
    canvas = Canvas(11, 13)
    corners = [(31, 21), (190, 61), (101, 161)]  # no pixel's centre lies on an edge
    canvas.polygon(corners, 1)

    def inside(x, y):  # by the sign of the three cross products
        edges = zip(corners, [*corners[1:], corners[0]], strict=True)
        return all((xb - xa) * (y - ya) - (yb - ya) * (x - xa) > 0 for (xa, ya), (xb, yb) in edges)

    expected = [[int(inside(16 * x + 8, 16 * y + 8)) for x in range(13)] for y in range(11)]
    assert canvas.words.tolist() == expected


def test_a_rectangle_is_at_least_one_pixel_and_may_leave_the_canvas():
    canvas = Canvas(3, 5)
    canvas.rectangle(32, -100, 33, 20, 7)
    canvas.rectangle(1000, 0, 1100, 40, 9)
    assert canvas.words.tolist() == [[0, 0, 7, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
