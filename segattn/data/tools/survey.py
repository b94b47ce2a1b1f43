"""Looks at a folder of images and masks: where they are, how they are named, and which options of `folder` read them."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from segattn.data._dataset import SPLITS
from segattn.data.files.pairs import IMAGE_SUFFIXES, MASK_SUFFIXES, Pair, files_below
from segattn.data.files.source import Source
from segattn.data.tools.band_survey import by_bands
from segattn.data.tools.places import MASK_ENDINGS, SPLIT_NAMES, SPLIT_OF, Place, common_end, place_of

_MOST_FILES = 500_000


@dataclass(frozen=True)
class Survey:
    """What a folder holds."""

    options: dict[str, Any]
    """Options of `folder` that read it; empty for its usual layout."""
    pairs: dict[str, list[Pair]]
    """By split: train, val and, if there is one, test."""
    num_pictures: int
    notice: str
    """What `folder` says about a split that it makes."""


def survey(base: Path) -> Survey:
    """Look at a folder.

    Raises:
        ValueError: no folder, no pictures, or no way to pair them; the message says what was seen.
    """
    if not base.is_dir():
        raise ValueError(f"{base}: no such folder")
    pictures = []
    for number, path in enumerate(files_below(base)):
        if number >= _MOST_FILES:
            raise ValueError(f"{base}: more than {_MOST_FILES:,} files; name the folder of the data set itself")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            pictures.append(PurePosixPath(path.relative_to(base).as_posix()))
    if not pictures:
        raise ValueError(f"{base}: no pictures; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
    reasons = []
    for options in _candidates(base, pictures):
        source = Source(
            base,
            options.get("images", "images"),
            options.get("masks", "masks"),
            options.get("lists"),
            options.get("splits", {}),
            options.get("val_fraction"),
            0,
            bands=tuple(options.get("bands", ())),
        )
        try:
            return _opened(source, options, len(pictures))
        except ValueError as error:
            if source.bands:
                raise
            reasons.append(str(error))
    what = reasons[-1] if reasons else f"no pictures that look like masks; {_seen(pictures)}"
    raise ValueError(
        f"{base}: {what}. Name the folders images and masks, or give patterns to folder, such as --data.options "
        "'images=rgb/{split}/*.jpg,masks=gt/{split}/*_mask.png'"
    )


def _opened(source: Source, options: dict[str, Any], num_pictures: int) -> Survey:
    train, notice = source.pairs("train")
    pairs = {"train": train}
    try:
        pairs["val"] = source.pairs("val")[0]
    except ValueError:
        options = {**options, "val_fraction": 0.2}
        source = replace(source, fraction=0.2)
        pairs["train"], notice = source.pairs("train")
        pairs["val"] = source.pairs("val")[0]
    with contextlib.suppress(ValueError):
        pairs["test"] = source.pairs("test")[0]
    return Survey(options, pairs, num_pictures, notice)


def _candidates(base: Path, pictures: Sequence[PurePosixPath]) -> Iterable[dict[str, Any]]:
    """Options that may read the folder, the most likely first."""
    shared = _split_names(pictures)
    lists = _lists(base)
    by_folder = defaultdict[tuple[str, str], list[PurePosixPath]](list)
    for file in pictures:
        by_folder[place_of(file)].append(file)
    images, masks = (
        sorted((Place(folder, files) for (of, folder), files in by_folder.items() if of == kind), key=_by_size)
        for kind in ("image", "mask")
    )
    for mask in masks[:3]:
        for image in [place for place in images if place.folder.count("{split}") == mask.folder.count("{split}")][:3]:
            yield from _with_lists(_of_places(image, mask) | shared, lists, "{split}" in image.folder)
    loose = [file for place in (*images, *masks) for file in place.files]
    for options in _by_ending(loose):
        yield options | _split_names(loose)
    for options in by_bands(images, masks):
        yield from _with_lists(options | shared, lists, any("{split}" in place.folder for place in images))


def _by_size(place: Place) -> tuple[int, str]:
    return -len(place.files), place.folder


def _with_lists(options: dict[str, Any], lists: dict[str, Any], in_folders: bool) -> Iterable[dict[str, Any]]:
    if lists and not in_folders:
        yield options | lists
    yield options


def _of_places(image: Place, mask: Place) -> dict[str, Any]:
    """Options for images in one folder and masks in another."""
    image_end, mask_end = _endings(image.stems, mask.stems)
    suffixes = [ending.lower() for ending in mask.endings(MASK_SUFFIXES)]
    if not image_end and not mask_end and "*" not in image.folder + mask.folder:
        plain = [folder.replace("/{split}", "").replace("{split}/", "") for folder in (image.folder, mask.folder)]
        order = [folder.startswith("{split}") for folder in (image.folder, mask.folder)]
        if order[0] == order[1] and all("{split}" not in folder and folder for folder in plain):
            usual = {"images": "images", "masks": "masks"}
            return {
                name: folder for (name, default), folder in zip(usual.items(), plain, strict=True) if folder != default
            }
    ending = suffixes[0] if suffixes else ".png"
    return {
        "images": f"{image.folder}/**/*{image_end}{_any_of(image.endings(IMAGE_SUFFIXES)) if image_end else ''}".lstrip(
            "/"
        ),
        "masks": f"{mask.folder}/**/*{mask_end}{ending}".lstrip("/"),
    }


def _any_of(endings: Sequence[str]) -> str:
    lower = list(dict.fromkeys(ending.lower() for ending in endings))
    return lower[0] if len(lower) == 1 else ".{" + ",".join(ending[1:] for ending in lower) + "}"


def _endings(images: set[str], masks: set[str]) -> tuple[str, str]:
    """What images and masks have behind the part of their names that is the same."""
    best: tuple[int, str, str] = (len(images & masks), "", "")
    for image_end in ("", common_end(images), "_leftImg8bit"):
        short = {name.removesuffix(image_end) for name in images if name.endswith(image_end)}
        for mask_end in ("", *MASK_ENDINGS, common_end(masks)):
            same = len(short & {name.removesuffix(mask_end) for name in masks if name.endswith(mask_end)})
            if same > best[0]:
                best = (same, image_end, mask_end)
    return best[1:]


def _by_ending(files: Sequence[PurePosixPath]) -> Iterable[dict[str, Any]]:
    """Options for images and masks beside each other: `a.jpg` and `a_mask.png`."""
    stems = {file.stem for file in files}
    for mask_end in MASK_ENDINGS:
        masks = [file for file in files if file.stem.endswith(mask_end) and file.suffix.lower() in MASK_SUFFIXES]
        images = [
            file for file in files if file.stem + mask_end in stems or f"{file.stem}{file.suffix}" + mask_end in stems
        ]
        if masks and images:
            ending = Counter(file.suffix.lower() for file in images).most_common(1)[0][0]
            yield {"images": ending, "masks": f"{mask_end}{masks[0].suffix.lower()}"}
    endings = Counter(file.suffix.lower() for file in files)
    if len(endings) == 2 and endings[".png"] and ({".jpg", ".jpeg"} & endings.keys()):
        yield {"images": next(ending for ending in endings if ending != ".png"), "masks": ".png"}


def _split_names(pictures: Sequence[PurePosixPath]) -> dict[str, Any]:
    """The option `splits`, where folders of splits have other names."""
    parts = {part for file in pictures for part in file.parts[:-1] if part.lower() in SPLIT_OF}
    named: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: SPLIT_NAMES[SPLIT_OF[part.lower()]].index(part.lower())):
        named.setdefault(SPLIT_OF[part.lower()], part)
    other = {split: named[split] for split in SPLITS if named.get(split, split) != split}
    return {"splits": other} if other else {}


def _lists(base: Path) -> dict[str, Any]:
    """The options `lists` and `splits`, where there are lists of splits."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in files_below(base):
        if path.suffix == ".txt" and path.stem.lower() in SPLIT_OF:
            found[path.parent.relative_to(base).as_posix()].setdefault(SPLIT_OF[path.stem.lower()], path.stem)
    usable = {folder: names for folder, names in found.items() if "train" in names}
    if not usable:
        return {}
    folder, names = min(usable.items(), key=lambda item: ("Segmentation" not in item[0], item[0].count("/"), item[0]))
    other: Mapping[str, str] = {split: name for split, name in names.items() if split != name}
    options: dict[str, Any] = {} if folder == "." else {"lists": f"{folder}/{{split}}.txt"}
    return options | ({"splits": dict(other)} if other else {})


def _seen(pictures: Sequence[PurePosixPath]) -> str:
    folders = Counter(file.parent.as_posix() for file in pictures)
    shown = ", ".join(
        f"{count} in {'the folder itself' if folder == '.' else folder}" for folder, count in folders.most_common(4)
    )
    return f"there are {shown}{f' and {len(folders) - 4} more folders' if len(folders) > 4 else ''}"
