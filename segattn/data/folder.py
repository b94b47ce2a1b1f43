"""Your own data: a folder of images, a folder of index masks with the same names, and a list of classes.

    ROOT/classes.txt               one class name per line, in the order of their indices; or classes.json / .yaml / .yml:
                                   a list of names, a list of {name, colour}, or a mapping of name to colour [r, g, b]
    ROOT/images/train/a.jpg        the splits as subfolders of both,
    ROOT/masks/train/a.png
or
    ROOT/train/images/a.jpg        as folders that hold both,
    ROOT/train/masks/a.png
or
    ROOT/images/a.jpg              or as lists: train.txt has one image name per line, without suffix
    ROOT/masks/a.png
    ROOT/train.txt

Masks have one channel (palette masks give their indices): 0 is the first class, 255 is ignored. `test` needs no masks. Masks that
store another value for a class are read with the option `values`: {255: thing} for masks of 0 and 255. Images of other bands than
RGB, such as TIFF files of four bands, are read with the option `bands`.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segattn.data._dataset import Dataset, checked_root, checked_split
from segattn.data.files.bands import SUFFIXES as BAND_SUFFIXES
from segattn.data.files.pairs import IMAGE_SUFFIXES, Pair, find_pairs, paired_dataset
from segattn.data.files.pixels import reading
from segattn.data.files.plain import read_plain, read_text

_CLASS_FILES = ("classes.txt", "classes.json", "classes.yaml", "classes.yml")
_Colour = tuple[int, int, int]


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    images: str = "images",
    masks: str = "masks",
    classes: str | os.PathLike[str] | None = None,
    values: Mapping[int | str, str] | None = None,
    exif: str = "turn",
    value_range: Any = None,
    bands: Any = None,
) -> Dataset:
    """Load a split of the data below `root`.

    Args:
        images: name of the folder of images.
        masks: name of the folder of masks.
        classes: the list of classes; `classes.txt`, `.json`, `.yaml` or `.yml` in `root` if None.
        values: the name of the class of a stored mask value, from 0 to 255; other values are class indices as without it.
        exif: turn: images are upright, as their EXIF orientation says; ignore: as stored.
        value_range: values of black and white in images of more than 8 bits, such as (0, 4095) for 12 bits, or white alone.
        bands: images are not RGB: how many bands each file has, such as 4, or the numbers of those to use, from 1, such as
            [4, 3, 2, 8]; TIFF and .npy files are then read as they are (docs/bands.md).

    Raises:
        ValueError: no root, no such bands, no such split, no class list, files that are missing or unpaired, or `values` that
            are no mask values or name no class.
    """
    checked_split(split)
    base = checked_root("folder", root, "data/mine", what="the folder of your data")
    if not base.is_dir():
        raise ValueError(f"{base}: no such folder")
    names, palette = read_classes(_class_file(base, classes))
    how = reading(exif, value_range, bands)
    pairs = _pairs(base, split, images, masks, IMAGE_SUFFIXES if bands is None else IMAGE_SUFFIXES + BAND_SUFFIXES)
    mapping = None if values is None else _mapping(values, names)
    return paired_dataset("folder", split, pairs, class_names=names, palette=palette, mapping=mapping, how=how)


def _mapping(values: Mapping[int | str, str], names: Sequence[str]) -> dict[int, int]:
    """The class of each stored value that is allowed."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"values of data set folder should be {{VALUE: CLASS}}, such as {{255: {names[-1]}}}, not {values!r:.80}"
        )
    mapping = {index: index for index in range(len(names))}
    for value, name in values.items():
        if not str(value).isdecimal() or not 0 <= int(value) <= 255:
            raise ValueError(f"values of data set folder: {value!r:.20} is no value of an 8-bit mask; give 0 to 255")
        if name not in names:
            raise ValueError(
                f"values of data set folder: {value} is {name!r:.80}, which is none of its classes: {', '.join(names)}"
            )
        mapping[int(value)] = names.index(name)
    return mapping


def _pairs(base: Path, split: str, images: str, masks: str, endings: Sequence[str]) -> list[Pair]:
    for image_folder, mask_folder in (
        (base / images / split, base / masks / split),
        (base / split / images, base / split / masks),
    ):
        if image_folder.is_dir():
            return find_pairs(image_folder, _masks(mask_folder, split), image_endings=endings)
    listed = base / f"{split}.txt"
    if listed.is_file():
        names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
        if not names:
            raise ValueError(f"{listed}: names no image")
        return find_pairs(base / images, _masks(base / masks, split), names, image_endings=endings)
    raise ValueError(
        f"{base}: no split {split!r}; expected {images}/{split}/ and {masks}/{split}/, or {split}/{images}/ and "
        f"{split}/{masks}/, or {split}.txt beside {images}/ and {masks}/"
    )


def _masks(folder: Path, split: str) -> Path | None:
    return None if split == "test" and not folder.exists() else folder


def _class_file(base: Path, path: str | os.PathLike[str] | None) -> Path:
    if path is not None:
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such class list")
        return Path(path)
    for name in _CLASS_FILES:
        if (base / name).is_file():
            return base / name
    raise ValueError(f"{base}: no class list; write {_CLASS_FILES[0]} there, one class name per line")


def read_classes(path: Path) -> tuple[list[str], list[_Colour]]:
    """Read class names and colours; classes without a colour get one from the colour wheel.

    Raises:
        ValueError: not a list of names, a name twice, or a colour that is not three numbers from 0 to 255.
    """
    entries = _entries(path)
    names = [str(name).strip() for name, _ in entries]
    if not names:
        raise ValueError(f"{path}: names no class")
    for name in names:
        if not name or names.count(name) > 1:
            raise ValueError(f"{path}: class name {name!r} is {'given twice' if name else 'empty'}")
    colours = [
        _default_colour(index) if colour is None else _colour(path, names[index], colour)
        for index, (_, colour) in enumerate(entries)
    ]
    return names, colours


def _entries(path: Path) -> list[tuple[Any, Any]]:
    if path.suffix == ".txt":
        return [(line, None) for line in read_text(path).splitlines() if line.strip()]
    content = read_plain(path, path.suffix[1:])
    if isinstance(content, dict):
        return list(content.items())
    if not isinstance(content, list):
        raise ValueError(f"{path}: expected a list of names, of {{name, colour}}, or a mapping of name to colour")
    entries = []
    for entry in content:
        if isinstance(entry, dict):
            if "name" not in entry or set(entry) - {"name", "colour", "color"}:
                raise ValueError(f"{path}: entry {entry!r:.80}; expected name and colour")
            entries.append((entry["name"], entry.get("colour", entry.get("color"))))
        else:
            entries.append((entry, None))
    return entries


def _colour(path: Path, name: str, colour: object) -> _Colour:
    if (
        not isinstance(colour, list | tuple)
        or len(colour) != 3
        or not all(type(c) is int and 0 <= c <= 255 for c in colour)
    ):
        raise ValueError(f"{path}: colour {colour!r:.80} of class {name!r}; expected [red, green, blue] from 0 to 255")
    return colour[0], colour[1], colour[2]


def _default_colour(index: int) -> _Colour:
    turn = index * 0.618034 % 1  # the golden ratio keeps the hues of consecutive classes apart
    red, green, blue = colorsys.hsv_to_rgb(turn, 0.55 + 0.35 * (index % 2), 0.95 - 0.25 * (index % 3 == 2))
    return round(255 * red), round(255 * green), round(255 * blue)
