"""Data sets as an experiment opens them: settings, options, notices."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from segattn.config import Data
from segattn.data import load
from segattn.data.splits import notices, open_data, open_split
from segattn.data.tools import make


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    for layout in ("voc", "ade20k", "folder", "coco_stuff10k"):
        make.make(layout, folder / layout, images=5, size=(40, 56))
    base = folder / "voc/VOCdevkit/VOC2012"
    (base / "SegmentationClassAug").symlink_to(base / "SegmentationClass")
    names = (base / "ImageSets/Segmentation/train.txt").read_text().split()
    (base / "ImageSets/Segmentation/trainaug.txt").write_text("\n".join(names[:2]))
    (folder / "folder/images").rename(folder / "folder/photos")
    return folder


def section(roots, name, **changes):
    return Data(name=name, root=str(roots / name), **changes)


def test_options_reach_the_data_set(roots):
    assert len(open_split(section(roots, "voc"), "train", None)) == 2
    assert len(open_split(section(roots, "voc", options={"augmented": False}), "train", None)) == 5
    assert len(open_split(section(roots, "folder", options={"images": "photos"}), "train", 3)) == 3


def test_options_of_generated_scenes_change_the_scenes():
    plain, other = Data(size=(32, 48), val_images=1), Data(size=(32, 48), val_images=1, options={"seed": 5})
    assert (open_data(plain)[1][0].image != open_data(other)[1][0].image).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("voc", {"augmentd": False}, "voc has no option 'augmentd'; did you mean augmented"),
        ("voc", {"augmented": "maybe"}, "augmented of data set voc should be true or false or none, not 'maybe'"),
        ("voc", {"augmented": 1}, "should be true or false or none, not 1"),
        ("coco_stuff", {"version": "20k"}, "no version '20k'; versions: 164k, 10k"),
        ("coco_stuff", {"version": 10}, "version of data set coco_stuff should be text or none, not 10"),
        ("folder", {"images": True}, "images of data set folder should be text, not True"),
        ("folder", {"images": "photoz"}, "no split 'train'; expected photoz/train/"),
        ("ade20k", {"version": "full"}, "ade20k has no option 'version'; Its options: exif, value_range"),
        ("streets", {"height": 2.5}, "height of data set streets should be a whole number, not 2.5"),
    ],
)
def test_wrong_option_is_named_with_what_is_allowed(roots, name, options, message):
    root = None if name == "streets" else str(roots / {"coco_stuff": "coco_stuff10k"}.get(name, name))
    with pytest.raises(ValueError, match=message):
        open_split(Data(name=name, root=root, options=options), "train", None)


def test_what_is_said_twice_or_would_be_ignored_is_refused(roots):
    with pytest.raises(ValueError, match=r"data\.options has width, which data\.size says too"):
        open_split(Data(size=(32, 64), options={"width": 64}), "val", None)
    with pytest.raises(ValueError, match=r"has num_images, which data\.train_images or data\.val_images says too"):
        open_split(Data(options={"num_images": 2}), "val", 3)
    with pytest.raises(ValueError, match=r"data\.size is for generated images; voc has images of its own"):
        open_split(section(roots, "voc", size=(32, 64)), "val", None)


def test_notices_are_those_of_the_data_sets_each_once(roots):
    ade = open_data(section(roots, "ade20k"))
    assert [text.startswith("ade20k: mask value 0") for text in notices(*ade)] == [True]
    assert notices(*open_data(section(roots, "folder", options={"images": "photos"}))) == []


def test_first_images_keep_the_notice(roots):
    limited = dataclasses.replace(section(roots, "ade20k"), train_images=1)
    assert len(notices(open_data(limited)[0])) == 1


@pytest.mark.parametrize("name", ["ade20k", "camvid", "cityscapes", "coco_stuff", "folder", "voc"])
def test_every_reader_of_files_takes_exif_and_value_range(name, tmp_path):
    root = tmp_path / "data"
    make.make(name, root, images=1, size=(32, 48))
    for option, value, message in (("exif", "upright", "give 'turn'"), ("value_range", 0, "give the values of black")):
        with pytest.raises(ValueError, match=message):
            load(name, "train", root=root, **{option: value})
    path = load(name, "train", root=root).reader.pairs[0].image
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = np.asarray(Image.open(path))
    Image.fromarray(turned).save(path, exif=exif)
    upright, stored = (load(name, "train", root=root, exif=how)[0].image for how in ("turn", "ignore"))
    assert np.array_equal(upright, stored[::-1, ::-1])
