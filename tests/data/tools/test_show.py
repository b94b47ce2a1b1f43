import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.config import Augmentation
from segattn.data.loader import TrainingStream
from segattn.data.rare_classes import RareClasses, presence
from segattn.data.tools.show import GREY, overlay, sheet
from segattn.data.transforms import to_image

AUGMENTATION = Augmentation(crop_size=(32, 48))


@pytest.fixture(scope="module")
def dataset():
    return data.load("streets", "train", height=64, width=96, num_images=3)


def test_sheet_shows_the_samples_of_the_training(dataset):
    drawn = sheet(dataset, AUGMENTATION, samples=2, columns=1, tile=48, seed=5)
    batch = next(TrainingStream(dataset, AUGMENTATION, batch_size=2, seed=5).batches())
    left = drawn.picture[8 + 18 : 8 + 18 + 32, 8 : 8 + 48]
    assert np.abs(left.astype(int) - to_image(batch["image"][0])).max() <= 1
    values, counts = np.unique(batch["label"].numpy(), return_counts=True)
    assert drawn.pixels == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_sheet_shows_the_rare_classes_that_the_training_draws(dataset):
    counts = np.array([np.bincount(sample.label.reshape(-1), minlength=256)[:19] for sample in dataset])
    rare = RareClasses.of(counts.sum(axis=0), presence(counts), 0.001)
    drawn = sheet(dataset, AUGMENTATION, samples=2, columns=1, tile=48, seed=5, rare=rare)
    batch = next(TrainingStream(dataset, AUGMENTATION, batch_size=2, seed=5, rare=rare).batches())
    values, seen = np.unique(batch["label"].numpy(), return_counts=True)
    assert drawn.pixels == dict(zip(values.tolist(), seen.tolist(), strict=True))
    assert drawn.pixels != sheet(dataset, AUGMENTATION, samples=2, columns=1, tile=48, seed=5).pixels


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_sheet_of_other_bands_shows_them_as_a_picture(bands, tmp_path):
    for part, shape in (("images", (32, 48, bands)), ("masks", (32, 48))):
        (tmp_path / part / "train").mkdir(parents=True)
        values = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
        if part == "images":
            np.save(tmp_path / "images/train/a.npy", 100 * values)
        else:
            Image.fromarray(values).save(tmp_path / "masks/train/a.png")
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    images = data.load("folder", "train", root=tmp_path, bands=bands)
    drawn = sheet(images, AUGMENTATION, samples=2, columns=1, tile=48)
    assert drawn.picture.shape == (2 * (32 + 18 + 8) + 8, 2 * 48 + 2 + 8 + 8, 3)
    left = drawn.picture[8 + 18 : 8 + 18 + 32, 8 : 8 + 48]
    assert {0, 255} <= set(left.ravel().tolist())  # stretched


def test_sheet_is_as_large_as_its_tiles(dataset):
    drawn = sheet(dataset, AUGMENTATION, samples=3, columns=2, tile=96)
    assert drawn.picture.shape == (2 * (64 + 18 + 8) + 8, 2 * (2 * 96 + 2 + 8) + 8, 3)


def test_overlay_mixes_colours_and_hatches_what_is_ignored():
    image = np.full((12, 12, 3), 100, np.uint8)
    label = np.zeros((12, 12), np.uint8)
    label[:, 6:] = 255
    drawn = overlay(image, label, [(200, 0, 0)])
    assert drawn[0, 0].tolist() == [160, 40, 40]
    assert {tuple(colour) for colour in drawn[:, 8:].reshape(-1, 3).tolist()} == {GREY, (90, 90, 90)}


@pytest.mark.parametrize("changed", [{"samples": 0}, {"columns": 0}, {"tile": 3}])
def test_a_sheet_of_nothing_is_refused(dataset, changed):
    with pytest.raises(ValueError, match="give at least 1, 1 and 16"):
        sheet(dataset, AUGMENTATION, **changed)
