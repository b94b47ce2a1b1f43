"""Decodes a data set once: raw pixels in .npy files that are mapped into memory, so that training reads only its crops."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segattn import data, records
from segattn.data._dataset import Dataset, Sample
from segattn.data.files.pixels import AS_SHOWN
from segattn.data.tools.threads import file_threads

SHARD_BYTES = 1 << 28
FORMAT = 1


def pack(
    name: str,
    out: Path,
    *,
    root: str | os.PathLike[str] | None = None,
    splits: Sequence[str] = ("train", "val"),
    options: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
    on_progress: Callable[[str, int, int], object] = lambda split, done, total: None,
) -> Iterator[str]:
    """Write OUT/SPLIT/{index.json, 0000.npy, ...}; the index is written last, so an interrupted split does not count as packed.

    Yields:
        What was written, one line per split.

    Raises:
        ValueError: a split is packed already, a sample is bad, or the disk is too small.
    """
    opened = [data.load(name, split, root=root, **(options or {})) for split in splits]
    for dataset in opened:
        if (out / dataset.split / "index.json").exists():
            raise ValueError(f"{out / dataset.split} is already packed; remove it or give another folder")
    for dataset in opened:
        yield _pack_split(dataset, out / dataset.split, shard_bytes, on_progress)


def _pack_split(
    dataset: Dataset, folder: Path, shard_bytes: int, on_progress: Callable[[str, int, int], object]
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    writer = _Shards(folder, shard_bytes)
    with file_threads() as readers:
        for done, sample in enumerate(_ahead(readers, dataset)):
            shard, offset = writer.add(sample)
            height, width = sample.size
            entries.append(
                {"name": sample.name, "shard": shard, "offset": offset, "height": height, "width": width}
                | {"label": sample.label is not None}
                | ({} if sample.image.shape[2] == 3 else {"bands": sample.image.shape[2]})
            )
            on_progress(dataset.split, done + 1, len(dataset))
    writer.close()
    how = getattr(dataset.reader, "how", AS_SHOWN)
    index = {
        "format": FORMAT,
        "data set": dataset.name,
        "title": dataset.title,
        "split": dataset.split,
        "class_names": dataset.class_names,
        "palette": dataset.palette,
        "notice": dataset.notice,
        "value_range": how.value_range,
        "bands": how.bands,
        "resize_bands": how.resize_bands,
        "samples": entries,
    }
    records.write_bytes(json.dumps(index).encode(), folder / "index.json")
    return f"{dataset.split}: {len(entries)} samples, {writer.total / 1e9:.2f} GB in {folder}"


def _ahead(readers: ThreadPoolExecutor, dataset: Dataset) -> Iterator[Sample]:
    """Samples in order, a few decoded ahead: a queue of all of them would fill the memory."""
    step = 4 * (os.cpu_count() or 1)
    for start in range(0, len(dataset), step):
        yield from readers.map(dataset.__getitem__, range(start, min(start + step, len(dataset))))


class _Shards:
    """Appends bytes to .npy files of uint8 with one axis."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.number, self.parts, self.size, self.total = 0, list[np.ndarray](), 0, 0

    def add(self, sample: Sample) -> tuple[int, int]:
        """Shard and offset of a sample: its image, then its label."""
        pixels = [sample.image.ravel()] if sample.label is None else [sample.image.ravel(), sample.label.ravel()]
        length = sum(part.size for part in pixels)
        if self.parts and self.size + length > self.limit:
            self.close()
        free = shutil.disk_usage(self.folder).free
        if self.size + length > free:
            raise ValueError(f"{self.folder}: no space for more than {self.total / 1e9:.1f} GB of pixels")
        place = self.number, self.size
        self.parts += pixels
        self.size += length
        self.total += length
        return place

    def close(self) -> None:
        """Write what was added since the last shard."""
        if not self.parts:
            return
        shard = np.lib.format.open_memmap(
            self.folder / f"{self.number:04}.npy", mode="w+", dtype=np.uint8, shape=(self.size,)
        )
        at = 0
        for part in self.parts:
            shard[at : at + part.size] = part
            at += part.size
        shard.flush()
        self.number, self.parts, self.size = self.number + 1, [], 0
