"""The range of a split's images: from those that are read anyway."""

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.tools import images, pack
from segattn.records.image_range import image_range, moments


@pytest.fixture
def root(tmp_path):
    """Three pairs a split of 12-bit images, stored in 16 bits, of three sizes."""
    base, rng = tmp_path / "my data", np.random.default_rng(0)
    for split in ("train", "val"):
        for index in range(3):
            size = (32 + index, 48)
            for part, values in (
                ("images", rng.integers(0, 4096, (*size, 1)).astype(np.uint16)[:, :, 0]),
                ("masks", rng.integers(0, 2, size, dtype=np.uint8)),
            ):
                path = base / part / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(path)
    (base / "classes.txt").write_text("left\nright\n")
    return base


def test_range_is_that_of_all_images(root):
    dataset = data.load("folder", "train", root=root, value_range=4095)
    data.verify(dataset)
    expected = image_range([moments(sample.image) for sample in dataset], value_range=(0, 4095))
    assert images.range_of(dataset) == expected
    assert expected.means[0].average == pytest.approx(0.5, abs=0.02)


def test_no_image_is_read_twice(root, monkeypatch):
    dataset = data.load("folder", "train", root=root)
    data.verify(dataset)
    monkeypatch.setattr(type(dataset), "__getitem__", lambda self, index: pytest.fail("read again"))
    assert images.range_of(dataset).count == 3


def test_images_are_read_if_nothing_was_verified(root):
    dataset = data.load("folder", "train", root=root)
    assert images.range_of(dataset).count == 3


def test_generated_images_are_sampled_evenly():
    dataset = data.load("streets", "train", height=32, width=64, num_images=40)
    data.verify(dataset)
    assert len(dataset.contents) == 1
    assert images.range_of(dataset).count == images.GENERATED


def test_a_generated_split_is_sampled_once(monkeypatch):
    dataset = data.load("streets", "train", height=64, width=128, num_images=3)
    first = images.range_of(dataset)
    monkeypatch.setattr(type(dataset), "__getitem__", lambda self, index: pytest.fail("read again"))
    assert images.range_of(dataset) == first
    assert images.range_of(dataset) == images.range_of(dataset)


def test_packed_images_keep_how_they_were_read(root, tmp_path):
    options = {"value_range": [0, 4095], "bands": 1}
    list(pack.pack("folder", tmp_path / "packed", root=root, options=options))
    packed = data.load("packed", "train", root=tmp_path / "packed")
    own = images.range_of(data.load("folder", "train", root=root, **options))
    assert images.range_of(packed) == own
    assert (own.value_range, own.bands) == ((0, 4095), 1)


def test_what_is_unusual_about_a_split_is_said(root):
    as_trained = images.range_of(data.load("folder", "train", root=root, value_range=4095))
    dark = data.load("folder", "val", root=root)
    data.verify(dark)
    assert images.outside(as_trained, dark).startswith("3 of 3 images lie outside the range of the training images")
    assert images.outside(as_trained, data.load("folder", "val", root=root, value_range=4095)) == ""
    assert images.outside(None, dark) == ""
