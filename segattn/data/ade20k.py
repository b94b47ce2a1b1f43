"""ADE20K as in the scene parsing challenge of 2016: 150 classes; 20210 images for training, 2000 for validation.

Zhou et al.: *Scene Parsing through ADE20K Dataset*, CVPR 2017; *Semantic Understanding of Scenes through the ADE20K Dataset*,
arXiv 1608.05442. Layout, below ROOT or ROOT/ADEChallengeData2016:

    images/{training,validation}/NAME.jpg
    annotations/{training,validation}/NAME.png     0 = none of the classes, 1 to 150 = the classes
    images/testing/NAME.jpg                        from release_test.zip; without labels

Zero ("other objects") is ignored in training and evaluation, as in the challenge; mask value 1 is class 0. Each class has the
first name in the challenge's list and the colour in its toolkit (road and skyscraper share one).
"""

from __future__ import annotations

import os
from typing import Any

from segattn.data._dataset import IGNORE, Dataset, checked_root, checked_split, class_table
from segattn.data.files.pairs import find_pairs, paired_dataset
from segattn.data.files.pixels import reading
from segattn.data.tools.recipe import Archive, Recipe

FOLDER = "ADEChallengeData2016"
FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_NOTICE = "ade20k: mask value 0 (none of the 150 classes) is ignored; values 1 to 150 are the classes 0 to 149"
CLASS_OF_VALUE = {0: IGNORE, **{value: value - 1 for value in range(1, 151)}}

RECIPE = Recipe(
    archives=(Archive("http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip", size="0.9 GB"),),
    manual="Images of the test split, without labels: http://data.csail.mit.edu/places/ADEchallenge/release_test.zip;\n"
    "move its folder testing to ROOT/ADEChallengeData2016/images/testing.",
    expected=tuple(
        f"{FOLDER}/{part}/{split}" for part in ("images", "annotations") for split in ("training", "validation")
    ),
)


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load `train`, `val` or `test` of ADE20K.

    Args:
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095), or white alone.

    Raises:
        ValueError: no root, an unknown split, or files that are missing or unpaired.
    """
    checked_split(split)
    base = checked_root("ade20k", root, "data/ade")
    base = base / FOLDER if (base / FOLDER).is_dir() else base
    folder = FOLDERS[split]
    if not (base / "images" / folder).is_dir():
        raise ValueError(
            f"{base / 'images' / folder}: no such folder; `segattn data prepare ade20k` says which files go where"
        )
    masks = None if split == "test" else base / "annotations" / folder
    pairs = find_pairs(base / "images" / folder, masks)
    return paired_dataset(
        "ade20k",
        split,
        pairs,
        class_names=CLASS_NAMES,
        palette=PALETTE,
        mapping=CLASS_OF_VALUE,
        notice=_NOTICE,
        how=reading(exif, value_range),
    )


CLASS_NAMES, PALETTE = class_table("""
787878 wall
b47878 building
06e6e6 sky
503232 floor
04c803 tree
787850 ceiling
8c8c8c road
cc05ff bed
e6e6e6 windowpane
04fa07 grass
e005ff cabinet
ebff07 sidewalk
96053d person
787846 earth
08ff33 door
ff0652 table
8fff8c mountain
ccff04 plant
ff3307 curtain
cc4603 chair
0066c8 car
3de6fa water
ff0633 painting
0b66ff sofa
ff0747 shelf
ff09e0 house
0907e6 sea
dcdcdc mirror
ff095c rug
7009ff field
08ffd6 armchair
07ffe0 seat
ffb806 fence
0aff47 desk
ff290a rock
07ffff wardrobe
e0ff08 lamp
6608ff bathtub
ff3d06 railing
ffc207 cushion
ff7a08 base
00ff14 box
ff0829 column
ff0599 signboard
0633ff chest of drawers
eb0cff counter
a09614 sand
00a3ff sink
8c8c8c skyscraper
fa0a0f fireplace
14ff00 refrigerator
1fff00 grandstand
ff1f00 path
ffe000 stairs
99ff00 runway
0000ff case
ff4700 pool table
00ebff pillow
00adff screen door
1f00ff stairway
0bc8c8 river
ff5200 bridge
00fff5 bookcase
003dff blind
00ff70 coffee table
00ff85 toilet
ff0000 flower
ffa300 book
ff6600 hill
c2ff00 bench
008fff countertop
33ff00 stove
0052ff palm
00ff29 kitchen island
00ffad computer
0a00ff swivel chair
adff00 boat
00ff99 bar
ff5c00 arcade machine
ff00ff hovel
ff00f5 bus
ff0066 towel
ffad00 light
ff0014 truck
ffb8b8 tower
001fff chandelier
00ff3d awning
0047ff streetlight
ff00cc booth
00ffc2 television receiver
00ff52 airplane
000aff dirt track
0070ff apparel
3300ff pole
00c2ff land
007aff bannister
00ffa3 escalator
ff9900 ottoman
00ff0a bottle
ff7000 buffet
8fff00 poster
5200ff stage
a3ff00 van
ffeb00 ship
08b8aa fountain
8500ff conveyer belt
00ff5c canopy
b800ff washer
ff001f plaything
00b8ff swimming pool
00d6ff stool
ff0070 barrel
5cff00 basket
00e0ff waterfall
70e0ff tent
46b8a0 bag
a300ff minibike
9900ff cradle
47ff00 oven
ff00a3 ball
ffcc00 food
ff008f step
00ffeb tank
85ff00 trade name
ff00eb microwave
f500ff pot
ff007a animal
fff500 bicycle
0abed4 lake
d6ff00 dishwasher
00ccff screen
1400ff blanket
ffff00 sculpture
0099ff hood
0029ff sconce
00ffcc vase
2900ff traffic light
29ff00 tray
ad00ff ashcan
00f5ff fan
4700ff pier
7a00ff crt screen
00ffb8 plate
005cff monitor
b8ff00 bulletin board
0085ff shower
ffd600 radiator
19c2c2 glass
66ff00 clock
5c00ff flag
""")
