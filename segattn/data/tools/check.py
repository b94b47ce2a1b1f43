"""Finds everything that is wrong with a data set in one run; the first fault does not end it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segattn import data
from segattn.data._dataset import IGNORE, SPLITS, Dataset, Labels
from segattn.data.files.band_sizes import DifferentSizes
from segattn.data.files.decode import ImageFile, open_mask
from segattn.data.files.masks import Mark, MaskReading, histogram
from segattn.data.files.pairs import PairReader, collected_faults
from segattn.data.files.pixels import Reading, turned_by_exif
from segattn.data.files.samples import similar
from segattn.data.tools.labels import ENOUGH, is_zero_and_255, one_class, unlearnable, unscorable
from segattn.data.tools.threads import file_threads

_SHOWN = 5


@dataclass
class Finding:
    """Faults or remarks of one kind."""

    kind: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(example)


@dataclass
class SplitReport:
    """What one split holds."""

    split: str
    num_images: int
    labelled: bool
    class_pixels: np.ndarray
    """int64 (256,): pixels of each class, and of 255."""
    class_images: np.ndarray
    """int64 (256,): images that contain each class."""
    sizes: Counter[tuple[int, int]]
    """Images of each height and width."""
    modes: Counter[str]
    """Masks of each kind: grey, palette, ..."""


@dataclass
class Report:
    """The outcome of `check`."""

    name: str
    class_names: tuple[str, ...]
    notice: str
    splits: list[SplitReport]
    absent: dict[str, str]
    """Splits that cannot be opened, and why."""
    faults: dict[str, Finding]
    remarks: dict[str, Finding]
    """What may be intended, but should be looked at."""

    @property
    def good(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class _Seen:
    """One sample."""

    name: str
    size: tuple[int, int] | None = None
    digest: bytes = b""
    values: Mapping[Mark, int] | None = None
    """Pixels of each stored value or colour."""
    mode: str = ""
    faults: tuple[tuple[str, str], ...] = ()


def check(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    splits: Sequence[str] = SPLITS,
    options: Mapping[str, Any] | None = None,
    on_progress: Callable[[str, int, int], object] = lambda split, done, total: None,
) -> Report:
    """Read every file of the splits, on all processors.

    Faults are files that cannot be read, have no partner or differ in size from it, label values outside the classes, masks of
    0 and 255 only, masks of colours instead of indices, one picture in two splits, a single class, training labels with fewer
    than two classes, a split in which every pixel is ignored, and images of different numbers of bands.

    Raises:
        ValueError: no split could be opened at all.
    """
    report = Report(name, (), "", [], {}, {}, {})
    pictures: dict[bytes, list[tuple[str, str]]] = {}
    for split in splits:
        with collected_faults() as pairing:
            try:
                dataset = data.load(name, split, root=root, **(options or {}))
            except ValueError as error:
                report.absent[split] = str(error)
                continue
        for message in pairing:
            _note(report.faults, "files without a partner", message)
        report.class_names, report.notice = dataset.class_names, report.notice or dataset.notice
        report.splits.append(_scan(dataset, report, pictures, on_progress))
    if not report.splits:
        raise ValueError("; ".join(dict.fromkeys(report.absent.values())))
    for split, reason in report.absent.items():
        if split != "test":
            _note(report.faults, "splits that cannot be opened", f"{split}: {reason}")
    for places in pictures.values():
        _note_duplicates(report, places)
    return report


def _note(findings: dict[str, Finding], kind: str, example: str) -> None:
    findings.setdefault(kind, Finding(kind)).add(example)


def _note_duplicates(report: Report, places: list[tuple[str, str]]) -> None:
    if len(places) > 1:
        named = " = ".join(f"{split}/{name}" for split, name in places[:_SHOWN])
        if len({split for split, _ in places}) > 1:
            _note(report.faults, "one picture in several splits", named)
        else:
            _note(report.remarks, "one picture twice in a split", named)


def _scan(
    dataset: Dataset,
    report: Report,
    pictures: dict[bytes, list[tuple[str, str]]],
    on_progress: Callable[[str, int, int], object],
) -> SplitReport:
    out = SplitReport(
        dataset.split, len(dataset), False, np.zeros(256, np.int64), np.zeros(256, np.int64), Counter(), Counter()
    )
    masks = _meanings(dataset)
    with file_threads() as readers:
        for done, seen in enumerate(readers.map(lambda index: _look(dataset, index), range(len(dataset)))):
            on_progress(dataset.split, done + 1, len(dataset))
            for kind, message in seen.faults:
                _note(report.faults, kind, message)
            if seen.size is not None:
                out.sizes[seen.size] += 1
                pictures.setdefault(seen.digest, []).append((dataset.split, seen.name))
            if seen.values is None:
                continue
            out.labelled = True
            out.modes[seen.mode] += 1
            _count(dataset, report, out, seen, masks)
    _note_what_cannot_be_learnt(dataset, report, out)
    for kind, line in getattr(dataset.reader, "notes", list)():
        _note(report.remarks, kind, f"{dataset.split}: {line}")
    remarks = getattr(dataset.reader, "remarks", None)
    if remarks is not None and (fault := remarks.different_bands()):
        _note(report.faults, "images of different bands", f"{dataset.split}: {fault}")
    if dataset.split == "train" and out.labelled:
        for index in np.flatnonzero(out.class_images[: dataset.num_classes] == 0):
            _note(report.remarks, "classes that no training image has", dataset.class_names[index])
    return out


def _note_what_cannot_be_learnt(dataset: Dataset, report: Report, out: SplitReport) -> None:
    if dataset.num_classes < ENOUGH:
        report.faults.setdefault(_ONE_CLASS, Finding(_ONE_CLASS, 1, [one_class(dataset)]))
    elif out.labelled:
        classes = tuple(np.flatnonzero(out.class_pixels[: dataset.num_classes]).tolist())
        dataset.labels = Labels(classes, bool(out.class_pixels[IGNORE]), labelled=True)
        fault = (dataset.split == "train" and unlearnable(dataset)) or unscorable(dataset)
        if fault:
            kind = "masks of 0 and 255" if is_zero_and_255(dataset) else "labels with nothing to learn"
            _note(report.faults, kind, fault)


_ONE_CLASS = "a single class"


def _meanings(dataset: Dataset) -> MaskReading:
    """What the marks in the masks of a data set mean."""
    reader = dataset.reader
    if isinstance(reader, PairReader) and reader.masks is not None:
        return reader.masks
    named = reader.mapping if isinstance(reader, PairReader) else None
    return MaskReading({IGNORE: IGNORE} | dict(named or {c: c for c in range(dataset.num_classes)}))


def _count(dataset: Dataset, report: Report, out: SplitReport, seen: _Seen, masks: MaskReading) -> None:
    counted = 0
    present = set()
    for mark, pixels in (seen.values or {}).items():
        meaning = masks.meaning(mark)
        if meaning is None:
            kind = "colour" if isinstance(mark, tuple) else "value"
            _note(
                report.faults,
                f"label {kind} {mark}",
                f"{seen.name} of {dataset.split}: {pixels} pixels; allowed are {masks.allowed(mark)}",
            )
            continue
        out.class_pixels[meaning] += pixels
        present.add(meaning)
        counted += pixels if meaning != IGNORE else 0
    for index in present:
        out.class_images[index] += 1
    if not counted:
        _note(report.remarks, "masks without a pixel that counts", f"{dataset.split}/{seen.name}")


def _look(dataset: Dataset, index: int) -> _Seen:
    reader = dataset.reader
    if isinstance(reader, PairReader):
        return _look_at_pair(reader, index)
    try:
        sample = dataset[index]
    except ValueError as error:
        return _Seen(dataset.image_name(index), faults=(("unreadable samples", str(error)),))
    values = None if sample.label is None else _values(sample.label)
    return _Seen(sample.name, sample.size, _digest(sample.image), values, "in memory")


def _look_at_pair(reader: PairReader, index: int) -> _Seen:
    faults, pair, turn = [], reader.pairs[index], 1
    size, digest, values, mode = None, b"", None, ""
    try:
        file = ImageFile(pair.image, reader.how)
        image, turn = file.pixels(), reader.turn(file)
        reader.remarks.note(str(pair.image), file.orientation, file.largest, file.stored)
        size, digest = (image.shape[0], image.shape[1]), _digest(image)
    except ValueError as error:
        kind = "bands of different sizes" if isinstance(error, DifferentSizes) else "unreadable images"
        faults.append((kind, str(error)))
    if pair.label is not None:
        values, mode, shape, fault = _look_at_mask(pair.label, reader)
        faults.extend(fault)
        fits = size is None or shape is None or size == shape or (bool(reader.resize) and similar(size, shape))
        if size is not None and shape is not None and not fits:
            sizes = f"{pair.image} is {size[1]}x{size[0]}, {pair.label} is {shape[1]}x{shape[0]}"
            sizes += turned_by_exif(turn, (size, shape))
            faults.append(("masks of another size than their image", sizes))
    return _Seen(pair.name, size, digest, values, mode, tuple(faults))


def _look_at_mask(
    path: Path, reader: PairReader
) -> tuple[Mapping[Mark, int] | None, str, tuple[int, int] | None, list[tuple[str, str]]]:
    try:
        if reader.masks is not None:
            return _read_mask(path, reader.masks, reader.how)
        mask = open_mask(path, reader.how)
    except ValueError as error:
        colours = "channels)" in str(error)
        return None, "", None, [("masks of colours instead of indices" if colours else "unreadable masks", str(error))]
    kinds = {"L": "grey, 8 bits", "P": "palette", "1": "black and white"}
    shape = (mask.height, mask.width)
    if mask.mode in ("L", "P"):
        values: Mapping[Mark, int] = {value: count for value, count in enumerate(mask.histogram()[:256]) if count}
    else:
        values = _values(np.asarray(mask))
    return values, kinds.get(mask.mode, "grey, 16 bits or more"), shape, []


def _read_mask(
    path: Path, masks: MaskReading, how: Reading
) -> tuple[Mapping[Mark, int], str, tuple[int, int], list[tuple[str, str]]]:
    stored, mode = masks.stored(path, how)
    marks = histogram(stored, coloured=stored.ndim == 3)
    masks.note(path, marks)
    return marks, mode, (stored.shape[0], stored.shape[1]), []


def _values(label: np.ndarray) -> Mapping[Mark, int]:
    values, counts = np.unique(label, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(repr(image.shape).encode() + np.ascontiguousarray(image).data, digest_size=16).digest()
