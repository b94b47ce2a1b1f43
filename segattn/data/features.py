"""Reads feature maps of a frozen backbone that were computed once (`segattn data features`).

    FOLDER/index.json             what the maps belong to, their shapes and type; written first
    FOLDER/train-00000.bin, ...   samples one after the other: the maps that heads read, channels last, then the label, uint8
    FOLDER/val-00000.bin, ...
    FOLDER/class-counts.json      pixels of each class in the training labels, see `segattn.training.class_weights`

A part appears under its name when it is complete. Sample c of image i of the training split is its augmented copy c.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segattn import records
from segattn.catalogue import read_json
from segattn.data._dataset import Dataset
from segattn.data.items import Item

FORMAT = 1
_ALIGNED = 64
"""Bytes; each sample starts at a multiple of it."""
PART_BYTES = 64 * 2**20
"""Size of a part, unless a single sample is larger."""


@dataclass(frozen=True)
class Sample:
    """Shapes of one sample: its maps (C, h, w), by index of the backbone's stage, and its label (H, W)."""

    maps: Mapping[int, tuple[int, int, int]]
    label: tuple[int, int]

    def num_bytes(self, dtype: torch.dtype) -> int:
        """In the file, with the padding to the next sample."""
        numbers = sum(math.prod(shape) for shape in self.maps.values())
        return -(-(numbers * dtype.itemsize + math.prod(self.label)) // _ALIGNED) * _ALIGNED


class Layout:
    """Where the samples of a split lie: part and offset of each."""

    def __init__(self, split: str, samples: Sequence[Sample], dtype: torch.dtype) -> None:
        self.split, self.samples, self.dtype = split, samples, dtype
        sizes = [sample.num_bytes(dtype) for sample in samples]
        self.num_bytes = sum(sizes)
        per_part = max(1, PART_BYTES // max(sizes, default=1))
        self.parts = [range(start, min(start + per_part, len(samples))) for start in range(0, len(samples), per_part)]
        self.part_bytes = [sum(sizes[item] for item in part) for part in self.parts]
        self.per_part = per_part
        self.offsets = [
            offset for part in self.parts for offset in accumulate((sizes[item] for item in part[:-1]), initial=0)
        ]

    def name(self, part: int) -> str:
        """File name of a part."""
        return f"{self.split}-{part:05}.bin"

    def is_stored(self, folder: Path, part: int) -> bool:
        """Whether a part is in the folder, in full size."""
        return _size(folder / self.name(part)) == self.part_bytes[part]

    def check(self, folder: Path, part: int) -> None:
        """Raise ValueError unless a part is in the folder, in full size."""
        path, num_bytes = folder / self.name(part), self.part_bytes[part]
        if (size := _size(path)) != num_bytes:
            what = "is missing" if size is None else f"has {size} bytes instead of {num_bytes}"
            raise ValueError(
                f"stored features: {path} {what}; run the same command again: it computes what is missing and goes on"
            )

    def record(self, item: int, maps: Sequence[Tensor], label: Tensor) -> bytes:
        """The bytes of a sample: its maps (C, h, w) in order of the stages, then its label."""
        sample = self.samples[item]
        parts = [_bytes(maps[stage].movedim(0, -1)) for stage in sample.maps]
        whole = b"".join([*parts, label.to(torch.uint8).numpy().tobytes()])
        return whole.ljust(sample.num_bytes(self.dtype), b"\0")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().cpu().view(torch.uint8).numpy().tobytes()


class StoredSplit:
    """The samples of a split, read from the files: maps (C, h, w) of the four stages (those not stored have no channels)."""

    def __init__(self, folder: Path, layout: Layout, dataset: Dataset, copies: int) -> None:
        self.folder, self.layout, self.dataset, self.copies = folder, layout, dataset, copies

    def __len__(self) -> int:
        return len(self.layout.samples)

    def __getitem__(self, item: int) -> Item:
        """A sample.

        Raises:
            ValueError: the file has vanished or been cut off.
        """
        dtype, sample = self.layout.dtype, self.layout.samples[item]
        whole = self._bytes(item, 0, sample.num_bytes(dtype))
        maps, offset = [absent()] * 4, 0
        for stage, (C, h, w) in sample.maps.items():
            end = offset + C * h * w * dtype.itemsize
            maps[stage] = torch.from_numpy(whole[offset:end]).view(dtype).view(h, w, C).movedim(-1, 0)
            offset = end
        label = whole[offset : offset + math.prod(sample.label)].reshape(sample.label)
        index = item // self.copies
        return maps, torch.from_numpy(label).long(), self.dataset.image_name(index), index

    def label(self, item: int) -> np.ndarray:
        """The label of a sample alone, uint8 (H, W); errors as for the sample."""
        sample = self.layout.samples[item]
        maps = sum(math.prod(shape) for shape in sample.maps.values()) * self.layout.dtype.itemsize
        return self._bytes(item, maps, math.prod(sample.label)).reshape(sample.label)

    def _bytes(self, item: int, start: int, count: int) -> np.ndarray:
        """`count` bytes of a sample's record, from `start` on."""
        part = item // self.layout.per_part
        self.layout.check(self.folder, part)
        return _read(self.folder / self.layout.name(part), self.layout.offsets[item] + start, count)


def absent(device: torch.device | str = "cpu") -> Tensor:
    """What stands for a map that no head reads."""
    return torch.empty(0, 1, 1, device=device)


def _read(path: Path, offset: int, num_bytes: int) -> np.ndarray:
    """Bytes of a file, from the system's page cache. A mapped file that is cut off in the meantime would kill the process."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        data = bytearray(file.read(num_bytes))
    if len(data) != num_bytes:
        raise ValueError(f"stored features: {path} was cut off while it was read; run the same command again")
    return np.frombuffer(data, np.uint8)


def size_text(num_bytes: float) -> str:
    """A size in MiB, with one decimal below 10.

    >>> size_text(2**18), size_text(2**30)
    ('0.2 MiB', '1,024 MiB')
    """
    return f"{num_bytes / 2**20:,.{1 if num_bytes < 10 * 2**20 else 0}f} MiB"


@dataclass(frozen=True)
class StoredFeatures:
    """Complete features of one split or of both."""

    folder: Path
    train: StoredSplit | None
    """None where they did not fit."""
    val: StoredSplit | None
    """None where they did not fit, or if the evaluation needs images: sliding windows, flips, scales."""


def write_index(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `index.json`, in one step."""
    with records.writing(folder / "index.json", synced=False) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **facts}, indent=1) + "\n")


def same_index(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the folder's index says that it holds features with these facts."""
    try:
        written = read_json(folder / "index.json")
    except (OSError, ValueError):
        return False
    return bool(written == json.loads(json.dumps({"format": FORMAT, **facts})))


def missing_bytes(folder: Path, layouts: Iterable[Layout]) -> int:
    """Size of the parts that are not there, or not in full size."""
    parts = [(layout, part) for layout in layouts for part in range(len(layout.parts))]
    return sum(layout.part_bytes[part] for layout, part in parts if not layout.is_stored(folder, part))


def in_computing_type(features: Sequence[Tensor]) -> list[Tensor]:
    """Stored maps in the type in which a head computes: that of autocast, float32 without."""
    kind = features[-1].device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    return [x.to(dtype) for x in features]
