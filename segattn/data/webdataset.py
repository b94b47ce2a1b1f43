"""WebDataset shards: tar files in which `NAME.jpg` and `NAME.png`, or `NAME.mask.png`, are the image and the mask of one sample.

    ROOT/train-000.tar, ROOT/train-001.tar, ROOT/val-000.tar      other names with `shards`, such as `pets-{split}-{000..003}.tar`
    ROOT/classes.txt                                              or .json, .yaml, as in `folder`

The archives are read in place, with Python's own tarfile, in any order: their headers are scanned once when a split is opened.
Compressed archives have no order of their own, so they have to be unpacked to .tar first. Nothing in a shard is run or unpickled:
only its images and masks are read. Options on classes, values and sizes are those of `folder`.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segattn.data._dataset import SPLITS, Dataset, checked_root, checked_split
from segattn.data.files.class_lists import class_list
from segattn.data.files.decode import MOST_BYTES
from segattn.data.files.encoded import Encoded, EncodedReader, encoded_dataset, split_rows
from segattn.data.files.mask_options import mask_reading
from segattn.data.files.pairs import IMAGE_SUFFIXES, MASK_SUFFIXES
from segattn.data.files.pixels import reading
from segattn.data.files.samples import resizing

MASK_WORDS = ("mask", "seg", "label", "labels", "annotation", "gt", "target", "semantic")
"""Words before the ending of a mask that stands beside an image of the same ending: `NAME.mask.png`."""


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    shards: str | list[str] = "{split}*.tar",
    image: str | None = None,
    mask: str | None = None,
    splits: Mapping[str, str] | None = None,
    val_fraction: float | None = None,
    split_seed: int = 0,
    classes: Any = None,
    values: Mapping[int | str, str] | None = None,
    others: str | None = None,
    ignore: Any = None,
    masks_as: str = "auto",
    resize_masks: str | None = None,
    resize_images: str | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load a split from shards.

    Args:
        shards: their names below `root`, or a list of such: * is any text, {000..003} a range, and {split} the split. Without
            {split}, the samples are split by `val_fraction`.
        image: ending of the images, such as jpg; by default that of an image which is no mask.
        mask: ending of the masks, such as seg.png; by default png beside jpg, or one of mask.png, seg.png, label.png, ...
        splits: the name in place of {split}, where it is another, such as {val: validation}.

    The other options are those of `segattn.data.folder.load`.

    Raises:
        ValueError: no such shard, one that is damaged or compressed, a sample without an image or a mask, or as of `folder`.
    """
    checked_split(split)
    base = checked_root("webdataset", root, "data/shards", what="the folder of the shards")
    named = {} if splits is None else dict(splits)
    patterns = [shards] if isinstance(shards, str) else list(shards)
    parts = {each: _places(base, patterns, named.get(each, each)) for each in _parts(patterns)}
    samples = {each: _samples(files, image, mask) for each, files in parts.items() if files}
    if not samples:
        raise ValueError(
            f"{base}: no shard matches {', '.join(patterns)}; give the data option shards, such as train-*.tar"
        )
    names = {each: [sample.name for sample in part] for each, part in samples.items()}
    what = "webdataset"
    part, rows, notice = split_rows(split, names, val_fraction=val_fraction, split_seed=split_seed, what=what)
    chosen = [samples[part][row] for row in rows]
    if split != "test" and (lacking := [sample.name for sample in chosen if sample.mask is None]):
        raise ValueError(
            f"{base}: no mask for {len(lacking)} of {len(chosen)} samples, such as {', '.join(lacking[:3])}, which has "
            f"{', '.join(chosen[0].endings)}; give the data option mask, such as mask=seg.png"
        )
    listed = class_list(base, classes, what=what)
    reader = EncodedReader(
        [sample.name for sample in chosen],
        _Contents(chosen),
        [sample.image.size + (sample.mask.size if sample.mask else 0) for sample in chosen],
        mask_reading(listed, values=values, others=others, ignore=ignore, masks_as=masks_as, what=what),
        reading(exif, value_range),
        resizing(what, resize_masks, resize_images),
    )
    return encoded_dataset(what, split, listed, reader, notice)


@dataclass(frozen=True)
class _Member:
    """Where a file is in a shard."""

    shard: Path
    name: str
    offset: int
    size: int

    @property
    def path(self) -> Path:
        """A name for messages."""
        return self.shard / self.name

    def read(self) -> bytes:
        if self.size > MOST_BYTES:
            raise ValueError(f"{self.path}: {self.size:,} bytes; at most {MOST_BYTES:,} are read of an image or a mask")
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class _Stored:
    name: str
    image: _Member
    mask: _Member | None
    endings: tuple[str, ...]


