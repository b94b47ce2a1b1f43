"""A folder whose images have a file for each band is recognised, and its options read it."""

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.tools.survey import survey

ENDINGS = ["_nir.png", "_red.png"]
LAYOUTS = {
    "endings": ("images/{split}/{name}_{band}.png", "masks/{split}/{name}.png", {"bands": ENDINGS}),
    "no split": ("images/{name}_{band}.png", "masks/{name}.png", {"bands": ENDINGS}),
    "other names of folders": (
        "{split}/rgb/{name}-{band}.png",
        "{split}/labels/{name}.png",
        {"images": "rgb", "masks": "labels", "bands": ["-nir.png", "-red.png"]},
    ),
    "masks of an ending": (
        "images/{split}/{name}_{band}.png",
        "gt/{split}/{name}_mask.png",
        {"masks": "gt/{split}/**/*_mask.png", "bands": ENDINGS},
    ),
    "a folder for each image": (
        "images/{split}/{name}/{band}.png",
        "masks/{split}/{name}.png",
        {"bands": ["*/nir.png", "*/red.png"]},
    ),
    "a folder for each band": (
        "images/{split}/{band}/{name}.png",
        "masks/{split}/{name}.png",
        {"bands": ["nir/*.png", "red/*.png"]},
    ),
    "bands above splits": (
        "{band}/{split}/{name}.png",
        "masks/{split}/{name}.png",
        {"images": ".", "bands": ["nir/{split}/*.png", "red/{split}/*.png"]},
    ),
    "side by side": (
        "{split}/{name}_{band}.png",
        "{split}/{name}_mask.png",
        {"images": ".", "masks": "_mask.png", "bands": ENDINGS},
    ),
    "side by side without splits": (
        "{name}_{band}.png",
        "{name}_mask.png",
        {"images": ".", "masks": "_mask.png", "bands": ENDINGS},
    ),
    "folders of regions": (
        "images/{split}/north/{name}_{band}.png",
        "masks/{split}/north/{name}.png",
        {"bands": ENDINGS},
    ),
    "splits of other names": (
        "images/{valid}/{name}_{band}.png",
        "masks/{valid}/{name}.png",
        {"splits": {"val": "valid"}, "bands": ENDINGS},
    ),
    "a picture of the mask's name": (
        "images/{split}/{name}{band}.png",
        "masks/{split}/{name}.png",
        {"bands": [".png", "_nir.png"]},
    ),
}


def written(root, images, masks, bands=("red", "nir")):
    """Eight images of two bands, of which each fourth is for validation; the value is that of image and band."""
    for index in range(8):
        split = "val" if index % 4 == 3 else "train"
        words = {"name": f"field {index}", "split": split, "valid": split.replace("val", "valid")}
        for number, band in enumerate(bands):
            path = root / images.format(**words, band=band)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((5, 7), 10 * index + number, np.uint8)).save(path)
        path = root / masks.format(**words)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (7, 5), index % 2).save(path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_bands_are_recognised_and_their_options_read_them(name, tmp_path):
    images, masks, options = LAYOUTS[name]
    bands = ("", "_nir") if "{name}{band}" in images else ("red", "nir")
    written(tmp_path, images, masks, bands)
    looked = survey(tmp_path)
    assert looked.options == options
    assert sum(map(len, looked.pairs.values())) == 8
    order = [0, 1] if bands[0] == "" else [1, 0]  # of red and nir among the patterns
    for split in looked.pairs:
        for sample in data.load("folder", split, root=tmp_path, classes=["a", "b"], **looked.options):
            index = int(sample.name[-1])
            assert [int(sample.image[0, 0, number]) for number in order] == [10 * index, 10 * index + 1]
            assert sample.label is not None
            assert sample.label[0, 0] == index % 2


def test_longer_names_belong_to_longer_masks(tmp_path):
    """`a_1_red.png` is a band of `a_1`, not of `a`."""
    for name in ("a", "a_1", "b", "b_1", "c", "d"):
        for band in ("red", "nir"):
            (tmp_path / "images").mkdir(exist_ok=True)
            Image.new("L", (7, 5)).save(tmp_path / f"images/{name}_{band}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.new("L", (7, 5)).save(tmp_path / f"masks/{name}.png")
    looked = survey(tmp_path)
    assert looked.options["bands"] == ENDINGS
    assert sum(map(len, looked.pairs.values())) == 6


def test_lists_say_the_splits(tmp_path):
    written(tmp_path, "images/{name}_{band}.png", "masks/{name}.png")
    (tmp_path / "train.txt").write_text("field 0\nfield 1\n")
    (tmp_path / "val.txt").write_text("field 5\n")
    pairs = survey(tmp_path).pairs
    assert {split: [pair.name for pair in each] for split, each in pairs.items()} == {
        "train": ["field 0", "field 1"],
        "val": ["field 5"],
    }


def test_missing_band_is_named(tmp_path):
    written(tmp_path, *LAYOUTS["endings"][:2])
    (tmp_path / "images/train/field 1_nir.png").unlink()
    with pytest.raises(ValueError, match=r"no band _nir\.png for 1 of 6 images: field 1; add the files, .* bands$"):
        survey(tmp_path)


def test_two_files_of_one_name_are_no_bands(tmp_path):
    written(tmp_path, "images/{split}/{name}.{band}", "masks/{split}/{name}.png", ("png", "bmp"))
    with pytest.raises(ValueError, match="have the same name; keep one of them"):
        survey(tmp_path)


def test_pictures_without_a_mask_are_no_bands(tmp_path):
    """Fewer than nine in ten files belong to a mask: the folder holds something else."""
    written(tmp_path, *LAYOUTS["endings"][:2])
    for index in range(8):
        Image.new("L", (7, 5)).save(tmp_path / f"images/train/preview{index}.png")
    with pytest.raises(ValueError, match="none of the names are the same"):
        survey(tmp_path)
