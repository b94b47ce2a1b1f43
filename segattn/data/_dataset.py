"""The class Dataset and its samples, each an image and its label."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from PIL import Image

from segattn.catalogue import regular_size
from segattn.data.files.display import png

IGNORE = 255
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """An image and its label."""

    image: np.ndarray
    """uint8 (H, W, 3), RGB; or uint8 (H, W, bands)."""
    label: np.ndarray | None
    """uint8 (H, W), class indices, and 255 for ignored pixels; None if the split has no labels."""
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]

    def top_left(self, rows: int, columns: int) -> np.ndarray:
        """At least the first rows and columns of the image, uint8 (h, w, bands)."""
        return self.image

    def __repr__(self) -> str:
        classes = "no label" if self.label is None else f"{len(set(np.unique(self.label).tolist()) - {IGNORE})} classes"
        return f"<{self.name}: {self.size[0]}x{self.size[1]}, {classes}>"

    def _repr_png_(self) -> bytes:
        return png(self.image, self.label)


@dataclass(frozen=True)
class MadeNames(Sequence[str]):
    """Names that follow from the samples' indices; none is kept."""

    name_of: Callable[[int], str]
    size: int

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self.name_of(i) for i in range(self.size)[index]]
        return self.name_of(range(self.size)[index])


@dataclass(frozen=True)
class Labels:
    """What the labels of a split hold."""

    classes: tuple[int, ...]
    """Classes that occur: all of them, or the first that were met, at least two."""
    ignored: bool
    """Whether a pixel that is ignored was met."""
    labelled: bool
    """False for a split without labels."""
    rare: bool = False
    """Whether the sample held fewer than two classes, and the scan of all labels found more."""


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
    """One split of a data set: a sequence of samples, and the classes of their labels.

    `name` is that of its reader, such as folder; `title` is what results call it, such as the name of the user's folder.
    """

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
            read: may have methods `lazily(index)`, which returns a `Scene`; `label(index)`, the label alone; `files(index)`, the
                paths of the files that hold a sample and nothing else; and `stored(index)`, numbers that change with the size of
                what is stored of it.
            notice: what a user needs to know about the labels.
        """
        if len(class_names) != len(palette):
            raise ValueError(
                f"data set {name}: {len(class_names)} class names and {len(palette)} colours; give one colour per class"
            )
        if not 1 <= len(class_names) <= IGNORE:
            raise ValueError(f"data set {name}: {len(class_names)} classes; 8-bit labels allow 1 to {IGNORE}")
        if twice := sorted({each for each in class_names if list(class_names).count(each) > 1}):
            raise ValueError(f"data set {name}: class name {twice[0]!r} is given twice; classes need distinct names")
        self.name = self.title = name
        self.split = split
        self.class_names = tuple(class_names)
        self.palette = tuple(palette)
        self.from_files = from_files
        self.notice = notice
        self.contents: Mapping[str, str] | None = None
        """What `verify` read: `digest` of each sample, by name; None before."""
        self.labels: Labels | None = None
        """What `verify` found in the labels; None before."""
        self.moments: Mapping[str, np.ndarray] | None = None
        """Mean and standard deviation of each image that `verify` read (`records.image_range`), by name; None before."""
        self.sampled_moments: Mapping[str, np.ndarray] | None = None
        """The same of evenly spaced images of a generated split, of which `verify` reads the first only; None before."""
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

    def label(self, index: int) -> np.ndarray | None:
        """The label of a sample alone, uint8 (H, W); None if the split has no labels.

        Raises:
            ValueError: it cannot be read.
        """
        if (label := getattr(self._read, "label", None)) is not None:
            array: np.ndarray | None = label(self._checked(index))
            return array
        return self.lazily(index).label

    def stored(self, index: int) -> list[int]:
        """Numbers that change with the size of what is stored of a sample: bytes of its files; no file is opened.

        Empty for a generated sample, and for a reader that does not tell its files.

        Raises:
            ValueError: a file has vanished.
        """
        if (stored := getattr(self._read, "stored", None)) is not None:
            return list(stored(self._checked(index)))
        try:
            return [*(os.stat(path).st_size for path in self._files(index)), *getattr(self._read, "token", ())]
        except OSError as error:
            raise ValueError(f"{error.filename}: cannot be read ({error.strerror})") from None

    def digest(self, index: int, sample: Sample) -> str:
        """The first 16 digits of a sample's SHA-256: of the bytes of its files, or of its pixels if it has no files of its own.

        Raises:
            ValueError: a file has vanished.
        """
        digest = hashlib.sha256()
        paths = self._files(index)
        for path in paths:
            try:
                regular_size(path)
                digest.update(path.read_bytes())
            except OSError as error:
                raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        if not paths:
            for pixels in (sample.image, sample.label):
                digest.update(b"" if pixels is None else np.ascontiguousarray(pixels).tobytes())
        return digest.hexdigest()[:16]

    def _files(self, index: int) -> list[Path]:
        files = getattr(self._read, "files", None)
        return [] if files is None else list(files(self._checked(index)))

    @property
    def reader(self) -> Callable[[int], Sample]:
        """The function `read` that the data set was built with."""
        return self._read

    def first(self, count: int) -> Dataset:
        """The same data set with its first `count` samples only (all, if it has fewer).

        Raises:
            ValueError: `count` is below 1.
        """
        if count < 1:
            raise ValueError(f"{count} images of {self.name} {self.split} were asked for; at least 1 is needed")
        part = Dataset(
            name=self.name,
            split=self.split,
            class_names=self.class_names,
            palette=self.palette,
            image_names=self._image_names[:count],
            read=self._read,
            from_files=self.from_files,
            notice=self.notice,
        )
        part.title = self.title
        return part

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} {self.split} has {len(self)} samples; index {index} is out of range")
        return index % len(self)

    def __repr__(self) -> str:
        return f"<{self.name} {self.split}: {len(self)} images, {self.num_classes} classes>"

    def _repr_html_(self) -> str:
        names = ", ".join(self.class_names[:40]) + (", ..." if self.num_classes > 40 else "")
        return f"<pre>{escape(repr(self))}</pre><p>{escape(names)}</p>"


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
