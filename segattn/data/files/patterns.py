"""Finds files by pattern or suffix. What the wildcards stand for is a file's name, by which images and masks are paired.

images/{split}/**/*.jpg         * is any text of a name, ? one character, ** any folders, {jpg,png} one of several
images/{split}/**/*             without an ending: any image
_leftImg8bit.png                a suffix: files that end so, anywhere; their split is a folder of that name on their path
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segattn.data.files import band_files
from segattn.data.files.pairs import IMAGE_SUFFIXES, MASK_SUFFIXES, NAMED_SUFFIXES, fault, files_below

_LOSSY = (".jpg", ".jpeg")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|\{[^{}]*\}|[^*?\[{]+|.")


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards, and so is no name of a folder."""
    return any(sign in text for sign in "*?[{")


def is_suffix(text: str) -> bool:
    """Whether a text is the end of file names, such as `_leftImg8bit.png`."""
    return not is_pattern(text) and "/" not in text and text.lower().endswith(NAMED_SUFFIXES)


@dataclass(frozen=True)
class Files:
    """The files that a pattern or suffix finds."""

    by_name: dict[str, Path]
    where: str
    """The pattern, for messages."""


def by_pattern(base: Path, pattern: str, split: str, what: str) -> Files:
    """Files below `base` that a pattern matches, by name.

    Args:
        split: stands in place of `{split}`.
        what: image or mask.

    Raises:
        ValueError: no such folder or file, two files of one name, or masks in a lossy format.
    """
    text = pattern.replace("\\", "/").replace("{split}", split)
    fixed = re.split(r"[*?\[{]", text, maxsplit=1)[0].rpartition("/")[0]
    folder = base / ("/" if text.startswith("/") and not fixed else fixed)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of {what}s; the pattern is {pattern}")
    expression = _expression(text.removeprefix(fixed).lstrip("/"), what)
    found: dict[str, Path] = {}
    for path in files_below(folder):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match is None or path.name.startswith("."):
            continue
        name = "/".join(part.strip("/") for part in match.groups() if part) or path.stem
        _add(found, name, path, what)
    if not found:
        raise ValueError(f"{base}: no {what} matches {text}{_seen(folder)}")
    return Files(found, str(base / text))


def by_suffix(base: Path, suffix: str, what: str, *, but: str = "") -> dict[str, Path]:
    """Files below `base` whose name ends in `suffix`, and not in `but`, by path without it.

    Raises:
        ValueError: no such file, two files of one name, or masks in a lossy format.
    """
    found: dict[str, Path] = {}
    for path in files_below(base):
        name = path.name.lower()
        if name.startswith(".") or not name.endswith(suffix.lower()) or (but and name.endswith(but.lower())):
            continue
        _add(found, path.relative_to(base).as_posix()[: -len(suffix)], path, what)
    if not found:
        raise ValueError(f"{base}: no {what} ends in {suffix}{_seen(base)}")
    return found


def band_groups(folder: Path, patterns: Sequence[str], split: str = "") -> dict[str, dict[int, Path]]:
    """The files below `folder` by the name of their image and the number of their band (`band_files`).

    `split` is what stands in place of `{split}`; any folder if it is empty.
    """
    groups: dict[str, dict[int, Path]] = {}
    for path in files_below(folder):
        band = band_files.band_of(path.relative_to(folder).as_posix(), patterns)
        if band is None or path.name.startswith(".") or (split and band[2] and band[2] != split):
            continue
        groups.setdefault(band[1] or folder.name, {})[band[0]] = path
    return groups


def by_bands(folder: Path, patterns: Sequence[str], split: str = "") -> dict[str, Path]:
    """The first file of each image whose bands lie in files of their own, by the image's name.

    Raises:
        ValueError: no such folder or file, or images that lack a band: how many, and the first three names.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of images")
    groups = band_groups(folder, patterns, split)
    if not groups:
        raise ValueError(f"{folder}: no file of the bands {', '.join(patterns)}{_seen(folder)}")
    for index, pattern in enumerate(patterns):
        if lacking := sorted(name for name, files in groups.items() if index not in files):
            names = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            fault(
                f"{folder}: no band {pattern} for {len(lacking)} of {len(groups)} images: {names}; add the files, or remove "
                "those of the other bands"
            )
    return {name: files[0] for name, files in groups.items() if len(files) == len(patterns)}


def of_split(files: dict[str, Path], base: Path, split: str) -> dict[str, Path]:
    """The files that lie in a folder named `split`, by name without that folder."""
    return {
        "/".join(part for part in name.split("/") if part != split): path
        for name, path in files.items()
        if split in path.relative_to(base).parts[:-1]
    }


def same_names(images: dict[str, Path], masks: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Both by path; by the last part of the path alone where no paths are the same, and where that is enough to tell them."""
    if images.keys() & masks.keys():
        return images, masks
    short = [{name.rpartition("/")[2]: path for name, path in files.items()} for files in (images, masks)]
    if len(short[0]) == len(images) and len(short[1]) == len(masks):
        return short[0], short[1]
    return images, masks


def _add(found: dict[str, Path], name: str, path: Path, what: str) -> None:
    if what == "mask" and path.suffix.lower() in _LOSSY:
        raise ValueError(f"{path}: a mask as JPEG, which changes the values of its pixels; save the masks as PNG")
    if name in found:
        fault(
            f"{path} and {found[name]} are both the {what} {name}; keep one of them, or give a pattern that matches one"
        )
    else:
        found[name] = path


def _expression(pattern: str, what: str) -> re.Pattern[str]:
    """The pattern as a regular expression, with a group for each wildcard; endings match in upper and lower case."""
    stem, dot, ending = pattern.rpartition(".")
    if not dot or "/" in ending or is_pattern(ending.replace("{", "").replace("}", "")):
        stem = stem if ending == "*" and dot else pattern
        endings: Sequence[str] = IMAGE_SUFFIXES if what == "image" else MASK_SUFFIXES
        last = "|".join(map(re.escape, endings))
    else:
        last = re.escape("." + ending)
        if ending.startswith("{"):
            last = "|".join(re.escape(f".{each.strip().removeprefix('.')}") for each in ending.strip("{}").split(","))
    return re.compile(f"{_translated(stem)}(?i:{last})")


def _translated(stem: str) -> str:
    parts = []
    for token in _TOKEN.findall(stem):
        if token == "**/":
            parts.append("((?:[^/]+/)*)")
        elif token in ("*", "**"):
            parts.append("([^/]*)")
        elif token == "?":
            parts.append("([^/])")
        elif token.startswith("[") and len(token) > 1:
            inside = token[1:-1].replace("\\", "\\\\")
            parts.append(f"([{'^' + inside[1:] if inside.startswith('!') else inside}])")
        elif token.startswith("{") and len(token) > 1:
            parts.append("(?:" + "|".join(re.escape(each.strip()) for each in token[1:-1].split(",")) + ")")
        else:
            parts.append(re.escape(token))
    return "".join(parts)


def _seen(folder: Path) -> str:
    """The first files of a folder, for messages."""
    names = [path.relative_to(folder).as_posix() for path, _ in zip(files_below(folder), range(3), strict=False)]
    return f"; there are {', '.join(names)}" if names else "; the folder holds no file"
