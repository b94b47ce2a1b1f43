"""Samples whose image and mask are encoded files inside a larger one: a row of a table, members of an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segattn.data._dataset import Dataset, Sample, checked_split
from segattn.data.files import fractions
from segattn.data.files.class_lists import ClassList
from segattn.data.files.decode import ImageFile
from segattn.data.files.masks import MaskReading
from segattn.data.files.pixels import Reading, Remarks
from segattn.data.files.samples import LazySample, fitted


@dataclass(frozen=True)
class Encoded:
    """One sample as it is stored. The paths name it in errors, and are read where there is no content."""

    image_path: Path
    image: bytes | None
    mask_path: Path
    mask: bytes | np.ndarray | None
    """Content of a file, or values (H, W); None for a sample without a label."""


@dataclass(frozen=True)
class EncodedReader:
    """Reads samples by `contents(index)`, which must be picklable."""

    names: Sequence[str]
    contents: Callable[[int], Encoded]
    sizes: Sequence[int]
    """Bytes of each sample."""
    masks: MaskReading
    how: Reading
    resize: str = ""
    """As of `PairReader`."""
    remarks: Remarks = field(default_factory=Remarks, compare=False)

    def __call__(self, index: int) -> Sample:
        lazy = self.lazily(index)
        return lazy if isinstance(lazy, Sample) else Sample(lazy.file.pixels(), lazy.label, lazy.name)

    def lazily(self, index: int) -> LazySample | Sample:
        """The sample; its image is decoded when its pixels are asked for."""
        encoded = self.contents(index)
        file = ImageFile(encoded.image_path, self.how, encoded.image)
        self.remarks.note(str(encoded.image_path), file.orientation, file.largest, file.stored)
        label = self._label(encoded)
        if label is None:
            return LazySample(self.names[index], None, file)
        turn = file.orientation if self.how.exif == "turn" else 1
        return fitted(self.names[index], file, label, self.resize, encoded.mask_path, turn)

    def label(self, index: int) -> np.ndarray | None:
        """The label alone."""
        return self._label(self.contents(index))

    def stored(self, index: int) -> list[int]:
        """Bytes of the sample."""
        return [self.sizes[index]]

    def notes(self) -> list[tuple[str, str]]:
        """As of `PairReader`."""
        return [*self.remarks.lines(self.how), *self.masks.lines()]

    def _label(self, encoded: Encoded) -> np.ndarray | None:
        if encoded.mask is None:
            return None
        if isinstance(encoded.mask, np.ndarray):
            return self.masks.of_stored(encoded.mask_path, encoded.mask)
        return self.masks.label(encoded.mask_path, self.how, encoded.mask)


def split_rows(
    split: str,
    names: Mapping[str, Sequence[str]],
    *,
    val_fraction: float | None,
    split_seed: int,
    what: str,
) -> tuple[str, list[int], str]:
    """Which stored part a split is in, which of its rows belong to it, and what a user should know.

    Args:
        names: of the samples in each stored part: train, val, test, or all where there is one part only.

    Raises:
        ValueError: no such split.
    """
    checked_split(split)
    if val_fraction is not None and "val" in names:
        raise ValueError(f"{what} has a split val; leave val_fraction out")
    whole = "all" if "all" in names else "train"
    divided = "val" not in names and (whole == "all" or val_fraction is not None) and whole in names
    if split in names and not (divided and split == "train"):
        return split, list(range(len(names[split]))), ""
    if split == "test" or not divided:
        advice = (
            f"; add the data option val_fraction={fractions.DEFAULT}" if split == "val" and "train" in names else ""
        )
        raise ValueError(f"{what} has no split {split!r}; it has {', '.join(names) or 'none'}{advice}")
    fraction, seed = fractions.checked_fraction(val_fraction or fractions.DEFAULT, split_seed, what=what)
    held_out = fractions.validation_names(names[whole], fraction, seed)
    rows = [row for row, name in enumerate(names[whole]) if (name in held_out) == (split == "val")]
    counts = f"{len(names[whole]) - len(held_out)} for training, {len(held_out)} for validation"
    return whole, rows, f"{what}: a split by name, val_fraction={fraction:g} and split_seed={seed}: {counts}"


def encoded_dataset(name: str, split: str, classes: ClassList, reader: EncodedReader, notice: str = "") -> Dataset:
    """The split of a data set that this reader reads."""
    return Dataset(
        name=name,
        split=split,
        class_names=classes.names,
        palette=classes.palette,
        image_names=reader.names,
        read=reader,
        from_files=True,
        notice=notice,
    )
