"""Bands in files of their own: which belong together, in every layout of a folder."""

import re

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.files.band_files import band_of, checked, image_name, of_image
from segattn.data.files.pixels import reading

ENDINGS = ("_B04.tif", "_B08.tif")


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        ("a_B08.tif", ENDINGS, (1, "a", "")),
        ("north/a.b_B04.tif", ENDINGS, (0, "north/a.b", "")),
        ("a_B8.tif", ENDINGS, None),
        ("a_B04.tif.xml", ENDINGS, None),
        ("a/B04.tif", ("B04.tif", "B08.tif"), (0, "a", "")),
        ("x/a/B04.tif", ("*/B04.tif", "*/B08.tif"), (0, "x/a", "")),
        ("B04.tif", ("*/B04.tif", "*/B08.tif"), None),
        ("x/B08/a.tif", ("B04/*.tif", "B08/*.tif"), (1, "x/a", "")),
        ("B08/val/a.tif", ("B04/{split}/*.tif", "B08/{split}/*.tif"), (1, "a", "val")),
        ("a_nir.tif", (".tif", "_nir.tif"), (1, "a", "")),  # the longer of two that match
        ("a.tif", (".tif", "_nir.tif"), (0, "a", "")),
    ],
)
def test_file_belongs_to_a_band_of_an_image(path, patterns, expected):
    assert band_of(path, patterns) == expected


@pytest.mark.parametrize(
    ("path", "patterns", "others"),
    [
        ("/d/a_B08.tif", ENDINGS, ["/d/a_B04.tif", "/d/a_B08.tif"]),
        ("a/B04.tif", ("*/B04.tif", "*/B08.tif"), ["a/B04.tif", "a/B08.tif"]),
        ("/d/B04/val/a.tif", ("B04/{split}/*.tif", "B08/{split}/*.tif"), ["/d/B04/val/a.tif", "/d/B08/val/a.tif"]),
    ],
)
def test_files_of_the_other_bands(path, patterns, others, tmp_path):
    assert [each.as_posix() for each in of_image(tmp_path / path, patterns)] == [
        str(tmp_path / each) for each in others
    ]
    assert image_name(tmp_path / path, patterns) == "a"


def test_file_of_no_band_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"photo\.png: none of the bands _B04\.tif, _B08\.tif"):
        of_image(tmp_path / "photo.png", ENDINGS)


