"""Images brought to one short side before scaling, in training and in evaluation."""

import numpy as np
import pytest
import torch
from PIL import Image

from segattn.config import Augmentation, Evaluation
from segattn.data import Sample
from segattn.data.transforms import augment, fit_short_side, to_tensor
from segattn.inference.windows import describe, predict, predict_labels


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((683, 512), 1.0),
        ((341, 256), 2.0),
        ((100, 1000), 2.048),  # not 5.12: the long side would be 5120, and 2048 is the longest
        ((2000, 1000), 0.512),
    ],
)
def test_factor_is_that_of_mmsegmentations_2048_by_512(size, expected):
    assert fit_short_side(size, 512) == pytest.approx(expected)


def sample(height, width, seed=0):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
    return Sample(image=image, label=rng.integers(0, 3, (height, width), dtype=np.uint8), name="one")


def test_training_sees_the_resized_image_at_scale_one():
    photo = sample(46, 62)
    settings = Augmentation(crop_size=(23, 31), scale_range=(1.0, 1.0), flip=0, photometric=False, short_side=23)
    image, label = augment(photo, np.random.default_rng(0), settings)
    expected = np.asarray(Image.fromarray(photo.image).resize((31, 23), Image.Resampling.BILINEAR))
    assert np.array_equal(image, expected)
    assert np.array_equal(label, photo.label[1::2, 1::2])  # the pixel under each centre


def test_random_scale_comes_on_top():
    photo = sample(46, 62)
    settings = Augmentation(crop_size=(46, 62), scale_range=(0.5, 0.5), flip=0, photometric=False, short_side=46)
    _, label = augment(photo, np.random.default_rng(0), settings)
    assert (label[:23, :31] != 255).all()
    assert (label[23:] == 255).all()
    assert (label[:, 31:] == 255).all()


class Sizes:
    """A model that records its inputs and predicts class 1 on the left half."""

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(images)
        B, _, H, W = images.shape
        logits = torch.zeros(B, 2, H, W)
        logits[:, 1, :, : W // 2] = 1
        logits[:, 0, :, W // 2 :] = 1
        return logits


def test_evaluation_resizes_as_training_and_answers_at_the_images_size():
    model, photo = Sizes(), sample(46, 62)
    images = to_tensor(photo.image)[None]
    labels = predict_labels(model, images, inference=Evaluation(short_side=23))
    assert [tuple(seen.shape[-2:]) for seen in model.seen] == [(23, 31)]
    assert labels.shape == (1, 46, 62)
    assert labels[0, 5, :28].eq(1).all()
    assert labels[0, 5, 34:].eq(0).all()
    settings = Augmentation(crop_size=(23, 31), scale_range=(1.0, 1.0), flip=0, photometric=False, short_side=23)
    trained, _ = augment(photo, np.random.default_rng(0), settings)
    difference = (model.seen[0][0] - to_tensor(trained)).abs()
    assert difference.max() < 1.01 / 255 / 0.224  # Pillow rounds to whole grey values, twice


def test_scales_are_of_the_resized_image():
    model = Sizes()
    predict(model, torch.zeros(1, 3, 46, 62), inference=Evaluation(short_side=23, scales=(1.0, 2.0), flip=True))
    assert [tuple(seen.shape[-2:]) for seen in model.seen] == [(23, 31), (23, 31), (46, 62), (46, 62)]


def test_description_says_so():
    assert "resized to short side 512" in describe(Evaluation(short_side=512))


@pytest.mark.parametrize("settings", [Augmentation, Evaluation])
def test_zero_is_refused(settings):
    required = {"crop_size": (5, 5)} if settings is Augmentation else {}
    with pytest.raises(ValueError, match=r"short_side (is )?0"):
        settings(**required, short_side=0)
