"""Your own data: images, masks, and a list of classes. `segattn data init FOLDER` looks at a folder and writes what is missing.

    ROOT/classes.txt               one class name per line, in the order of their indices; or classes.json / .yaml / .yml:
                                   a list of names, a list of {name, colour, value}, or a mapping of name to colour [r, g, b]
    ROOT/images/train/a.jpg        the splits as subfolders of both,
    ROOT/masks/train/a.png
or
    ROOT/train/images/a.jpg        as folders that hold both,
    ROOT/train/masks/a.png
or
    ROOT/images/a.jpg              or as lists: train.txt has one image per line, by name or path, or an image and its mask
    ROOT/masks/a.png
    ROOT/train.txt
or
    ROOT/images/a.jpg              or no split: one is made, with `val_fraction` and `split_seed`
    ROOT/masks/a.png

Other layouts are read with patterns or suffixes (`images`, `masks`). Masks of one channel hold class indices (palette masks too),
or the values that the class list or the option `values` names: {255: thing} for masks of 0 and 255. Masks of red, green and blue
hold the colours of the class list, or indices if they are grey. 255 is ignored unless it is a class's value. `test` needs none.
Images of other bands than RGB, such as TIFF files of four bands or a file for each band, are read with the option `bands`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from segattn.data._dataset import SPLITS, Dataset, checked_root, checked_split
from segattn.data.files.bands import SUFFIXES as BAND_SUFFIXES
from segattn.data.files.class_lists import ClassList, class_list
from segattn.data.files.class_lists import read_classes as read_classes
from segattn.data.files.mask_options import mask_reading
from segattn.data.files.pairs import IMAGE_SUFFIXES, Pair, paired_dataset
from segattn.data.files.pixels import reading
from segattn.data.files.samples import resizing
from segattn.data.files.source import Source
from segattn.records.pictures import open_picture


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    images: str = "images",
    masks: str = "masks",
    lists: str | None = None,
    splits: Mapping[str, str] | None = None,
    val_fraction: float | None = None,
    split_seed: int = 0,
    classes: Any = None,
    values: Mapping[int | str, str] | None = None,
    others: str | None = None,
    ignore: Any = None,
    masks_as: str = "auto",
    resize_masks: str | None = None,
    resize_images: str | None = None,
    exif: str = "turn",
    value_range: Any = None,
    bands: Any = None,
    resize_bands: str | None = None,
) -> Dataset:
    """Load a split of the data below `root`.

    Args:
        images: the images: name of their folder, a pattern such as `rgb/{split}/**/*.jpg`, or a suffix such as
            `_leftImg8bit.png` (`segattn.data.files.patterns`).
        masks: the same for masks.
        lists: the list of each split, such as `lists/{split}.txt`; `{split}.txt` in `root` if None and there is one.
        splits: folder or list of a split that is named otherwise, such as {val: validation}.
        val_fraction: share of the images that are for validation where there is no split of that name, 0.2 if None. If there is a
            split `train`, they are taken from it, and the option must be given.
        split_seed: another seed gives another split.
        classes: the list of classes: a file, or what one holds, such as {road: [128, 64, 128], sky: [70, 130, 180]};
            `classes.txt`, `.json`, `.yaml` or `.yml` in `root` if None.
        values: the name of the class of a stored mask value, 0 to 65535.
        others: meaning of mask values that neither `values` nor the class list names. index: the class of that index; error;
            ignore: ignored, and counted in a notice. None: index, but error where the class list has values.
        ignore: a mask value, or a list of values and colours [r, g, b], that are ignored.
        masks_as: values or colours: all masks are read that way; auto: as each mask's channels say.
        resize_masks: nearest: masks of another size are brought to their image's.
        resize_images: bilinear: images are brought to the size of their masks.
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095) for 12 bits, or white alone.
        bands: images are not RGB: how many bands each file has, such as 4, or the numbers of those to use, from 1, such as
            [4, 3, 2, 8]; TIFF and .npy files are then read as they are. Bands in files of their own: the ending of the files of
            each band, or a pattern, such as [_B04.tif, _B08.tif] or {red: _B04.tif, nir: _B08.tif} (docs/bands.md).
        resize_bands: bilinear or nearest: bands in files of their own may have different resolutions; the coarser ones are
            brought to the size of the largest.

    Raises:
        ValueError: no root, no such bands or split, no class list, files that are missing or unpaired, or an option that means
            nothing.
    """
    checked_split(split)
    base = checked_root("folder", root, "data/mine", what="the folder of your data")
    if not base.is_dir():
        raise ValueError(f"{base}: no such folder")
    listed = class_list(base, classes, what="folder")
    how = reading(exif, value_range, bands, resize_bands)
    endings = IMAGE_SUFFIXES if bands is None else IMAGE_SUFFIXES + BAND_SUFFIXES
    source = Source(base, images, masks, lists, _checked_splits(splits), val_fraction, split_seed, endings, how.files)
    pairs, notice = source.pairs(split)
    return paired_dataset(
        "folder",
        split,
        pairs,
        class_names=listed.names,
        palette=listed.palette,
        masks=mask_reading(listed, values=values, others=others, ignore=ignore, masks_as=masks_as, what="folder"),
        resize=resizing("folder", resize_masks, resize_images),
        token=_token(listed, pairs, masks_as),
        how=how,
        notice=notice,
    )


def _checked_splits(splits: object) -> dict[str, str]:
    if splits is None:
        return {}
    if not isinstance(splits, Mapping) or not set(splits) <= set(SPLITS):
        raise ValueError(
            f"splits of data set folder should be {{SPLIT: FOLDER}} of {', '.join(SPLITS)}, such as {{val: validation}}, not "
            f"{splits!r:.80}"
        )
    return {split: str(folder) for split, folder in splits.items()}


def _token(classes: ClassList, pairs: list[Pair], masks_as: str) -> tuple[int, ...]:
    """A number that changes with the marks in the class list, where masks are read by them."""
    matters = bool(classes.values or classes.ignored) or masks_as == "colours"
    first = next((pair.label for pair in pairs if pair.label is not None), None)
    if not matters and classes.colours and first is not None:
        try:
            with open_picture(first) as picture:
                matters = picture.mode not in ("1", "L", "P", "I") and not picture.mode.startswith("I;16")
        except Exception:  # a damaged mask is reported when it is read
            matters = False
    if not matters:
        return ()
    marks = repr((sorted(classes.values.items()), sorted(classes.colours.items()), classes.ignored))
    return (int.from_bytes(hashlib.sha256(marks.encode()).digest()[:6], "big"),)
