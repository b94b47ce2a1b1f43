"""Options that `data init` finds for images that are not plain RGB."""

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.tools.image_options import Looked, options_of
from segattn.data.tools.init import start

tifffile = pytest.importorskip("tifffile")
rng = np.random.default_rng(17)
SIZE = (9, 13)


def saved(root, write):
    """Eight images as `write(start of the path, 0 to 1 of SIZE)` saves them, with their masks."""
    for part in ("images", "masks"):
        (root / part).mkdir()
    for index in range(8):
        write(root / f"images/{index}", rng.random(SIZE))
        Image.fromarray(rng.integers(0, 2, SIZE, dtype=np.uint8)).save(root / f"masks/{index}.png")
    return start(root)


def opened(root, started):
    return data.load("folder", "train", root=root, **started.options)[0].image


def test_bands_of_two_sizes_and_twelve_bits(tmp_path):
    def write(place, values):
        deep = (4000 * values).astype(np.uint16)
        tifffile.imwrite(f"{place}_B04.tif", deep)
        tifffile.imwrite(f"{place}_B11.tif", deep[::2, ::2])
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(f"{place}_rgb.png")

    started = saved(tmp_path, write)
    assert started.options == {
        "bands": ["_B04.tif", "_B11.tif", "_rgb.png"],
        "resize_bands": "bilinear",
        "value_range": [0, 4095],
    }
    assert (started.bands, started.size) == (5, SIZE)
    assert opened(tmp_path, started).shape == (*SIZE, 5)


@pytest.mark.parametrize("bands", [1, 2, 4, 6])
def test_several_bands_in_one_file(tmp_path, bands):
    def write(place, values):
        several = np.dstack([values.astype(np.float32)] * bands)
        layout = {"planarconfig": "contig"} if bands > 1 else {}
        tifffile.imwrite(f"{place}.tif", several, photometric="minisblack", **layout)

    started = saved(tmp_path, write)
    assert started.options == {"bands": bands, "value_range": [0, 1]}
    assert started.bands == bands
    image = opened(tmp_path, started)
    assert image.shape == (*SIZE, bands)
    assert image.max() > 200


def test_usual_images_need_no_option(tmp_path):
    def write(place, values):
        Image.fromarray(np.dstack([(255 * values).astype(np.uint8)] * 3)).save(f"{place}.tif")

    started = saved(tmp_path, write)
    assert (started.options, started.bands, started.span) == ({}, 3, None)


def test_bands_of_other_shapes_are_refused(tmp_path):
    def write(place, values):
        tifffile.imwrite(f"{place}_a.tif", values.astype(np.float32))
        tifffile.imwrite(f"{place}_b.tif", values[:3].astype(np.float32))

    with pytest.raises(ValueError, match=r"is 13x9, and .*_b\.tif of the same image is 13x3; resize_bands takes"):
        saved(tmp_path, write)


@pytest.mark.parametrize(
    ("span", "whole", "expected"),
    [
        ((0, 4000), True, [0, 4095]),
        ((7, 100), True, [0, 255]),
        ((3, 60000), True, [0, 65535]),
        ((-200, 900), True, [-200, 900]),
        ((-5, -5), True, [-5, -4]),
        ((0.01, 0.9), False, [0, 1]),
        ((0.0, 1.62), False, [0, 1.7]),
        ((-31.4, 48.2), False, [-32, 49]),
        ((287.4, 301.9), False, [287, 302]),
        ((5.0, 5.0), False, [5, 6]),
    ],
)
def test_range_covers_all_values(span, whole, expected):
    images = [Looked(SIZE, 1, span, whole, False), Looked(SIZE, 1, None, False, False)]
    low, high = options_of(images, data.files.pixels.AS_SHOWN)["value_range"]
    assert low <= span[0]
    assert high >= span[1]
    assert low < high
    assert [low, high] == pytest.approx(expected)
