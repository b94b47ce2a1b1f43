"""PASCAL VOC 2012 segmentation: 20 classes and background; 1464 images for training, 1449 for validation, 10582 augmented.

Everingham et al.: *The PASCAL Visual Object Classes Challenge*, IJCV 2010. The augmented list takes the masks of Hariharan et
al.: *Semantic Contours from Inverse Detectors*, ICCV 2011. Layout, below ROOT, ROOT/VOC2012 or ROOT/VOCdevkit/VOC2012:

    JPEGImages/NAME.jpg
    SegmentationClass/NAME.png                     palette masks: indices 0 to 20, border 255
    ImageSets/Segmentation/{train,val,test}.txt    one name per line
    SegmentationClassAug/NAME.png                  optional: more masks
    ImageSets/Segmentation/trainaug.txt            optional: their training list

If an image has both masks, the one in SegmentationClass is used, because it marks the border. Class 0, the background, counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segattn import records
from segattn.data._dataset import Dataset, checked_root, checked_split
from segattn.data.files import matlab
from segattn.data.files.pairs import Pair, find_pairs, paired_dataset, read_list
from segattn.data.files.palette import flat_voc_palette, voc_palette
from segattn.data.files.pixels import reading
from segattn.data.tools.recipe import Archive, Recipe

CLASS_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
LISTS = "ImageSets/Segmentation"
_FOLDERS = ("VOCdevkit/VOC2012", "VOC2012", "")


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    augmented: bool | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load `train`, `val` or `test` of VOC 2012; `test` has no labels.

    Args:
        augmented: train on trainaug.txt and SegmentationClassAug; None: if they exist.
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095), or white alone.

    Raises:
        ValueError: no root, an unknown split, or files or lists that are missing.
    """
    checked_split(split)
    base = folder(checked_root("voc", root, "data/VOCdevkit"))
    more = base / "SegmentationClassAug"
    whole = more.is_dir() and (base / LISTS / "trainaug.txt").is_file()
    if augmented and not whole:
        raise ValueError(
            f"{base}: augmented=True needs {more} and {LISTS}/trainaug.txt; see `segattn data prepare voc`"
        )
    takes_more = split == "train" and whole and augmented is not False
    names = read_list(base / LISTS / ("trainaug.txt" if takes_more else f"{split}.txt"))
    pairs = _pairs(base, sorted(set(names)), [more] if takes_more else [], labelled=split != "test")
    return paired_dataset(
        "voc",
        split,
        pairs,
        class_names=CLASS_NAMES,
        palette=voc_palette(len(CLASS_NAMES)),
        notice=f"voc: training uses trainaug.txt, {len(names)} images" if takes_more else "",
        how=reading(exif, value_range),
    )


def folder(root: Path) -> Path:
    """The folder VOC2012 below or at `root`."""
    for inner in _FOLDERS:
        if (root / inner / "JPEGImages").is_dir():
            return root / inner
    raise ValueError(f"{root}: no JPEGImages here or in VOC2012; `segattn data prepare voc` says which files go where")


def _pairs(base: Path, names: list[str], more: list[Path], *, labelled: bool) -> list[Pair]:
    images = base / "JPEGImages"
    if not labelled:
        return find_pairs(images, None, names, image_endings=[".jpg"])
    own = find_pairs(
        images, base / "SegmentationClass", _with_mask(base / "SegmentationClass", names) if more else names
    )
    known = {pair.name for pair in own}
    others = [name for name in names if name not in known]
    added = [pair for extra in more if others for pair in find_pairs(images, extra, others)]
    return sorted([*own, *added], key=lambda pair: pair.name)


def _with_mask(masks: Path, names: list[str]) -> list[str]:
    present = {path.stem for path in masks.glob("[!.]*.png")}
    return [name for name in names if name in present]


def convert(root: Path, on_progress: Callable[[int, int], object]) -> str:
    """Write SegmentationClassAug and trainaug.txt from the extracted benchmark of Hariharan et al., if they are missing.

    Returns:
        What was done, in words.
    """
    base = folder(root)
    source = next((place for place in (root / "benchmark_RELEASE", base.parent / "VOCaug") if place.is_dir()), None)
    listed = base / LISTS / "trainaug.txt"
    if source is None or listed.is_file():
        return ""
    masks, out = source / "dataset" / "cls", base / "SegmentationClassAug"
    out.mkdir(exist_ok=True)
    files = sorted(masks.glob("[!.]*.mat"))
    for done, file in enumerate(files):
        target = out / f"{file.stem}.png"
        if not target.is_file():
            mask = matlab.read(file)["GTcls"]["Segmentation"]
            picture = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
            picture.putpalette(flat_voc_palette())
            with records.writing(target, synced=False) as temporary:
                picture.save(temporary)
        on_progress(done + 1, len(files))
    held_out = set(read_list(base / LISTS / "val.txt"))
    names = {file.stem for file in files} | set(read_list(base / LISTS / "train.txt"))
    text = "".join(f"{name}\n" for name in sorted(names - held_out))
    records.write_bytes(text.encode(), listed)
    return f"{len(files)} masks written to {out}, {len(names - held_out)} names to {listed}"


RECIPE = Recipe(
    archives=(
        Archive(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            size="1.9 GB",
            md5="6cd6e144f989b92b3379bac3b3de84fd",
        ),
        Archive(
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
            size="1.4 GB",
            md5="82b4d87ceb2ed10f6038a1cba92111cb",
        ),
    ),
    manual="The second archive holds the masks of the augmented list; they are converted to SegmentationClassAug.\n"
    "Images of the test split need an account: http://host.robots.ox.ac.uk:8080/.",
    convert=convert,
    expected=tuple(f"VOCdevkit/VOC2012/{part}" for part in ("JPEGImages", "SegmentationClass", f"{LISTS}/train.txt")),
)
