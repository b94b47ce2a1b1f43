"""Bands of one image in files of different sizes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.files.band_sizes import DifferentSizes, is_coarser, to_one_size
from segattn.data.files.pixels import reading, reading_of

PATHS = [Path("a_B04.tif"), Path("a_B11.tif")]


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1), dtype=np.uint8)


@pytest.mark.parametrize("size", [(72, 84), (71, 83), (73, 85), (83, 71)])
@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("up", [True, False])
def test_nearest_repeats_each_pixel_from_the_first_corner(size, k, up):
    """Also at odd sizes, where the coarser band covers a little more or less than the largest one."""
    small = [-(-length // k) if up else length // k for length in size]
    fine, coarse = image(*size), image(*small, seed=1)
    one, other = to_one_size([fine, coarse], PATHS, "nearest")
    assert one is fine
    expected = np.empty((*size, 1), np.uint8)
    for row, column in np.ndindex(size):  # what lies beyond the last pixel has the value of that pixel
        expected[row, column] = coarse[min(row // k, small[0] - 1), min(column // k, small[1] - 1)]
    assert np.array_equal(other, expected)


@pytest.mark.parametrize("size", [(10, 16), (9, 15)])
def test_bilinear_interpolates_between_centres(size):
    """A ramp stays a ramp: pixel j of 20 m has its centre at 2 j + 0.5 pixels of 10 m."""
    fine = np.zeros((*size, 1), np.uint8)
    columns = 20 + 10 * np.arange(-(-size[1] // 2))
    coarse = np.broadcast_to(columns, (-(-size[0] // 2), len(columns)))[:, :, None].astype(np.uint8)
    enlarged = to_one_size([fine, coarse], PATHS, "bilinear")[1][:, :, 0]
    inner = np.arange(1, size[1] - 1)
    assert np.abs(enlarged[:, inner] - (20 + 10 * (inner - 0.5) / 2)).max() <= 0.5  # rounded to whole values
    assert (enlarged[:, 0] == 20).all()


def test_other_ratio_covers_the_same_ground():
    """10 m and 15 m."""
    coarse = image(4, 6)
    enlarged = to_one_size([image(6, 9), coarse], PATHS, "nearest")[1]
    assert np.array_equal(enlarged, coarse[[0, 1, 1, 2, 3, 3]][:, [0, 1, 1, 2, 3, 3, 4, 5, 5]])


def test_largest_band_need_not_be_the_first():
    coarse, fine = image(5, 8), image(10, 16)
    first, last = to_one_size([coarse, fine], PATHS, "nearest")
    assert np.array_equal(first, coarse.repeat(2, 0).repeat(2, 1))
    assert last is fine


@pytest.mark.parametrize(
    ("size", "other", "fits"),
    [
        ((10980, 10980), (5490, 5490), True),
        ((10980, 10980), (1830, 1830), True),
        ((101, 77), (51, 38), True),
        ((101, 77), (34, 26), True),
        ((100, 100), (100, 50), False),
        ((100, 100), (50, 100), False),
        ((100, 100), (50, 53), False),
        ((100, 60), (30, 50), False),
        ((100, 100), (200, 200), False),
        ((640, 640), (20, 20), True),
        ((640, 640), (10, 10), False),
    ],
)
def test_coarser_band_has_one_ratio(size, other, fits):
    assert is_coarser(size, other) is fits


def test_refusal_names_files_sizes_and_option():
    with pytest.raises(DifferentSizes) as error:
        to_one_size([image(10, 16), image(5, 8)], PATHS, None)
    assert str(error.value) == (
        "a_B04.tif is 16x10, and a_B11.tif of the same image is 8x5; resample them to one size, or add the data option "
        "resize_bands=bilinear"
    )
    with pytest.raises(DifferentSizes, match=r"a_B11\.tif of the same image is 9x3; resample them to one size$"):
        to_one_size([image(10, 16), image(3, 9)], PATHS, None)
    with pytest.raises(
        DifferentSizes, match="resize_bands takes bands that are up to 32 times coarser in both directions"
    ):
        to_one_size([image(10, 16), image(3, 9)], PATHS, "nearest")


@pytest.mark.parametrize(
    ("bands", "way", "message"),
    [
        (["_a.tif", "_b.tif"], "cubic", "resize_bands='cubic'; give bilinear or nearest, or leave it out"),
        (["_a.tif", "_b.tif"], True, "resize_bands=True; give bilinear or nearest"),
        (["_a.tif", "_b.tif"], ["nearest"], "resize_bands=['nearest']; give bilinear or nearest"),
        (4, "nearest", "resize_bands=nearest needs bands in files of their own"),
        ([3, 2], "nearest", "resize_bands=nearest needs bands in files of their own"),
        (None, "nearest", "resize_bands=nearest needs bands in files of their own"),
    ],
)
def test_option_that_means_nothing_is_refused(bands, way, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        reading("turn", None, bands, way)


def test_photos_are_read_as_the_experiment_says():
    options = {"bands": ["_a.png", "_b.png"], "resize_bands": "nearest"}
    assert reading_of({"name": "folder", "options": options}, 2).resize_bands == "nearest"
    assert reading_of({"name": "folder", "options": {"bands": 4}}, 4).resize_bands is None


def test_folder_reads_bands_of_two_resolutions(tmp_path):
    fine, coarse, label = image(11, 17)[:, :, 0], image(6, 9, seed=1)[:, :, 0], np.zeros((11, 17), np.uint8)
    for split in ("train", "val"):
        for place, pixels in (
            ("images/{}/a_10m.png", fine),
            ("images/{}/a_20m.png", coarse),
            ("masks/{}/a.png", label),
        ):
            path = tmp_path / place.format(split)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    options = {"root": tmp_path, "bands": ["_20m.png", "_10m.png"]}
    with pytest.raises(ValueError, match="resize_bands=bilinear"):
        data.load("folder", "train", **options)[0]
    sample = data.load("folder", "train", **options, resize_bands="nearest")[0]
    assert np.array_equal(sample.image[:, :, 0], coarse.repeat(2, 0).repeat(2, 1)[:11, :17])
    assert np.array_equal(sample.image[:, :, 1], fine)
    smooth = data.load("folder", "train", **options, resize_bands="bilinear")[0]
    assert not np.array_equal(smooth.image, sample.image)
