"""Generated street scenes with Cityscapes' 19 classes, palette and ignore label 255.

A sample is a pure function of seed, split, index and size, computed in integers, so it is the same on every machine; size
changes only the resolution. The scenes reward context: these classes look alike locally, and something far away tells them
apart:

* train and bus share shape, size and livery; a train is on rails, which run through the whole picture;
* a rider is a person whose legs end on a bicycle or motorcycle;
* wall and building share masonry; a building has windows and a roof further up, a wall does not;
* vegetation and terrain share leaves; terrain lies on the ground;
* in half of the scenes sidewalk and road share asphalt, and only the kerb line separates them;
* truck and bus share livery and rear; trunk and pole share a colour, but a trunk carries a crown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

from segattn.data._dataset import SPLITS, Dataset, MadeNames, Sample, checked_split
from segattn.data.cityscapes import CLASS_NAMES, PALETTE
from segattn.data.streets.canvas import Canvas, Dice
from segattn.data.streets.scene import develop, paint

_NUM_IMAGES = {"train": 1000, "val": 100, "test": 100}


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    height: int = 256,
    width: int = 512,
    num_images: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a split of generated scenes; image i does not depend on `num_images`.

    >>> load("val", height=64, width=128)[7].label.shape
    (64, 128)

    Args:
        num_images: 1000 for `train`, 100 for `val` and `test` if None.
        seed: another seed gives other streets.

    Raises:
        ValueError: a folder is given, a size below 32, no image, or a negative seed.
    """
    checked_split(split)
    if root is not None:
        raise ValueError(f"streets is generated and has no folder; leave out root ({root})")
    if height < 32 or width < 32:
        raise ValueError(f"streets of {height} x {width} pixels; expected at least 32 x 32")
    if num_images is not None and num_images < 1:
        raise ValueError(f"num_images {num_images}; expected at least 1")
    if seed < 0:
        raise ValueError(f"seed {seed}; expected 0 or more")
    return Dataset(
        name="streets",
        split=split,
        class_names=CLASS_NAMES,
        palette=PALETTE,
        image_names=MadeNames(partial(_name, split), num_images or _NUM_IMAGES[split]),
        read=Generator(seed, split, height, width),
        from_files=False,
    )


@dataclass(frozen=True)
class Generator:
    """Draws sample `index`."""

    seed: int
    split: str
    height: int
    width: int

    def __call__(self, index: int) -> Sample:
        canvas = Canvas(self.height, self.width)
        # + 1: a seed sequence ignores trailing zeros
        dice = Dice(self.seed, SPLITS.index(self.split) + 1, index + 1)
        paint(canvas, dice)
        image, label = develop(canvas, index * 37 & 255)
        return Sample(image, label, _name(self.split, index))


def _name(split: str, index: int) -> str:
    return f"{split}-{index:06d}"
