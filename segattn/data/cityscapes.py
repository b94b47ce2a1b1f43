"""Cityscapes: 2048x1024 street scenes of 50 cities, 19 classes; 2975 images for training, 500 for validation, 1525 for test.

Cordts et al.: *The Cityscapes Dataset for Semantic Urban Scene Understanding*, CVPR 2016, arXiv 1604.01685. Layout:

    ROOT/leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png
    ROOT/gtFine/{train,val}/CITY/NAME_gtFine_labelIds.png        ids 0 to 33, mapped to classes when read
                             or  NAME_gtFine_labelTrainIds.png   classes 0 to 18 and 255, as mmsegmentation writes them

`labelIds` are used if there are any. Ids that are not evaluated (and -1, the license plate, stored as 255) are ignored.
The labels of `test` are not public: that split has none, even if gtFine/test holds files.
"""

from __future__ import annotations

import os
from typing import Any

from segattn.data._dataset import IGNORE, Dataset, checked_root, checked_split
from segattn.data.files.pairs import find_pairs, has_files, paired_dataset
from segattn.data.files.pixels import reading
from segattn.data.tools.recipe import Recipe

# id in labelIds, name, colour: as in the authors' scripts
_CLASSES = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
CLASS_NAMES = tuple(name for name, _ in _CLASSES.values())
PALETTE = tuple(colour for _, colour in _CLASSES.values())
_NUM_IDS = 34
CLASS_OF_ID = {i: list(_CLASSES).index(i) if i in _CLASSES else IGNORE for i in range(_NUM_IDS)}
"""The class of each id in a labelIds mask, 255 for those that are not evaluated."""

IMAGE_ENDING = "_leftImg8bit.png"
IDS_ENDING = "_gtFine_labelIds.png"
CLASSES_ENDING = "_gtFine_labelTrainIds.png"

RECIPE = Recipe(
    manual="""\
Cityscapes needs an account, which is free for research, so you have to download it yourself:
  1. Register at https://www.cityscapes-dataset.com/register/ and log in.
  2. From https://www.cityscapes-dataset.com/downloads/ get
       gtFine_trainvaltest.zip       241 MB
       leftImg8bit_trainvaltest.zip   11 GB
  3. Put both into ROOT/downloads and run this command again: it extracts them.
No conversion is needed: labelIds are mapped to the 19 classes when they are read.""",
    local=("gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip"),
    expected=("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val"),
)


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load `train`, `val` or `test` of Cityscapes.

    Args:
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095), or white alone.

    Raises:
        ValueError: no root, an unknown split, or files that are missing or unpaired.
    """
    checked_split(split)
    base = checked_root("cityscapes", root, "data/cityscapes")
    images, masks = base / "leftImg8bit" / split, base / "gtFine" / split
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder; `segattn data prepare cityscapes` says which files go where")
    if split == "test":
        pairs, mapping = find_pairs(images, None, image_endings=[IMAGE_ENDING]), None
    else:
        raw = not masks.is_dir() or has_files(masks, IDS_ENDING)
        mapping = CLASS_OF_ID if raw else None
        ending = IDS_ENDING if raw else CLASSES_ENDING
        pairs = find_pairs(images, masks, image_endings=[IMAGE_ENDING], label_endings=[ending])
    return paired_dataset(
        "cityscapes",
        split,
        pairs,
        class_names=CLASS_NAMES,
        palette=PALETTE,
        mapping=mapping,
        how=reading(exif, value_range),
    )