def test_bands_are_named_or_listed():
    assert reading("turn", None, {"red": "*_B04.tif", "nir": "**/*_B08.tif"}).files == ("*_B04.tif", "*_B08.tif")
    assert reading("turn", None, ["_B04.tif"]).files == ("_B04.tif",)
    assert reading("turn", None, [4, 3]).files == ()


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["[*_B04.tif,*_B08.tif]"], "in quotes: bands=['B04/*.tif','B08/*.tif']"),
        (["a_?.tif"], "give the ending of the band's files, such as _B04.tif"),
        (["*_*.tif"], "or a pattern with one *"),
        (["/data/*.tif"], "give the ending"),
        (["_B04"], "bands has '_B04', which names no kind of file; give its ending too"),
        ([""], "names no kind of file"),
        (["_B04.tif", "*_B04.tif"], "bands names the same files twice: _B04.tif, *_B04.tif"),
        (["B04/{split}/*.tif", "B08/*.tif"], "bands has {split} in some patterns only"),
    ],
)
def test_impossible_pattern_is_refused(patterns, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(patterns)


@pytest.mark.parametrize("bands", [["_a.tif", 3], [], {}, {"red": 4, "nir": "_a.tif"}])
def test_mixture_of_numbers_and_files_is_refused(bands):
    with pytest.raises(ValueError, match=r"or the ending of each band's files, such as bands=\[_B04.tif,_B08.tif\]"):
        reading("turn", None, bands)


LAYOUTS = {
    "endings": ("images/{split}/{name}_{band}.png", {}, "_{band}.png"),
    "a folder for each image": ("images/{split}/{name}/{band}.png", {}, "*/{band}.png"),
    "a folder for each band": ("images/{split}/{band}/{name}.png", {}, "{band}/*.png"),
    "folders that hold both": ("{split}/images/{name}_{band}.png", {}, "_{band}.png"),
    "bands above splits": ("{band}/{split}/{name}.png", {"images": "."}, "{band}/{split}/*.png"),
    "masks by ending": ("images/{split}/{name}_{band}.png", {"masks": "_mask.png"}, "_{band}.png"),
    "no split": ("images/{split} {name}_{band}.png", {"val_fraction": 0.4}, "_{band}.png"),
    "lists": ("images/{name}_{band}.png", {"lists": "{split}.txt"}, "_{band}.png"),
}
MASKS = {
    "folders that hold both": "{split}/masks/{name}.png",
    "masks by ending": "images/{split}/{name}_mask.png",
    "no split": "masks/{split} {name}.png",
    "lists": "masks/{name}.png",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folder_is_read_in_every_layout(layout, tmp_path):
    place, options, pattern = LAYOUTS[layout]
    rng, written = np.random.default_rng(0), {}
    for split, names in (("train", "abc"), ("val", "de")):
        for name in names:
            values = rng.integers(0, 256, (7, 11, 2), dtype=np.uint8)
            written[name] = values
            for index, band in enumerate(("red", "nir")):
                path = tmp_path / place.replace("{split}", split).replace("{name}", name).replace("{band}", band)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values[:, :, index]).save(path)
            path = tmp_path / MASKS.get(layout, "masks/{split}/{name}.png").format(split=split, name=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((7, 11), np.uint8)).save(path)
        if layout == "lists":
            (tmp_path / f"{split}.txt").write_text("\n".join(names))
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    bands = {band: pattern.replace("{band}", band) for band in ("red", "nir")}
    samples = [
        sample
        for split in ("train", "val")
        for sample in data.load("folder", split, root=tmp_path, bands=bands, **options)
    ]
    assert sorted(sample.name[-1] for sample in samples) == list("abcde")
    for sample in samples:
        assert np.array_equal(sample.image, written[sample.name[-1]])
        assert sample.label is not None
    swapped = data.load("folder", "train", root=tmp_path, bands=dict(reversed(bands.items())), **options)[0]
    assert np.array_equal(swapped.image, written[swapped.name[-1]][:, :, ::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "images/{split}/*.png"}, "images=images/{split}/*.png and bands both say how files are named"),
        (
            {"bands": ["_x.png", "_y.png"]},
            "images/train: no file of the bands _x.png, _y.png; there are a_nir.png, a_red.png",
        ),
        ({"bands": ["{split}/*_x.png"], "images": "."}, "no split 'train': no image matches train/*_x.png"),
    ],
)
def test_mistake_in_a_folder_is_named(options, message, tmp_path):
    for part, name in (("images", "a_red.png"), ("images", "a_nir.png"), ("masks", "a.png")):
        (tmp_path / part / "train").mkdir(parents=True, exist_ok=True)
        Image.new("L", (11, 7)).save(tmp_path / part / "train" / name)
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        data.load("folder", "train", root=tmp_path, **{"bands": ["_red.png", "_nir.png"], **options})


def test_images_without_a_band_are_counted_and_three_are_named(tmp_path):
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "masks/train").mkdir(parents=True)
    for name in "abcdef":
        Image.new("L", (11, 7)).save(tmp_path / f"images/train/{name}_red.png")
        Image.new("L", (11, 7)).save(tmp_path / f"masks/train/{name}.png")
    Image.new("L", (11, 7)).save(tmp_path / "images/train/f_nir.png")
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match=r"no band _nir.png for 5 of 6 images: a, b, c and 2 more; add the files"):
        data.load("folder", "train", root=tmp_path, bands=["_red.png", "_nir.png"])
