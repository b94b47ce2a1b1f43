import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segattn.config import Augmentation
from segattn.data import Sample, streets
from segattn.data.transforms import PAD_COLOUR, augment, distort, to_image, to_tensor

PLAIN = {"scale_range": (1.0, 1.0), "flip": 0.0, "photometric": False}
rng = np.random.default_rng(10217)


def painted(label):
    """A sample whose colour tells its label: 60 times the label in every channel."""
    return Sample(np.repeat(label[:, :, None] * 60, 3, axis=2).astype(np.uint8), label, "painted")


def blocks(height, width, seed):
    """Labels 0 to 3 in blocks of 16 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 4, (height // 16 + 1, width // 16 + 1)).astype(np.uint8)
    return np.kron(coarse, np.ones((16, 16), np.uint8))[:height, :width]


def away_from_edges(label, margin):
    """Pixels whose neighbourhood has one label and is known to its end."""
    padded = np.pad(label, margin, constant_values=254)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * margin + 1, 2 * margin + 1))
    return windows.min(axis=(2, 3)) == windows.max(axis=(2, 3))


@given(
    height=st.integers(1, 83),
    width=st.integers(1, 83),
    crop=st.tuples(st.integers(1, 67), st.integers(1, 67)),
    share=st.sampled_from([1.0, 0.75, 0.3]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_any_sample_gives_the_crop_size_and_no_invented_label(height, width, crop, share, seed):
    label = np.random.default_rng(seed).choice(np.array([3, 17, 255], np.uint8), (height, width))
    sample = Sample(np.zeros((height, width, 3), np.uint8), label, "any")
    image, out = augment(sample, np.random.default_rng(seed), Augmentation(crop_size=crop, max_class_share=share))
    assert image.shape == (*crop, 3)
    assert out.shape == crop
    assert image.dtype == out.dtype == np.uint8
    assert set(np.unique(out)) <= {3, 17, 255}


@given(scale=st.floats(0.5, 2.0), flip=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_image_and_label_stay_aligned(scale, flip, seed):
    settings_ = Augmentation(crop_size=(61, 47), scale_range=(scale, scale), flip=flip, photometric=False)
    image, label = augment(painted(blocks(97, 89, seed)), np.random.default_rng(seed), settings_)
    clear = away_from_edges(label, 3) & (label < 4)
    assert clear.any()
    assert np.abs(image[clear].astype(int) - label[clear, None].astype(int) * 60).max(initial=0) <= 1


@given(scale=st.floats(0.5, 2.0), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_cropping_before_resizing_gives_the_pixels_of_scale_then_crop(scale, seed):
    source = np.random.default_rng(seed).integers(0, 256, (53, 71, 3)).astype(np.uint8)
    label = np.random.default_rng(seed).integers(0, 7, (53, 71)).astype(np.uint8)
    image, out = augment(
        Sample(source, label, "noise"),
        np.random.default_rng(seed),
        Augmentation(crop_size=(23, 19), scale_range=(scale, scale), flip=0, photometric=False),
    )
    size = round(71 * scale), round(53 * scale)
    scaled = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BILINEAR)).astype(int)
    scaled_label = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
    windows = [(top, left) for top in range(size[1] - 22) for left in range(size[0] - 18)]
    # one level of 255: Pillow's fixed-point weights
    assert any(
        np.abs(scaled[t : t + 23, x : x + 19] - image).max() <= 1
        and (scaled_label[t : t + 23, x : x + 19] == out).mean() > 0.99
        for t, x in windows
    )


def test_without_changes_the_sample_comes_back():
    sample = streets.load("val", height=37, width=53)[2]
    image, label = augment(sample, rng, Augmentation(crop_size=(37, 53), **PLAIN))
    assert np.array_equal(image, sample.image)
    assert np.array_equal(label, sample.label)


def test_flip_mirrors_both():
    sample = painted(blocks(31, 41, 0))
    image, label = augment(sample, rng, Augmentation(crop_size=(31, 41), **{**PLAIN, "flip": 1.0}))
    assert np.array_equal(label, sample.label[:, ::-1])
    assert np.array_equal(image, sample.image[:, ::-1])


def test_padding_is_the_mean_colour_and_ignored_below_and_to_the_right():
    image, label = augment(painted(blocks(13, 17, 1)), rng, Augmentation(crop_size=(19, 29), **PLAIN))
    assert (label[13:] == 255).all()
    assert (label[:, 17:] == 255).all()
    assert (label[:13, :17] != 255).all()
    assert (image[13:] == PAD_COLOUR).all()
    assert abs(to_tensor(image)[:, 13:]).max() < 0.01


def test_photometric_distortion_leaves_padding_and_label_alone():
    sample = painted(blocks(13, 17, 1))
    for seed in range(20):
        augmented = Augmentation(crop_size=(19, 29), scale_range=(1, 1), flip=0)
        image, label = augment(sample, np.random.default_rng(seed), augmented)
        assert (image[13:] == PAD_COLOUR).all()
        assert np.array_equal(label[:13, :17], sample.label)


def test_scale_spans_its_range():
    # a lone class-1 column pair 40 wide becomes 20 to 80 wide
    label = np.zeros((8, 200), np.uint8)
    label[:, :40] = 1
    generator = np.random.default_rng(0)
    widths = [
        int(
            (
                augment(painted(label), generator, Augmentation(crop_size=(16, 400), flip=0, photometric=False))[1][0]
                == 1
            ).sum()
        )
        for _ in range(200)
    ]
    assert 20 <= min(widths) <= 23
    assert 77 <= max(widths) <= 80


def test_crops_of_one_class_are_drawn_again():
    label = np.zeros((40, 400), np.uint8)
    label[:, 200:] = 1
    even = Augmentation(crop_size=(40, 40), max_class_share=0.9, **PLAIN)
    any_crop = Augmentation(crop_size=(40, 40), **PLAIN)

    def mixed(settings_):
        crops = [augment(painted(label), np.random.default_rng(seed), settings_)[1] for seed in range(200)]
        return np.mean([0.1 <= (crop == 1).mean() <= 0.9 for crop in crops])

    # of the 361 places 33 are mixed enough: 9 % of single draws, 1 - (328/361)^10 = 62 % of ten
    assert 0.03 < mixed(any_crop) < 0.17
    assert 0.50 < mixed(even) < 0.73


def test_a_crop_of_ignored_pixels_only_is_accepted_and_harmless():
    sample = painted(np.full((9, 9), 255, np.uint8))
    _, label = augment(sample, rng, Augmentation(crop_size=(5, 5), max_class_share=0.5))
    assert (label == 255).all()


def test_distortion_is_deterministic_and_varied():
    picture = streets.load("val", height=37, width=53)[0].image
    drawn = [distort(picture, np.random.default_rng(seed)).tobytes() for seed in range(30)]
    again = [distort(picture, np.random.default_rng(seed)).tobytes() for seed in range(30)]
    assert drawn == again
    assert len(set(drawn)) > 15


def test_distortion_keeps_grey_grey_and_moves_its_brightness_within_bounds():
    picture = np.full((2, 3, 3), 100, np.uint8)
    for seed in range(60):
        out = distort(picture, np.random.default_rng(seed)).astype(int)
        assert np.ptp(out) == 0
        assert (100 - 32) * 0.5 - 1 <= out[0, 0, 0] <= (100 + 32) * 1.5 + 1


def test_distortion_turns_the_hue_by_at_most_36_degrees():
    for seed in range(60):
        out = distort(np.array([[[200, 100, 100]]], np.uint8), np.random.default_rng(seed))
        hue = 360 * colorsys.rgb_to_hsv(*out[0, 0] / 255)[0]
        assert min(hue, 360 - hue) <= 38  # 36, and the steps of 8 bits


def test_to_tensor_normalises_with_imagenets_mean_and_deviation():
    image = np.array([[[0, 128, 255], [51, 102, 153]]], np.uint8)
    tensor = to_tensor(image)
    assert tensor.shape == (3, 1, 2)
    assert tensor.dtype == torch.float32
    # by hand: (51/255 - 0.485)/0.229, (102/255 - 0.456)/0.224, (153/255 - 0.406)/0.225
    assert tensor[:, 0, 1].tolist() == pytest.approx([-1.244541, -0.25, 0.862222], abs=1e-5)
    assert np.array_equal(to_image(tensor), image)


@pytest.mark.parametrize(
    "bad",
    [
        {"crop_size": (0, 5)},
        {"crop_size": (5, 5), "scale_range": (2.0, 0.5)},
        {"crop_size": (5, 5), "scale_range": (0.0, 1.0)},
        {"crop_size": (5, 5), "flip": 1.5},
        {"crop_size": (5, 5), "max_class_share": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_named(bad):
    with pytest.raises(ValueError, match=list(bad)[-1]):
        Augmentation(**bad)


def test_a_sample_without_label_or_of_other_size_is_refused():
    image = np.zeros((5, 7, 3), np.uint8)
    with pytest.raises(ValueError, match="lost has no label"):
        augment(Sample(image, None, "lost"), rng, Augmentation(crop_size=(3, 3)))
    with pytest.raises(ValueError, match="odd: image of shape"):
        augment(Sample(image, np.zeros((5, 6), np.uint8), "odd"), rng, Augmentation(crop_size=(3, 3)))
