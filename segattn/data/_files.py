"""Images and index masks on disk: found, paired and read, with errors that name the file and the value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segattn.data._dataset import IGNORE, Sample

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif")
_SHOWN = 3  # files named in one message


@dataclass(frozen=True)
class Pair:
    """Where one sample lies."""

    name: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class PairReader:
    """Reads sample `index` of a list of pairs. `mapping` says which class a stored label value becomes."""

    pairs: Sequence[Pair]
    num_classes: int
    mapping: dict[int, int] | None = None

    def __call__(self, index: int) -> Sample:
        pair = self.pairs[index]
        image = read_image(pair.image)
        if pair.label is None:
            return Sample(image, None, pair.name)
        label = read_label(pair.label, self.num_classes, self.mapping)
        if image.shape[:2] != label.shape:
            raise ValueError(
                f"{pair.image} is {_size(image)} (width x height) but its label {pair.label} is {_size(label)}; "
                "they must be of one size"
            )
        return Sample(image, label, pair.name)


def find_pairs(images: Path, labels: Path | None, only: Sequence[str] | None = None) -> list[Pair]:
    """Pair the images below a folder with the masks below another by relative path without suffix, sorted by name.

    Args:
        images: folder of images, searched with its subfolders.
        labels: folder of masks with the same names, or None for images without labels.
        only: names to take, all if None.

    Raises:
        ValueError: a folder is missing or empty, two files share a name, a file has no partner, a name has no file.
    """
    found = _by_name(images, IMAGE_SUFFIXES, "image")
    masks = _by_name(labels, MASK_SUFFIXES, "mask") if labels is not None else {}
    if only is not None:
        absent = [name for name in only if name not in found]
        if absent:
            raise ValueError(f"{images}: no image named {_some(absent)}, which the list of the split names")
        found = {name: found[name] for name in only}
        masks = {name: path for name, path in masks.items() if name in found}
    if labels is not None:
        without_label = [str(path) for name, path in found.items() if name not in masks]
        if without_label:
            raise ValueError(f"{labels}: no mask for {_some(without_label)}; a mask bears the name of its image")
        without_image = [str(path) for name, path in masks.items() if name not in found]
        if without_image:
            raise ValueError(f"{images}: no image for {_some(without_image)}; an image bears the name of its mask")
    return [Pair(name, path, masks.get(name)) for name, path in sorted(found.items())]


def _by_name(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of {what}s")
    found: dict[str, Path] = {}
    for parent, _, files in os.walk(folder):
        for file in files:
            path = Path(parent, file)
            if file.startswith(".") or path.suffix.lower() not in suffixes:
                continue
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise ValueError(f"{path} and {found[name]} share one name; keep one of them")
            found[name] = path
    if not found:
        raise ValueError(f"{folder}: no {what} in this folder; looked for {', '.join(suffixes)}")
    return found


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3), upright as its EXIF orientation says; 16-bit grey is scaled to 8 bits.

    Raises:
        ValueError: unreadable or truncated, absurdly large, with transparent pixels, or of floating-point values.
    """
    image = _decoded(path, "image")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"{path}: pixels of mode {image.mode} have no known white; save it as RGB with 8 bits")
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
        if int(alpha.min()) < 255:
            raise ValueError(f"{path}: has transparent pixels (alpha {int(alpha.min())}); flatten it to RGB")
    return np.array(image.convert("RGB"))


def read_label(path: Path, num_classes: int, mapping: dict[int, int] | None = None) -> np.ndarray:
    """Read an index mask as uint8 (H, W). A palette mask gives its indices, not its colours.

    Raises:
        ValueError: unreadable, of several channels, or a value that is neither a class nor 255; file, value and place
            are named.
    """
    mask = _decoded(path, "mask")
    if mask.mode not in ("1", "L", "P", "I") and not mask.mode.startswith("I;16"):
        raise ValueError(
            f"{path}: a mask of mode {mask.mode} ({len(mask.getbands())} channels); expected one channel of class indices"
        )
    stored = np.asarray(mask)
    wide = stored.dtype not in (np.uint8, np.bool_)
    if wide:
        _refuse(path, stored, (stored < 0) | (stored > IGNORE), num_classes, mapping)
    values = stored.astype(np.uint8)
    table = np.full(256, IGNORE, np.uint8)
    table[:num_classes] = np.arange(num_classes)
    for value, index in (mapping or {}).items():
        table[value] = index
    counts = np.bincount(values.ravel(), minlength=256)
    bad = [value for value in np.flatnonzero(counts) if not _allowed(int(value), num_classes, mapping)]
    if bad:
        _refuse(path, values, np.isin(values, bad), num_classes, mapping)
    return table[values] if mapping else values


def _allowed(value: int, num_classes: int, mapping: dict[int, int] | None) -> bool:
    return value < num_classes or value == IGNORE or value in (mapping or {})


def _refuse(path: Path, values: np.ndarray, bad: np.ndarray, num_classes: int, mapping: dict[int, int] | None) -> None:
    if not bad.any():
        return
    row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
    allowed = f"0 to {num_classes - 1}" + "".join(f", {value}" for value in mapping or {}) + f" and {IGNORE} (ignored)"
    raise ValueError(
        f"{path}: label value {int(values[row, column])} at row {row}, column {column} "
        f"({int(bad.sum())} such pixels); allowed are {allowed}"
    )


def _decoded(path: Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format
            return upright
    except FileNotFoundError:
        raise ValueError(f"{path}: no such {what}") from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
        raise ValueError(f"{path}: unreadable {what} ({error})") from error


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
