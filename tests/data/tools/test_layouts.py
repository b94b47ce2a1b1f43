"""Generated scenes in the layouts of the real data sets: what is read back is what was drawn."""

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data import streets
from segattn.data.tools import make

LAYOUTS = make.layouts()
SPLITS = [
    (layout, split)
    for layout in LAYOUTS
    for split in ("train", "val", "test")
    if (layout, split) != ("coco_stuff10k", "test")
]


def reader(layout):
    return "coco_stuff" if layout == "coco_stuff10k" else layout


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    for layout in LAYOUTS:
        make.make(layout, folder / layout, images=3, size=(47, 89))
    return folder


@pytest.mark.parametrize(("layout", "split"), SPLITS)
def test_every_reader_gives_the_labels_that_were_drawn(roots, layout, split):
    dataset = data.load(reader(layout), split, root=roots / layout)
    drawn = streets.load(split, height=47, width=89, num_images=3 if split == "train" else 1)
    assert len(dataset) == len(drawn)
    for sample, scene in zip(dataset, drawn, strict=True):
        assert np.abs(sample.image.astype(int) - scene.image).mean() < 12  # JPEG
        if split == "test" and layout != "camvid":
            assert sample.label is None
            continue
        assert np.array_equal(sample.label, LAYOUTS[layout].class_of()[scene.label])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_streets_find_classes_of_their_kind(layout):
    names, classes = LAYOUTS[layout].class_names, LAYOUTS[layout].class_of()
    street = streets.load("train", num_images=1).class_names
    car, person, road = (names[classes[street.index(name)]] for name in ("car", "person", "road"))
    assert car == "car"
    assert person in ("person", "pedestrian")
    assert road == ("background" if layout == "voc" else "road")
    assert classes[255] == 255
    assert classes[:19].max() < len(names)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="is not empty"):
        make.make("voc", tmp_path)
    with pytest.raises(ValueError, match="unknown layout 'coco'; Known layouts: cityscapes, ade20k"):
        make.make("coco", tmp_path / "new")
    with pytest.raises(ValueError, match="0 images"):
        make.make("voc", tmp_path / "new", images=0)


def test_masks_of_voc_carry_its_palette(roots):
    mask = Image.open(next((roots / "voc/VOCdevkit/VOC2012/SegmentationClass").glob("*.png")))
    assert mask.mode == "P"
    assert mask.getpalette()[45:48] == [192, 128, 128]  # person
    assert mask.getpalette()[-3:] == [224, 224, 192]  # border


@pytest.mark.parametrize("layout", ["cityscapes", "ade20k", "voc", "coco_stuff", "camvid"])
def test_a_missing_root_says_what_to_type(layout, tmp_path):
    with pytest.raises(ValueError, match="--data-root"):
        data.load(layout, "train")
    with pytest.raises(ValueError, match=r"no such folder|no JPEGImages"):
        data.load(layout, "train", root=tmp_path)


def test_names_of_cityscapes_are_those_that_its_own_scripts_match(roots):
    helper = pytest.importorskip("cityscapesscripts.helpers.csHelpers")
    files = sorted((roots / "cityscapes").rglob("*.png"))
    assert len(files) == 3 + 1 + 1 + 3 + 1  # images of three splits, masks of two
    for path in files:
        parts = helper.getCsFileInfo(str(path))
        assert parts.city == path.parent.name
        assert parts.sequenceNb.isdigit()
        assert (len(parts.sequenceNb), parts.frameNb, parts.ext) == (6, "000019", "png")
        assert (parts.type, parts.type2) in (("leftImg8bit", ""), ("gtFine", "labelIds"))
    cities = [
        {path.name for path in (roots / "cityscapes/leftImg8bit" / split).iterdir()}
        for split in ("train", "val", "test")
    ]
    assert sum(map(len, cities)) == len(set.union(*cities))
