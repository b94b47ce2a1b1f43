"""COCO-Stuff: 171 classes in photos of COCO, 118287 for training, 5000 for validation; or 9000 and 1000.

Caesar, Uijlings, Ferrari: *COCO-Stuff: Thing and Stuff Classes in Context*, CVPR 2018, arXiv 1612.03716. Two layouts:

164k    ROOT/images/{train2017,val2017}/NAME.jpg                       and test2017 without labels
        ROOT/annotations/{train2017,val2017}/NAME.png                  ids 0 to 181, mapped to classes when read
                                         or  NAME_labelTrainIds.png    classes 0 to 170 and 255, as mmsegmentation writes them
10k     ROOT/images/{train2014,test2014}/NAME.jpg                      test2014 is the split `val`
        ROOT/annotations/{train2014,test2014}/NAME_labelTrainIds.png   0 = unlabelled, 1 to 171 = the classes

An id is the line of a name in the authors' labels.txt minus one; 11 of the 182 ids never occur and are an error. 255 is ignored,
and so is 0 in the 10k form. The authors publish no colour per class; these are mmsegmentation's, and eight of them occur twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segattn import records
from segattn.data._dataset import IGNORE, Dataset, checked_root, checked_split, class_table
from segattn.data.files import matlab
from segattn.data.files.pairs import MASK_SUFFIXES, find_pairs, has_files, paired_dataset, read_list
from segattn.data.files.pixels import reading
from segattn.data.tools.recipe import Archive, Recipe

# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush
UNUSED_IDS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
CLASS_OF_ID = {i: c for c, i in enumerate(i for i in range(182) if i not in UNUSED_IDS)}
"""The class of each id in a mask of the 164k form."""
CLASS_OF_10K = {0: IGNORE, **{value: value - 1 for value in range(1, 172)}}
TRAIN_IDS = "_labelTrainIds.png"
FOLDERS = {
    "164k": {"train": "train2017", "val": "val2017", "test": "test2017"},
    "10k": {"train": "train2014", "val": "test2014"},
}
_SITE = "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    version: str | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load `train`, `val` or (164k only) `test` of COCO-Stuff.

    Args:
        version: `164k` or `10k`; None: the one whose training images exist.
        exif, value_range: how images are read, as in `folder`.

    Raises:
        ValueError: no root, an unknown split or version, or files that are missing or unpaired.
    """
    checked_split(split)
    base = checked_root("coco_stuff", root, "data/coco_stuff164k")
    folders = FOLDERS[_version(base, version)]
    if split not in folders:
        raise ValueError("coco_stuff 10k has no split 'test': its test2014 is the split 'val'")
    images, masks = base / "images" / folders[split], base / "annotations" / folders[split]
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder; `segattn data prepare coco_stuff` says which files go where")
    converted = split != "test" and masks.is_dir() and has_files(masks, TRAIN_IDS)
    endings = [TRAIN_IDS] if converted else MASK_SUFFIXES
    pairs = find_pairs(images, None if split == "test" else masks, label_endings=endings)
    mapping = CLASS_OF_10K if folders is FOLDERS["10k"] else None if converted else CLASS_OF_ID
    notice = "coco_stuff 10k: mask value 0 (unlabelled) is ignored" if mapping is CLASS_OF_10K else ""
    settings: dict[str, Any] = {"mapping": mapping, "notice": notice, "how": reading(exif, value_range)}
    return paired_dataset("coco_stuff", split, pairs, class_names=CLASS_NAMES, palette=PALETTE, **settings)


def _version(root: Path, version: str | None) -> str:
    if version is not None:
        if version not in FOLDERS:
            raise ValueError(f"coco_stuff has no version {version!r}; versions: {', '.join(FOLDERS)}")
        return version
    return "10k" if (root / "images/train2014").is_dir() and not (root / "images/train2017").is_dir() else "164k"


def convert_10k(root: Path, on_progress: Callable[[int, int], object]) -> str:
    """Sort the extracted images of the 10k form by split and write their masks as PNG, once."""
    lists = {"train2014": root / "imageLists/train.txt", "test2014": root / "imageLists/test.txt"}
    if not all(path.is_file() for path in lists.values()):
        return ""
    work = [(name, folder) for folder, path in lists.items() for name in read_list(path)]
    for done, (name, folder) in enumerate(work):
        image, mask = root / "images" / folder / f"{name}.jpg", root / "annotations" / folder / f"{name}{TRAIN_IDS}"
        for target in (image, mask):
            target.parent.mkdir(parents=True, exist_ok=True)
        if not mask.is_file():
            ids = matlab.read(root / "annotations" / f"{name}.mat")["S"].astype(int)  # 0 = unlabelled, 1 to 182
            if np.isin(ids, np.array(UNUSED_IDS) + 1).any() or ids.max() > 182:
                raise ValueError(f"{name}.mat: holds an id that COCO-Stuff does not use, or one above 182")
            table = np.array([0, *(CLASS_OF_ID.get(i, -1) + 1 for i in range(182))], np.uint8)
            with records.writing(mask, synced=False) as temporary:
                Image.fromarray(table[ids]).save(temporary)
        if not image.is_file():
            os.replace(root / "images" / f"{name}.jpg", image)
        on_progress(done + 1, len(work))
    return f"{len(work)} images sorted by split, their masks written as *{TRAIN_IDS}"


