import re

import numpy as np
import pytest
from PIL import Image

from segattn import data
from segattn.data.tools.survey import survey

LAYOUTS = {
    "images and masks": (["images/{}.jpg", "masks/{}.png"], {}),
    "splits inside": (["images/{split}/{}.jpg", "masks/{split}/{}.png"], {}),
    "splits outside": (["{split}/images/{}.jpg", "{split}/masks/{}.png"], {}),
    "other names": (["rgb/{split}/{}.jpg", "gt/{split}/{}.png"], {"images": "rgb", "masks": "gt"}),
    "names of validation": (
        ["{valid}/images/{}.jpg", "{valid}/labels/{}.png"],
        {"masks": "labels", "splits": {"val": "valid"}},
    ),
    "a suffix": (["images/{}.jpg", "masks/{}_mask.png"], {"images": "images/**/*", "masks": "masks/**/*_mask.png"}),
    "flat": (["{}.jpg", "{}_mask.png"], {"images": ".jpg", "masks": "_mask.png"}),
    "flat, one ending": (["{}.png", "{}-mask.png"], {"images": ".png", "masks": "-mask.png"}),
    "flat, two endings": (["{}.jpg", "{}.png"], {"images": ".jpg", "masks": ".png"}),
    "camvid": (["{split}/{}.png", "{split}annot/{}.png"], {"images": "{split}/**/*", "masks": "{split}annot/**/*.png"}),
    "supervisely": (
        ["ds 0/img/{}.jpg", "ds 0/masks_machine/{}.png"],
        {"images": "*/img/**/*", "masks": "*/masks_machine/**/*.png"},
    ),
    "cityscapes": (
        ["leftImg8bit/{split}/ulm/{}_leftImg8bit.png", "gtFine/{split}/ulm/{}_gtFine_labelIds.png"],
        {"images": "leftImg8bit/{split}/**/*_leftImg8bit.png", "masks": "gtFine/{split}/**/*_gtFine_labelIds.png"},
    ),
}


def written(root, layout, count=8):
    """Images and masks in a layout: of each four, one is for validation."""
    for index in range(count):
        split = "val" if index % 4 == 3 else "train"
        named = {"split": split, "valid": "valid" if split == "val" else split}
        for form, mode in zip(layout, ("RGB", "L"), strict=True):
            path = root / form.format(f"frame {index}", **named)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (7, 5)).save(path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_recognised_and_its_options_read_it(tmp_path, name):
    layout, options = LAYOUTS[name]
    written(tmp_path, layout)
    looked = survey(tmp_path)
    assert looked.options == options
    assert sum(map(len, looked.pairs.values())) == 8
    assert "test" not in looked.pairs
    for split, pairs in looked.pairs.items():
        dataset = data.load("folder", split, root=tmp_path, classes=["a", "b"], **looked.options)
        assert [dataset.image_name(index) for index in range(len(dataset))] == [pair.name for pair in pairs]
        assert pairs[0].label is not None


def test_lists_of_voc_are_used(tmp_path):
    written(tmp_path, ["JPEGImages/{}.jpg", "SegmentationClass/{}.png"])
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("frame 0\nframe 1\n")
    (lists / "val.txt").write_text("frame 2\n")
    looked = survey(tmp_path)
    assert looked.options["lists"] == "ImageSets/Segmentation/{split}.txt"
    assert {split: len(pairs) for split, pairs in looked.pairs.items()} == {"train": 2, "val": 1}


def test_a_training_split_alone_is_divided(tmp_path):
    for index in range(6):
        for part, mode in (("images", "RGB"), ("masks", "L")):
            path = tmp_path / f"{part}/train/{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (7, 5)).save(path)
    looked = survey(tmp_path)
    assert looked.options == {"val_fraction": 0.2}
    assert len(looked.pairs["train"]) + len(looked.pairs["val"]) == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no pictures; expected files that end in .jpg"),
        (["a.jpg", "b.jpg"], "no pictures that look like masks; there are 2 in the folder itself"),
        (["images/a.png", "masks/b.png"], "has 1 images named a, .*masks has 1 masks named b, and none of the names"),
    ],
)
def test_what_cannot_be_paired_says_what_was_seen(tmp_path, files, message):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / file)
    with pytest.raises(ValueError, match=message):
        survey(tmp_path)


def test_no_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'gone'}: no such folder")):
        survey(tmp_path / "gone")
