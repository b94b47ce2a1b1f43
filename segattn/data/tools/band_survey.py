"""Recognises images whose bands lie in files of their own: names that begin or end as a mask's, in two kinds or more."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from segattn.data.files.band_files import SPLIT
from segattn.data.files.pairs import MASK_SUFFIXES
from segattn.data.tools.places import MASK_ENDINGS, Place, common_end, with_split

_TRIED = 200
"""Images by which the ending of masks is chosen."""
_LEAST = 0.9
"""Share of the files of images that must belong to a band of one of the masks."""


@dataclass(frozen=True)
class BandFiles:
    """Where the bands of images lie."""

    folder: str
    """Of all bands, without the folder of a split."""
    patterns: list[str]
    """Of the option `bands`."""
    split_first: bool
    """Whether the folder of a split is above `folder`."""
    mask_end: str
    """What masks have behind the names of their images."""


def by_bands(images: Sequence[Place], masks: Sequence[Place]) -> Iterable[dict[str, Any]]:
    """Options for images whose bands lie in files of their own, beside masks in a folder or of another ending."""
    files = [with_split(file) for place in images for file in place.files]
    ends = {file: next((end for end in MASK_ENDINGS if file.stem.endswith(end)), "") for file in files}
    for mask in masks[:3]:
        below = mask.folder.count("/") + 1 if mask.folder else 0
        inside = [PurePosixPath(*file.parts[below:]) for file in mask.files]
        ends_tried = dict.fromkeys(("", *MASK_ENDINGS, common_end(mask.stems)))
        if (bands := band_files_of(files, inside, list(ends_tried))) is not None:
            suffix = (mask.endings(MASK_SUFFIXES) or [".png"])[0].lower()
            plain = PurePosixPath(*(part for part in PurePosixPath(mask.folder).parts if part != "{split}")).as_posix()
            alike = mask.folder.startswith("{split}") == bands.split_first
            named = bands.mask_end or "*" in mask.folder or not alike
            text = f"{mask.folder}/**/*{bands.mask_end}{suffix}" if named else plain
            yield _but_usual(bands.folder, text) | {"bands": bands.patterns}
    beside = [file for file in files if ends[file] and file.suffix.lower() in MASK_SUFFIXES]
    inside = [PurePosixPath(file.as_posix().rpartition("{split}/")[2]) for file in beside]
    bands = band_files_of([file for file in files if not ends[file]], inside, sorted({ends[file] for file in beside}))
    if bands is not None:
        suffix = next(file.suffix for file in beside if ends[file] == bands.mask_end).lower()
        yield _but_usual(bands.folder, f"{bands.mask_end}{suffix}") | {"bands": bands.patterns}


def _but_usual(images: str, masks: str) -> dict[str, Any]:
    return {name: text for name, text in (("images", images), ("masks", masks)) if text != name}


def band_files_of(
    images: Sequence[PurePosixPath], masks: Sequence[PurePosixPath], ends: Sequence[str]
) -> BandFiles | None:
    """The bands of images, of which each mask has one file in each band; None if there are not two.

    Args:
        images: paths with {split} in place of a split's folder.
        masks: paths below the folder of masks and of a split.
        ends: what masks may have behind the names of their images, the most likely first.
    """
    if not images or not masks:
        return None
    tried = images[:: max(1, len(images) // _TRIED)]

    def matched(end: str) -> int:
        names = _names(masks, end)
        return sum(_template(path.as_posix(), names) is not None for path in tried)

    end = max(ends, key=matched)  # the first of those that match as often
    names = _names(masks, end)
    templates: dict[str, set[str]] = defaultdict(set)
    for path in images:
        if (template := _template(path.as_posix(), names)) is not None:
            templates[template[0]].add(template[1])
    bands = sorted(template for template, covered in templates.items() if 2 * len(covered) > len(names))
    bare = [template for template in bands if re.search(r"(^|/)\*\.\w+$", template)]
    in_bands = sum(len(templates[template]) for template in bands)
    one_folder = {template.rpartition("/")[0] for template in bare}
    if len(bands) < 2 or in_bands < _LEAST * len(images) or len(one_folder) < len(bare):
        return None
    return _described(bands, end)


def _described(templates: Sequence[str], end: str) -> BandFiles:
    folders = [template.split("/")[:-1] for template in templates]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1 or "*" in parts[0]:
            break
        shared.append(parts[0])
    rest = ["/".join(template.split("/")[len(shared) :]) for template in templates]
    patterns = [text.removeprefix("*") if text.startswith("*") and "/" not in text else text for text in rest]
    plain = "/".join(part for part in shared if part != SPLIT)
    return BandFiles(plain or ".", patterns, bool(shared) and shared[0] == SPLIT, end)


def _names(masks: Iterable[PurePosixPath], end: str) -> frozenset[str]:
    return frozenset(
        path.with_suffix("").as_posix().removesuffix(end)
        for path in masks
        if path.stem.endswith(end) and path.stem != end
    )


def _template(path: str, names: frozenset[str]) -> tuple[str, str] | None:
    """The path with * in place of the longest of `names` that is in it as a whole, and that name; None if there is none."""
    starts = [0, *(match.end() for match in re.finditer("/", path))]
    stops = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", path)]
    inside = [(stop - start, start) for start in starts for stop in stops if stop > start and path[start:stop] in names]
    if not inside:
        return None
    length, start = max(inside)
    return f"{path[:start]}*{path[start + length :]}", path[start : start + length]
