"""Images of other bands than RGB: TIFF, arrays and pictures, whole, chosen, damaged."""

import io
import random
import sys
from collections import Counter
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.files import bands
from segattn.data.files.decode import ImageFile, read_image
from segattn.data.files.pixels import reading, reading_of
from segattn.data.files.shown import shown
from segattn.records.pictures import most_pixels
from tests.trust import mutations
from tests.trust.outcomes import judged

tifffile = pytest.importorskip("tifffile")
DEEP = np.random.default_rng(0).integers(0, 4096, (13, 17, 6)).astype(np.uint16)
TWELVE_BITS = reading("turn", 4095, 6)
CONTIGUOUS = {"photometric": "minisblack", "planarconfig": "contig"}


@pytest.mark.parametrize("form", ["contiguous", "tiled", "deflate", "planes", "pages", "big", "array"])
def test_every_layout_gives_the_same_bands(tmp_path, form):
    path = tmp_path / f"six bands.{'npy' if form == 'array' else 'tif'}"
    planes = DEEP.transpose(2, 0, 1)
    writers = {
        "contiguous": lambda: tifffile.imwrite(path, DEEP, **CONTIGUOUS),
        "tiled": lambda: tifffile.imwrite(path, DEEP, tile=(16, 16), **CONTIGUOUS),
        "deflate": lambda: tifffile.imwrite(path, DEEP, compression="zlib", **CONTIGUOUS),
        "planes": lambda: tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate"),
        "pages": lambda: tifffile.imwrite(path, planes, photometric="minisblack"),
        "big": lambda: tifffile.imwrite(path, DEEP, bigtiff=True, byteorder=">", **CONTIGUOUS),
        "array": lambda: np.save(path, DEEP),
    }
    writers[form]()
    file = ImageFile(path, TWELVE_BITS)
    assert np.array_equal(file.pixels(), DEEP >> 4)
    assert (file.size, file.stored, file.largest) == ((13, 17), 6, int(DEEP.max()))


def test_reduced_pages_are_skipped(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(DEEP, **CONTIGUOUS)
        file.write(DEEP[::2, ::2], subfiletype=1, **CONTIGUOUS)
    assert np.array_equal(read_image(tmp_path / "a.tif", TWELVE_BITS), DEEP >> 4)


def test_bands_are_chosen_in_order(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, **CONTIGUOUS)
    chosen = read_image(tmp_path / "a.tif", reading("turn", 4095, [4, 3, 2, 6]))
    assert np.array_equal(chosen, (DEEP >> 4)[:, :, [3, 2, 1, 5]])
    assert np.array_equal(read_image(tmp_path / "a.tif", reading("turn", None, 6)), DEEP >> 8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_pictures_have_the_bands_of_their_file(tmp_path, mode):
    rgba = np.random.default_rng(1).integers(0, 256, (11, 13, 4)).astype(np.uint8)
    pictures = {
        "L": Image.fromarray(rgba[:, :, 0]),
        "LA": Image.fromarray(rgba[:, :, :2]),
        "RGB": Image.fromarray(rgba[:, :, :3]),
        "RGBA": Image.fromarray(rgba),
        "P": Image.fromarray(rgba[:, :, :3]).quantize(16),
        "1": Image.fromarray(rgba[:, :, 0] > 127),
        "I;16": Image.fromarray(rgba[:, :, 0].astype(np.uint16) << 8),
    }
    expected = {"L": rgba[:, :, :1], "LA": rgba[:, :, :2], "RGB": rgba[:, :, :3], "RGBA": rgba, "I;16": rgba[:, :, :1]}
    expected["P"] = np.asarray(pictures["P"].convert("RGB"))
    expected["1"] = np.where(rgba[:, :, :1] > 127, 255, 0)
    pictures[mode].save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", reading("turn", None, expected[mode].shape[2]))
    assert image.dtype == np.uint8
    assert np.array_equal(image, expected[mode])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_as_pillow_turns_pictures(tmp_path, orientation):
    grey = np.random.default_rng(2).integers(0, 256, (5, 7)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    expected = read_image(tmp_path / "a.png", reading("turn", None, 1))
    assert np.array_equal(bands.upright(grey[:, :, None], orientation), expected)
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "deep.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "deep.png", reading("turn", None, 1)), expected)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(read_image(tmp_path / "a.tif", reading("turn", None, 1)), expected)
    assert np.array_equal(read_image(tmp_path / "a.tif", reading("ignore", None, 1))[:, :, 0], grey)


def test_floating_point_values_are_scaled_between_black_and_white(tmp_path):
    values = np.array([[[-1.0], [0.0], [0.25], [0.5], [3.0]]], np.float32)
    np.save(tmp_path / "a.npy", values)
    assert read_image(tmp_path / "a.npy", reading("turn", [0, 0.5], 1)).ravel().tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ValueError, match=r"float32 have no defined white level.*value_range"):
        read_image(tmp_path / "a.npy", reading("turn", None, 1))
    values[0, 0] = np.nan
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match=r"a\.npy.*1 value is not finite"):
        read_image(tmp_path / "a.npy", reading("turn", 1, 1))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (4, r"it has 6 bands, and bands=4 expects 4; to choose some, give a list: bands=\[1,2,3,4\]"),
        (7, r"it has 6 bands, and bands=7 expects 7"),
        ([1, 7], "it has 6 bands, and bands has 7; give numbers from 1 to 6"),
    ],
)
def test_other_bands_are_refused(tmp_path, chosen, message):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, **CONTIGUOUS)
    np.save(tmp_path / "a.npy", DEEP)
    for name in ("a.tif", "a.npy"):
        with pytest.raises(ValueError, match=rf"{name}: .*{message}"):
            read_image(tmp_path / name, reading("turn", None, chosen))


