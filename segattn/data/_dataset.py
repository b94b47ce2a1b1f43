"""The class Dataset and its samples, each an image and its label."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

IGNORE = 255
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """An image and its label."""

    image: np.ndarray
    """uint8 (H, W, 3), RGB."""
    label: np.ndarray | None
    """uint8 (H, W), class indices, and 255 for ignored pixels; None if the split has no labels."""
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]

    def top_left(self, rows: int, columns: int) -> np.ndarray:
        """At least the first rows and columns of the image, uint8 (h, w, 3)."""
        return self.image


class Scene(Protocol):
    """What augmentation uses of a sample; the image may stay undecoded below and to the right of the crop."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> np.ndarray | None: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def top_left(self, rows: int, columns: int) -> np.ndarray | Image.Image: ...


class Dataset:
    """One split of a data set: a sequence of samples, and the classes of their labels."""

    ignore_index = IGNORE

    def __init__(
        self,
        *,
        name: str,
        split: str,
        class_names: Sequence[str],
        palette: Sequence[tuple[int, int, int]],
        image_names: Sequence[str],
        read: Callable[[int], Sample],
        from_files: bool,
        notice: str = "",
    ) -> None:
        """Build a data set from image names and `read(index)`, which must be picklable and raise ValueError for a bad sample.

        Args:
            read: may have a method `lazily(index)` that returns a `Scene`.
            notice: what a user needs to know about the labels.
        """
        if len(class_names) != len(palette):
            raise ValueError(
                f"data set {name}: {len(class_names)} class names and {len(palette)} colours; give one colour per class"
            )
        if not 1 <= len(class_names) <= IGNORE:
            raise ValueError(f"data set {name}: {len(class_names)} classes; 8-bit labels allow 1 to {IGNORE}")
        self.name = name
        self.split = split
        self.class_names = tuple(class_names)
        self.palette = tuple(palette)
        self.from_files = from_files
        self.notice = notice
        self._image_names = image_names
        self._read = read

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def __len__(self) -> int:
        return len(self._image_names)

    def image_name(self, index: int) -> str:
        """Name of a sample, unique in the split; no file is read."""
        return self._image_names[self._checked(index)]

    def __getitem__(self, index: int) -> Sample:
        return self._read(self._checked(index))

    def lazily(self, index: int) -> Scene:
        """A sample whose image may be decoded later and in part; for training, which needs only a crop."""
        scene: Scene = getattr(self._read, "lazily", self._read)(self._checked(index))
        return scene

    @property
    def reader(self) -> Callable[[int], Sample]:
        """The function `read` that the data set was built with."""
        return self._read

    def first(self, count: int) -> Dataset:
        """The same data set with its first `count` samples only (all, if it has fewer)."""
        if count < 1:
            raise ValueError(f"{count} images of {self.name} {self.split} were asked for; at least 1 is needed")
        return Dataset(
            name=self.name,
            split=self.split,
            class_names=self.class_names,
            palette=self.palette,
            image_names=self._image_names[:count],
            read=self._read,
            from_files=self.from_files,
            notice=self.notice,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} {self.split} has {len(self)} samples; index {index} is out of range")
        return index % len(self)

    def __repr__(self) -> str:
        return f"<{self.name} {self.split}: {len(self)} images, {self.num_classes} classes>"


def checked_split(split: str, allowed: Sequence[str] = SPLITS) -> str:
    """The split, if it is allowed.

    Raises:
        ValueError: it is not; the message lists the splits.
    """
    if split not in allowed:
        raise ValueError(f"unknown split {split!r}; splits: {', '.join(allowed)}")
    return split


def checked_root(name: str, root: str | os.PathLike[str] | None, example: str, *, what: str = "its folder") -> Path:
    """The folder of the data set `name` as a path; `example` is one for the message, `what` says which folder.

    Raises:
        ValueError: no root.
    """
    if root is None:
        raise ValueError(f"{name} needs {what}, e.g. root={example!r} (--data-root on the command line)")
    return Path(root)


def class_table(text: str) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Names and colours from lines `rrggbb name`."""
    rows = [line.split(maxsplit=1) for line in text.strip().splitlines()]
    colours = [(int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)) for code, _ in rows]
    return tuple(name for _, name in rows), tuple(colours)
