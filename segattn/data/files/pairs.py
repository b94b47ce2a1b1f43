"""Finds, pairs and reads images and index masks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from segattn.data._dataset import Dataset, Sample
from segattn.data.files.decode import ImageFile, read_image, read_label
from segattn.data.files.pixels import AS_SHOWN, Reading, Remarks, turned_by_exif
from segattn.data.files.plain import read_text

__all__ = [
    "LazySample",
    "Pair",
    "PairReader",
    "collected_faults",
    "find_pairs",
    "has_files",
    "paired_dataset",
    "read_image",
    "read_label",
    "read_list",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm", ".gif")
_SHOWN = 3  # files named in one message
_collecting: ContextVar[list[str] | None] = ContextVar("_collecting", default=None)


@contextmanager
def collected_faults() -> Iterator[list[str]]:
    """Within this context `find_pairs` appends each fault to the list and goes on with the complete pairs."""
    faults: list[str] = []
    token = _collecting.set(faults)
    try:
        yield faults
    finally:
        _collecting.reset(token)


def _fault(message: str) -> None:
    faults = _collecting.get()
    if faults is None:
        raise ValueError(message)
    faults.append(message)


@dataclass(frozen=True)
class Pair:
    """The files of one sample."""

    name: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class LazySample:
    """A sample with its label read and its image still encoded."""

    name: str
    label: np.ndarray | None
    file: ImageFile

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.file.size

    def top_left(self, rows: int, columns: int) -> np.ndarray | Image.Image:
        """At least the first rows and columns of the image, RGB."""
        return self.file.top_left(rows, columns)


@dataclass(frozen=True)
class PairReader:
    """Reads sample `index` of a list of pairs. `mapping` gives the class of each stored label value (see `read_label`)."""

    pairs: Sequence[Pair]
    num_classes: int
    mapping: Mapping[int, int] | None = None
    how: Reading = AS_SHOWN
    remarks: Remarks = field(default_factory=Remarks, compare=False)
    """Of the images that this reader has read."""

    def __call__(self, index: int) -> Sample:
        lazy = self.lazily(index)
        return Sample(lazy.file.pixels(), lazy.label, lazy.name)

    def files(self, index: int) -> list[Path]:
        """The image and the mask, if there is one."""
        pair = self.pairs[index]
        return [pair.image] if pair.label is None else [pair.image, pair.label]

    def label(self, index: int) -> np.ndarray | None:
        """The mask alone; its image is not opened."""
        path = self.pairs[index].label
        return None if path is None else read_label(path, self.num_classes, self.mapping, self.how)

    def turn(self, file: ImageFile) -> int:
        """The EXIF orientation by which an image was turned, 1 if it was not."""
        return file.orientation if self.how.exif == "turn" else 1

    def lazily(self, index: int) -> LazySample:
        pair = self.pairs[index]
        file = ImageFile(pair.image, self.how)
        self.remarks.note(str(pair.image), file.orientation, file.largest, file.stored)
        if pair.label is None:
            return LazySample(pair.name, None, file)
        label = self.label(index)
        assert label is not None
        if file.size != label.shape:
            raise ValueError(
                f"{pair.image} is {_size(file.size)} (width x height) but its label {pair.label} is {_size(label.shape)}; "
                f"they must have the same size{turned_by_exif(self.turn(file), (file.size, label.shape))}"
            )
        return LazySample(pair.name, label, file)


def find_pairs(
    images: Path,
    labels: Path | None,
    only: Sequence[str] | None = None,
    *,
    image_endings: Sequence[str] = IMAGE_SUFFIXES,
    label_endings: Sequence[str] = MASK_SUFFIXES,
) -> list[Pair]:
    """Pair the images below a folder with the masks below another by relative path without ending, sorted by name.

    Args:
        images: folder of images, searched with its subfolders, links to folders included; what is hidden is skipped.
        labels: folder of masks with the same names, or None for images without labels.
        only: names to use, all if None.
        image_endings: endings of image files; other files are skipped. If several match, the first is removed to get the name.
        label_endings: the same for masks.

    Raises:
        ValueError: a folder is missing or empty, two files share a name, a file has no partner, a name has no file.
    """
    paths = _by_name(images, image_endings, "image")
    masks = _by_name(labels, label_endings, "mask") if labels is not None else {}
    if only is not None:
        absent = [name for name in only if name not in paths]
        if absent:
            _fault(
                f"{images}: no image named {_some(absent)}; add the files, or remove the names from the list of the split"
            )
        paths = {name: paths[name] for name in only if name in paths}
        masks = {name: path for name, path in masks.items() if name in paths}
    if labels is not None:
        without_label = [str(path) for name, path in paths.items() if name not in masks]
        if without_label:
            _fault(f"{labels}: no mask for {_some(without_label)}; a mask must have the name of its image")
        without_image = [str(path) for name, path in masks.items() if name not in paths]
        if without_image:
            _fault(f"{images}: no image for {_some(without_image)}; an image must have the name of its mask")
        paths = {name: path for name, path in paths.items() if name in masks}
    return [Pair(name, path, masks.get(name)) for name, path in sorted(paths.items())]


def paired_dataset(
    name: str,
    split: str,
    pairs: Sequence[Pair],
    *,
    class_names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    mapping: Mapping[int, int] | None = None,
    notice: str = "",
    how: Reading = AS_SHOWN,
) -> Dataset:
    """The split of a data set of pairs of files; `mapping` and `how` as in `PairReader`, `notice` as in `Dataset`."""
    return Dataset(
        name=name,
        split=split,
        class_names=class_names,
        palette=palette,
        image_names=[pair.name for pair in pairs],
        read=PairReader(pairs, len(class_names), mapping, how),
        from_files=True,
        notice=notice,
    )


def _by_name(folder: Path, endings: Sequence[str], what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of {what}s")
    paths: dict[str, Path] = {}
    for path in _files(folder):
        ending = next((ending for ending in endings if path.name.lower().endswith(ending.lower())), None)
        if path.name.startswith(".") or ending is None:
            continue
        name = path.relative_to(folder).as_posix()[: -len(ending)]
        if name in paths:
            _fault(f"{path} and {paths[name]} have the same name; keep one of them")
            continue
        paths[name] = path
    if not paths:
        raise ValueError(f"{folder}: no {what} in this folder; expected files that end in {', '.join(endings)}")
    return paths


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder, none of hidden folders; links to folders are followed, but each folder is visited once."""
    entered = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, followlinks=True):
        for inner in sorted(folders):
            real = os.path.realpath(os.path.join(parent, inner))
            if real in entered or inner.startswith("."):  # such as .ipynb_checkpoints
                folders.remove(inner)
            entered.add(real)
        folders.sort()
        for file in sorted(files):
            yield Path(parent, file)


def has_files(folder: Path, ending: str) -> bool:
    """Whether the name of any file below the folder has this ending."""
    return any(path.name.endswith(ending) for path in _files(folder))


def read_list(path: Path) -> list[str]:
    """Names in the list of a split, one per line.

    Raises:
        ValueError: no such list, not a text file, or an empty one.
    """
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such list of images") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable as a list of names ({error.strerror})") from None
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{path}: names no image")
    return names


def _size(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