@pytest.mark.parametrize("given", [0, -1, 2.5, "4", True, [], [0, 1], [1, 2.0], {1: 2}])
def test_bands_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match=r"bands=.*; give how many bands each image has, such as bands=4"):
        reading("turn", None, given)


def test_a_tiff_of_other_bands_says_what_to_type(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, **CONTIGUOUS)
    with pytest.raises(ValueError, match=r"a\.tif: .*read with the data option bands, such as bands=4"):
        read_image(tmp_path / "a.tif")


def test_a_missing_codec_and_a_missing_tifffile_are_named(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((9, 11, 4), np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    if find_spec("imagecodecs") is None:
        with pytest.raises(ValueError, match=r"a\.tif: .*compression LZW needs a codec.*pip install imagecodecs"):
            read_image(tmp_path / "a.tif", reading("turn", None, 4))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"pip install 'segattn\[tiff\]'"):
        read_image(tmp_path / "a.tif", reading("turn", None, 4))


def test_limits_hold_before_anything_is_decoded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, **CONTIGUOUS)
    np.save(tmp_path / "a.npy", DEEP)
    for name in ("a.tif", "a.npy"):
        with most_pixels(220), pytest.raises(ValueError, match=r"221 pixels.*a larger --max-pixels"):
            read_image(tmp_path / name, TWELVE_BITS)
        with most_pixels(221):
            assert read_image(tmp_path / name, TWELVE_BITS).shape == (13, 17, 6)
    monkeypatch.setattr(bands, "MOST_DECODED_BYTES", 100)
    with pytest.raises(ValueError, match="17x13 pixels of 6 bands; at most 512 bands"):
        read_image(tmp_path / "a.tif", TWELVE_BITS)


def test_arrays_hold_numbers_only(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[None]]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: .*type object; expected numbers"):
        read_image(tmp_path / "a.npy", reading("turn", None, 1))
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 5\); expected \(height, width, bands\)"):
        read_image(tmp_path / "a.npy", reading("turn", None, 1))
    np.save(tmp_path / "a.npy", np.zeros((0, 3, 1), np.uint8))
    with pytest.raises(ValueError, match="it is empty"):
        read_image(tmp_path / "a.npy", reading("turn", None, 1))


def test_damaged_files_are_named_or_give_a_picture_of_their_size(tmp_path):
    whole = {}
    for name, options in {"plain.tif": {}, "deflate.tif": {"compression": "zlib"}}.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, DEEP, **CONTIGUOUS, **options)
        whole[name] = stream.getvalue()
    np.save(tmp_path / "whole.npy", DEEP)
    whole["array.npy"] = (tmp_path / "whole.npy").read_bytes()
    outcomes = Counter()
    for case in range(60):
        rng = random.Random(f"bands {case}")
        name = rng.choice(list(whole))
        what, content = mutations.bytes_of(whole[name], rng)
        (tmp_path / name).write_bytes(content)
        is_image = lambda pixels: pixels.dtype == np.uint8 and pixels.shape[2] == 6  # noqa: E731
        read = partial(read_image, tmp_path / name, TWELVE_BITS)
        outcomes[judged(f"case {case}: {name}: {what}", read, is_image, str(tmp_path / name))] += 1
    assert outcomes["named error"] > 10
    for name, content in whole.items():
        for share in (0.02, 0.3, 0.9, 0.999):
            (tmp_path / name).write_bytes(content[: int(len(content) * share)])
            with pytest.raises(ValueError, match=name):
                read_image(tmp_path / name, TWELVE_BITS)


def test_a_network_reads_photos_as_its_training_images():
    options = {"bands": [4, 1], "value_range": [0, 10]}
    assert reading_of({"name": "folder", "options": options}, 2) == reading("turn", [0, 10], [4, 1])
    assert reading_of({"name": "folder", "options": {}}, 4) == reading("turn", None, 4)
    assert reading_of({"name": "streets", "options": {}}) == reading("turn", None)


def test_other_bands_are_shown_stretched():
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert shown(rgb) is rgb
    dark = rng.integers(10, 21, (20, 30, 5)).astype(np.uint8)
    picture = shown(dark)
    assert picture.shape == (20, 30, 3)
    assert (picture.min(), picture.max()) == (0, 255)
    other = dark.copy()
    other[:, :, 3:] = 0
    assert np.array_equal(shown(other), picture)
    grey = shown(dark[:, :, :1])
    assert np.array_equal(grey[:, :, 0], picture[:, :, 0])
    assert np.array_equal(grey[:, :, 0], grey[:, :, 2])
    assert np.array_equal(shown(np.full((4, 5, 1), 7, np.uint8)), np.full((4, 5, 3), 7))


@pytest.mark.parametrize("options", [{}, {"images": "images/{split}/*.npy"}, {"images": "_five.npy"}])
def test_arrays_are_found_by_folder_pattern_and_suffix_and_resized(tmp_path, options):
    suffix = "_five" if "_five.npy" in options.values() else ""
    for name in ("images/val", "masks/val"):
        (tmp_path / name).mkdir(parents=True)
    np.save(tmp_path / f"images/val/a{suffix}.npy", np.full((4, 6, 5), 7, np.uint8))
    Image.fromarray(np.ones((2, 3), np.uint8)).save(tmp_path / f"masks/val/a{suffix and '_mask'}.png")
    masks = {"masks": "_mask.png"} if suffix else {"masks": "masks/{split}/*.png"} if options else {}
    dataset = data.load(
        "folder", "val", root=tmp_path, classes=["a", "b"], bands=5, resize_images="bilinear", **options, **masks
    )
    assert dataset[0].image.shape == (2, 3, 5)
    assert (dataset[0].image == 7).all()
