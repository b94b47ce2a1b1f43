"""The range of training images: what lies outside of it, and what does not."""

import json

import numpy as np
import pytest

from segattn import data
from segattn.records.image_range import SWAPPED, Outside, image_range, moments, read_range

RNG = np.random.default_rng(0)


def photos(count, *, red=130, blue=110, start=0):
    """Noise around a mean that varies from photo to photo; reddish."""
    rng = np.random.default_rng(start)
    return [
        np.clip(rng.normal((red, 120, blue), 40, (37, 53, 3)) + rng.normal(0, 15), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def range_of(images):
    return image_range([moments(image) for image in images])


def sentence(trained, images):
    outside = Outside(trained)
    for number, image in enumerate(images):
        outside.note(f"{number}.png", image)
    return outside.sentence()


TRAINED = range_of(photos(40))


def test_moments_are_mean_and_deviation_of_each_band():
    image = RNG.integers(0, 256, (37, 53, 4), dtype=np.uint8)
    expected = np.stack([image.reshape(-1, 4).mean(0), image.reshape(-1, 4).std(0)]) / 255
    np.testing.assert_allclose(moments(image), expected, atol=1e-12)


def test_large_images_are_sampled_evenly():
    rows, columns = np.mgrid[0:1024, 0:2048]
    image = np.stack([rows // 4, columns // 8, np.full_like(rows, 7)], axis=2).astype(np.uint8)
    np.testing.assert_allclose(moments(image)[0], image.reshape(-1, 3).mean(0) / 255, atol=0.003)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 4000, 1), (300, 1, 2)])
def test_thin_images_have_moments(shape):
    assert np.isfinite(moments(np.full(shape, 9, np.uint8))).all()


def test_margin_is_as_the_docstring_says():
    values = np.array([[[0.2] * 3, [0.1] * 3], [[0.6] * 3, [0.1] * 3]])
    trained = image_range(list(values))
    assert trained.means[0].margin(trained.count) == pytest.approx(2 * 0.2)
    assert trained.deviations[0].margin(trained.count) == pytest.approx(0.05 + 0.5 / 2)
    assert trained.means[0].beyond(0.2 - 0.41, 2) > 1 > trained.means[0].beyond(0.2 - 0.39, 2)
    assert trained.means[0].beyond(0.6, 2) == 0


def test_images_like_the_training_images_are_inside():
    outside = Outside(TRAINED)
    for image in photos(400, start=1):
        outside.note("", image)
    assert outside.num_outside / outside.count < 0.02


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_training_images_give_no_false_alarms(count):
    assert sentence(range_of(photos(count)), photos(60, start=1)) == ""


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (lambda image: (image.astype(int) * 16 * 256 // 2**16).astype(np.uint8), "mean of red of"),  # 12 bits in 16
        (lambda image: (image / 255).round().astype(np.uint8), "mean of red of"),  # divided by 255 once too often
        (lambda image: np.full_like(image, 255), "standard deviation"),
    ],
)
def test_other_scales_are_outside(fault, what):
    said = sentence(TRAINED, [fault(image) for image in photos(5, start=1)])
    assert said.startswith("5 of 5 images lie outside the range of the training images")
    assert what in said or "mean of blue of" in said
    assert ".png is " in said
    assert "in training it was " in said


def test_the_worst_image_is_named_and_counted():
    images = photos(6, start=1)
    images[4] = images[4] // 9
    said = sentence(TRAINED, images)
    assert said.startswith("1 of 6 images lies outside")
    assert "of 4.png is 0.0" in said


def test_exchanged_red_and_blue_are_seen_over_several_images():
    swapped = [image[:, :, ::-1] for image in photos(SWAPPED, start=1)]
    assert sentence(TRAINED, swapped).startswith("red and blue of these 8 images seem to be exchanged")
    assert sentence(TRAINED, swapped[1:]) == ""


def test_another_cast_is_no_exchange():
    assert sentence(TRAINED, photos(20, red=120, blue=120, start=1)) == ""


def test_grey_training_images_have_no_order():
    grey = [np.repeat(image[:, :, :1], 3, 2) for image in photos(40)]
    assert sentence(range_of(grey), [image[:, :, ::-1] for image in grey]) == ""


def test_streets_are_like_streets_and_not_like_dark_streets():
    trained = range_of(sample.image for sample in data.load("streets", "train", height=64, width=128, num_images=40))
    scenes = [sample.image for sample in data.load("streets", "val", height=64, width=128, num_images=50)]
    assert sentence(trained, scenes) == ""
    assert sentence(trained, [scene // 16 for scene in scenes]).startswith("50 of 50 images lie")
    assert "exchanged" in sentence(trained, [scene[:, :, ::-1] for scene in scenes])


def test_bands_are_named_by_number():
    four = [RNG.integers(100, 200, (9, 11, 4), dtype=np.uint8) for _ in range(20)]
    trained = range_of(four)
    assert trained.cast is None
    dark = four[0].copy()
    dark[:, :, 3] = 0
    assert "the mean of band 4 of 0.png is 0.000" in sentence(trained, [dark])


def test_a_network_without_a_range_says_nothing():
    assert sentence(None, [np.zeros((5, 7, 3), np.uint8)] * 9) == ""


def test_images_of_other_bands_are_left_to_the_network():
    assert sentence(TRAINED, [np.zeros((5, 7, 4), np.uint8)]) == ""


def test_no_images_or_images_of_different_bands_have_no_range():
    assert image_range([]) is None
    assert image_range([np.zeros((2, 3)), np.zeros((2, 4))]) is None


def test_it_survives_json():
    trained = image_range([moments(image) for image in photos(3)], value_range=(0.0, 4095.0), bands=(3, 2, 1))
    assert read_range(json.loads(json.dumps(trained.to_dict())), "config.json") == trained
    assert read_range(None, "config.json") is None


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"means": []},
        {"means": "x"},
        {"deviations": [{"low": 1}]},
        {"bands": 0},
        {"bands": [0]},
        {"bands": []},
    ],
)
def test_damage_is_named(change):
    with pytest.raises(ValueError, match=r"^run/config\.json: images is damaged"):
        read_range(TRAINED.to_dict() | change, "run/config.json")
    with pytest.raises(ValueError, match=r"^run/config\.json: images is damaged"):
        read_range([1], "run/config.json")