RECIPE = Recipe(
    archives=(
        Archive("http://images.cocodataset.org/zips/train2017.zip", size="18 GB", into="images"),
        Archive("http://images.cocodataset.org/zips/val2017.zip", size="1 GB", into="images"),
        Archive(f"{_SITE}stuffthingmaps_trainval2017.zip", size="0.7 GB", into="annotations"),
    ),
    expected=tuple(f"{part}/{split}" for part in ("images", "annotations") for split in ("train2017", "val2017")),
    variants={
        "10k": Recipe(
            archives=(Archive(f"{_SITE}cocostuff-10k-v1.1.zip", size="2 GB"),),
            convert=convert_10k,
            expected=tuple(
                f"{part}/{split}" for part in ("images", "annotations") for split in ("train2014", "test2014")
            ),
        )
    },
)

CLASS_NAMES, PALETTE = class_table("""
00c040 person
00c040 bicycle
004060 car
80c0c0 motorcycle
004040 airplane
00c0e0 bus
00c0c0 train
80c040 truck
00c060 boat
80c040 traffic light
8020c0 fire hydrant
0000e0 stop sign
000040 parking meter
00a0c0 bench
800060 bird
8000c0 cat
0020c0 dog
8080e0 horse
0000c0 sheep
80a0c0 cow
808000 elephant
800020 bear
802000 zebra
800080 giraffe
408020 backpack
00a000 umbrella
000000 handbag
c080a0 tie
002000 suitcase
008080 frisbee
4080a0 skis
80a000 snowboard
008000 sports ball
c08020 kite
806080 baseball bat
000080 baseball glove
400020 skateboard
00e080 surfboard
800000 tennis racket
c000a0 bottle
006080 wine glass
808080 cup
4000a0 fork
80e080 knife
808040 spoon
c00020 bowl
806000 banana
8000c0 apple
008020 sandwich
40e000 orange
000040 broccoli
8080a0 carrot
406000 hot dog
0080c0 pizza
0080a0 donut
c0e000 cake
008040 chair
808020 couch
c02080 potted plant
0040c0 bed
000020 dining table
40a080 toilet
804040 tv
8000a0 laptop
402080 mouse
80c0c0 remote
0000a0 keyboard
c0a080 cell phone
80c000 microwave
800060 oven
c02000 toaster
804080 sink
408060 refrigerator
40a000 book
004000 clock
c080e0 vase
402000 scissors
00c080 teddy bear
4080e0 hair drier
c0a000 toothbrush
00c000 banner
c08060 blanket
c06080 branch
004080 bridge
400060 building-other
40e080 bush
804000 cabinet
c000e0 cage
406080 cardboard
80c080 carpet
4000e0 ceiling-other
c0e080 ceiling-tile
80c040 cloth
c00060 clothes
c06000 clouds
8040c0 counter
008060 cupboard
00e000 curtain
404040 desk-stuff
8080e0 dirt
006000 door-stuff
40c0c0 fence
0080e0 floor-marble
80e000 floor-other
40c040 floor-stone
808060 floor-tile
802080 floor-wood
4000c0 flower
004060 fog
00a080 food-other
c00040 fruit
8040e0 furniture-other
002080 grass
c080c0 gravel
0040e0 ground-other
80a080 hill
c08000 house
804020 leaves
802040 light
c00080 mat
40c020 metal
00a040 mirror-stuff
400000 moss
c0c0a0 mountain
002040 mud
408080 napkin
40c0a0 net
80a040 paper
408000 pavement
c0c020 pillow
8060c0 plant-other
400080 plastic
404020 platform
00e0c0 playingfield
c00000 railing
c040a0 railroad
0060c0 river
c08080 road
4040a0 rock
80e0c0 roof
c08040 rug
c04020 salad
806040 sand
c000c0 sea
00c020 shelf
40e040 sky-other
400040 skyscraper
80c0a0 snow
406040 solid-other
4080c0 stairs
00c0a0 stone
c0e040 straw
408040 structural-other
80c020 table
c020c0 tent
4040c0 textile-other
004020 towel
40a0c0 tree
c04040 vegetable
8040a0 wall-brick
4020c0 wall-concrete
c0c0c0 wall-other
0040a0 wall-panel
c0a0c0 wall-stone
c0c000 wall-tile
804060 wall-wood
c02040 water-other
c04080 waterdrops
40c060 window-blind
40a040 window-other
404000 wood
""")
