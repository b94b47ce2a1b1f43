"""Reads the output of `segattn data pack`: any data set, decoded once and mapped into memory.

    ROOT/{train,val,test}/index.json    names, sizes and positions; classes and colours; how the pixels were read
    ROOT/{train,val,test}/0000.npy      uint8: each sample's image, then its label

Use it where training waits for decoding: a crop of 769x769 then reads only its own rows. An image of 2048x1024 with its label
takes 8.4 MB, the training split of Cityscapes 25 GB.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segattn.catalogue import read_json, regular_size
from segattn.data._dataset import Dataset, Sample, checked_root, checked_split
from segattn.data.files.pixels import AS_SHOWN, Reading, reading
from segattn.data.tools.pack import FORMAT


def load(split: str, *, root: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a packed split.

    Raises:
        ValueError: no root, an unknown split, one that is not packed, or a damaged index.
    """
    checked_split(split)
    what = "the folder that `segattn data pack` wrote"
    folder = checked_root("packed", root, "data/cityscapes-packed", what=what) / split
    try:
        index = read_json(folder / "index.json", what="an index of packed images")
        if index["format"] != FORMAT:
            raise ValueError(
                f"{folder}: packed in format {index['format']}, this version reads {FORMAT}; pack it again"
            )
        places = [_Place(**entry) for entry in index["samples"]]
        palette = [(red, green, blue) for red, green, blue in index["palette"]]
        names, notice = index["class_names"], index["notice"]
        how = _how(folder, index)
    except FileNotFoundError:
        raise ValueError(f"{folder}: no packed split; `segattn data pack NAME -o {root}` writes it") from None
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / 'index.json'}: damaged ({error}); pack the data set again") from error
    dataset = Dataset(
        name="packed",
        split=split,
        class_names=names,
        palette=palette,
        image_names=[place.name for place in places],
        read=_Reader(folder, places, how),
        from_files=True,
        notice=notice,
    )
    dataset.title = str(index.get("title") or dataset.name)  # earlier versions did not write it
    return dataset


def _how(folder: Path, index: dict[str, Any]) -> Reading:
    """How the pixels were read when they were packed; earlier versions did not write it."""
    try:
        return reading("turn", index.get("value_range"), index.get("bands"), index.get("resize_bands"))
    except ValueError as error:
        raise ValueError(f"{folder / 'index.json'}: damaged ({error}); pack the data set again") from None


@dataclass(frozen=True)
class _Place:
    name: str
    shard: int
    offset: int
    height: int
    width: int
    label: bool
    bands: int = 3

    @property
    def num_bytes(self) -> int:
        """Of the image and its label."""
        return (self.bands + self.label) * self.height * self.width


@dataclass(frozen=True)
class _Reader:
    folder: Path
    places: list[_Place]
    how: Reading = AS_SHOWN
    """How the images were read before they were packed."""

    def __call__(self, index: int) -> Sample:
        lazy = self.lazily(index)
        return Sample(np.array(lazy.image), lazy.label if lazy.label is None else np.array(lazy.label), lazy.name)

    def stored(self, index: int) -> list[int]:
        """Height, width and number of bytes."""
        place = self.places[index]
        return [place.height, place.width, place.num_bytes]

    def lazily(self, index: int) -> Sample:
        """The sample as views of the file; only the pages that are accessed are read."""
        place = self.places[index]
        shard = _shard(self.folder / f"{place.shard:04}.npy")
        pixels = place.height * place.width
        end = place.offset + place.num_bytes
        if end > shard.size:
            raise ValueError(
                f"{self.folder / f'{place.shard:04}.npy'}: too short for {place.name}; pack the data set again"
            )
        shape = (place.height, place.width)
        image = shard[place.offset : place.offset + place.bands * pixels].reshape(*shape, place.bands)
        label = shard[end - pixels : end].reshape(shape) if place.label else None
        return Sample(image, label, place.name)


@functools.lru_cache(maxsize=256)
def _shard(path: Path) -> Any:
    try:
        regular_size(path)
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{path}: unreadable ({error}); pack the data set again") from error
