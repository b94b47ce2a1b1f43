"""Finds, pairs and reads images and index masks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segattn.data._dataset import Dataset, Sample
from segattn.data.files import bands
from segattn.data.files.decode import ImageFile, read_image, read_label
from segattn.data.files.masks import MaskReading
from segattn.data.files.pixels import AS_SHOWN, Reading, Remarks
from segattn.data.files.plain import read_text
from segattn.data.files.samples import LazySample, fitted

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
NAMED_SUFFIXES = (*IMAGE_SUFFIXES, *bands.SUFFIXES)
"""Of images that a pattern, suffix or list names."""
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


def fault(message: str) -> None:
    """Raise ValueError, or collect the message where `collected_faults` says so."""
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
class PairReader:
    """Reads sample `index` of a list of pairs. `mapping` gives the class of each stored label value (see `read_label`)."""

    pairs: Sequence[Pair]
    num_classes: int
    mapping: Mapping[int, int] | None = None
    how: Reading = AS_SHOWN
    remarks: Remarks = field(default_factory=Remarks, compare=False)
    """Of the images that this reader has read."""
    masks: MaskReading | None = None
    """How masks are read, instead of `mapping`."""
    resize: str | None = None
    """masks: a mask of another size is brought to that of its image; images: an image to that of its mask; empty: neither, though
    the data set has an option for it."""
    token: tuple[int, ...] = ()
    """Numbers that change with what marks mean, where a list of classes says it; part of `Dataset.stored`."""

    def __call__(self, index: int) -> Sample:
        lazy = self.lazily(index)
        return lazy if isinstance(lazy, Sample) else Sample(lazy.file.pixels(), lazy.label, lazy.name)

    def notes(self) -> list[tuple[str, str]]:
        """Kind and sentence of each remark on the files that were read."""
        return [*self.remarks.lines(self.how), *(self.masks.lines() if self.masks is not None else ())]

    def files(self, index: int) -> list[Path]:
        """The files of the image, and the mask, if there is one."""
        pair = self.pairs[index]
        return [*self.how.paths(pair.image), *([] if pair.label is None else [pair.label])]

    def label(self, index: int) -> np.ndarray | None:
        """The mask alone; its image is not opened."""
        path = self.pairs[index].label
        if path is None or self.masks is None:
            return None if path is None else read_label(path, self.num_classes, self.mapping, self.how)
        return self.masks.label(path, self.how)

    def turn(self, file: ImageFile) -> int:
        """The EXIF orientation by which an image was turned, 1 if it was not."""
        return file.orientation if self.how.exif == "turn" else 1

    def lazily(self, index: int) -> LazySample | Sample:
        pair = self.pairs[index]
        file = ImageFile(pair.image, self.how)
        self.remarks.note(str(pair.image), file.orientation, file.largest, file.stored)
        if pair.label is None:
            return LazySample(pair.name, None, file)
        label = self.label(index)
        assert label is not None
        return fitted(pair.name, file, label, self.resize, pair.label, self.turn(file))


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
    paths = by_name(images, image_endings, "image")
    masks = by_name(labels, label_endings, "mask") if labels is not None else None
    return paired(paths, masks, images, labels, only)


def paired(
    paths: dict[str, Path],
    masks: dict[str, Path] | None,
    images: Path | str,
    labels: Path | str | None,
    only: Sequence[str] | None = None,
) -> list[Pair]:
    """Pair images with masks of the same name; `images` and `labels` say in messages where they are.

    Raises:
        ValueError: a file has no partner, or a name of `only` no file.
    """
    masks, labelled = masks or {}, masks is not None
    if only is not None:
        absent = [name for name in only if name not in paths]
        if absent:
            fault(
                f"{images}: no image named {_some(absent)}; add the files, or remove the names from the list of the split"
            )
        paths = {name: paths[name] for name in only if name in paths}
        masks = {name: path for name, path in masks.items() if name in paths}
    if labelled:
        if paths and masks and not paths.keys() & masks.keys():
            raise ValueError(_no_pair(paths, masks, images, labels))
        counts = f" ({len(paths)} images, {len(masks)} masks)"
        without_label = [str(path) for name, path in paths.items() if name not in masks]
        if without_label:
            fault(f"{labels}: no mask for {_some(without_label)}; a mask must have the name of its image{counts}")
        without_image = [str(path) for name, path in masks.items() if name not in paths]
        if without_image:
            fault(f"{images}: no image for {_some(without_image)}; an image must have the name of its mask{counts}")
        paths = {name: path for name, path in paths.items() if name in masks}
    return [Pair(name, path, masks.get(name)) for name, path in sorted(paths.items())]


def _no_pair(paths: dict[str, Path], masks: dict[str, Path], images: Path | str, labels: Path | str | None) -> str:
    """What to say where no image has the name of a mask: how many there are, the first names of each, and what may help."""
    first = min(paths)
    added = {name[len(first) :] for name in masks if name.startswith(first) and not name[len(first) :][:1].isalnum()}
    ending = f"{min(added)}{next(iter(masks.values())).suffix}" if added else "_mask.png"
    return (
        f"{images} has {len(paths)} images named {_some(sorted(paths))}, {labels} has {len(masks)} masks named "
        f"{_some(sorted(masks))}, and none of the names are the same; rename the masks, or give patterns, such as the data "
        f"option masks='masks/{{split}}/*{ending}'"
    )


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
    masks: MaskReading | None = None,
    resize: str | None = None,
    token: tuple[int, ...] = (),
) -> Dataset:
    """The split of a data set of pairs of files; `notice` as in `Dataset`, the others as in `PairReader`."""
    return Dataset(
        name=name,
        split=split,
        class_names=class_names,
        palette=palette,
        image_names=[pair.name for pair in pairs],
        read=PairReader(pairs, len(class_names), mapping, how, masks=masks, resize=resize, token=token),
        from_files=True,
        notice=notice,
    )


def by_name(folder: Path, endings: Sequence[str] | None, what: str) -> dict[str, Path]:
    """Files below a folder by relative path without ending; None for the endings of images.

    Raises:
        ValueError: no such folder, no such file in it, or two of one name.
    """
    endings = IMAGE_SUFFIXES if endings is None else endings
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of {what}s")
    paths: dict[str, Path] = {}
    for path in files_below(folder):
        ending = next((ending for ending in endings if path.name.lower().endswith(ending.lower())), None)
        if path.name.startswith(".") or ending is None:
            continue
        name = path.relative_to(folder).as_posix()[: -len(ending)]
        if name in paths:
            fault(f"{path} and {paths[name]} have the same name; keep one of them")
            continue
        paths[name] = path
    if not paths:
        raise ValueError(f"{folder}: no {what} in this folder; expected files that end in {', '.join(endings)}")
    return paths


def files_below(folder: Path) -> Iterator[Path]:
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
    return any(path.name.endswith(ending) for path in files_below(folder))


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


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