@dataclass(frozen=True)
class _Contents:
    samples: Sequence[_Stored]

    def __call__(self, index: int) -> Encoded:
        sample = self.samples[index]
        try:
            mask = None if sample.mask is None else sample.mask.read()
            return Encoded(sample.image.path, sample.image.read(), (sample.mask or sample.image).path, mask)
        except OSError as error:
            raise ValueError(f"{sample.image.shard}: cannot be read ({error.strerror})") from None


def _parts(patterns: Sequence[str]) -> tuple[str, ...]:
    return SPLITS if any("{split}" in pattern for pattern in patterns) else ("all",)


def _places(base: Path, patterns: Sequence[str], name: str) -> list[Path]:
    """The shards of a split; none if no pattern matches."""
    files: list[Path] = []
    for pattern in patterns:
        for text in _expanded(pattern.replace("{split}", name)):
            matching = sorted(base.glob(text)) if any(sign in text for sign in "*?[") else [base / text]
            files += [path for path in matching if not path.name.startswith(".")]
    missing = [path.name for path in files if not path.is_file()]
    if missing and len(missing) < len(files):
        raise ValueError(f"{base}: {len(missing)} of {len(files)} shards are missing, such as {missing[0]}")
    return [] if missing else list(dict.fromkeys(files))


def _expanded(text: str) -> list[str]:
    """`a-{00..02}` as a-00, a-01, a-02."""
    pieces = re.split(r"\{(\d+)\.\.(\d+)\}", text)
    choices: list[list[str]] = [[pieces[0]]]
    for low, high, rest in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if int(high) - int(low) >= 100_000:
            raise ValueError(f"shards {text!r}: {{{low}..{high}}} has more than 100,000 numbers")
        choices += [[f"{number:0{len(low)}}" for number in range(int(low), int(high) + 1)], [rest]]
    return ["".join(parts) for parts in itertools.product(*choices)]


def _samples(shards: Sequence[Path], image: str | None, mask: str | None) -> list[_Stored]:
    """The samples of all shards, sorted by name; named with their shard where a name is in several."""
    found = []
    for shard in shards:
        status = shard.stat()
        for name, members in _index(shard, status.st_size, status.st_mtime_ns).items():
            found.append((shard, name, members))
    names = [name for _, name, _ in found]
    unique = len(set(names)) == len(names)
    stored = [
        _stored(shard, name if unique else f"{shard.stem}/{name}", members, image, mask)
        for shard, name, members in found
    ]
    return sorted(stored, key=lambda sample: sample.name)


def _stored(shard: Path, name: str, members: Mapping[str, _Member], image: str | None, mask: str | None) -> _Stored:
    pictures = [ending for ending in members if f".{ending.rpartition('.')[2]}" in IMAGE_SUFFIXES]
    plain = [ending for ending in pictures if "." not in ending]
    worded = [ending for ending in pictures if ending.partition(".")[0] in MASK_WORDS]
    seconds = [ending for ending in plain[1:] or plain if len(plain) > 1 and f".{ending}" in MASK_SUFFIXES]
    mask_key = mask.lower().lstrip(".") if mask else next(iter([*worded, *seconds[-1:]]), None)
    image_key = image.lower().lstrip(".") if image else next((e for e in [*plain, *pictures] if e != mask_key), None)
    if image_key is None or image_key not in members:
        raise ValueError(
            f"{shard}: sample {name} has no image{f' {image_key}' if image_key else ''}; it has {', '.join(members)}. Give the "
            "data option image, such as image=jpg"
        )
    return _Stored(name, members[image_key], members.get(mask_key) if mask_key else None, tuple(members))


@functools.lru_cache(maxsize=4096)
def _index(shard: Path, size: int, changed: int) -> dict[str, dict[str, _Member]]:
    """The members of a shard, by sample and ending; `size` and `changed` (ns) are those of the file, which is scanned once.

    Raises:
        ValueError: compressed or damaged.
    """
    samples: dict[str, dict[str, _Member]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:  # not compressed: members can be read in any order
            for member in archive:
                folder, _, file = member.name.rpartition("/")
                stem, _, ending = file.partition(".")
                if not member.isreg() or member.issparse() or not stem or not ending:
                    continue
                if member.offset_data + member.size > size:
                    raise ValueError(f"{shard}: truncated: {member.name} ends beyond the file")
                name = f"{folder}/{stem}".lstrip("./") if folder else stem
                samples.setdefault(name, {})[ending.lower()] = _Member(
                    shard, member.name, member.offset_data, member.size
                )
    except (tarfile.TarError, OSError) as error:
        raise ValueError(
            f"{shard}: no uncompressed tar archive, or damaged ({error}); unpack .tar.gz to .tar first"
        ) from None
    return samples
