"""Lists of a split: one image a line, by name or path, or an image and its mask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from segattn.data.files.pairs import NAMED_SUFFIXES, Pair, fault, paired
from segattn.data.files.plain import read_text

_BETWEEN = (r"\t+", r"\s*[,;]\s*", r"\s+")
"""What may stand between an image and its mask, from the least likely in a file name to the most."""


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without blank ones and comments (`# ...`).

    Raises:
        ValueError: not a text file, or no line.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise ValueError(f"{path}: not readable as a list of names ({error.strerror})") from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path}: names no image")
    return lines


def listed_pairs(
    listed: Path,
    base: Path,
    images: dict[str, Path],
    masks: dict[str, Path] | None,
    where: tuple[Path | str, Path | str | None],
) -> list[Pair]:
    """The pairs that a list names, sorted by name.

    A line is the name of an image, with or without folder and ending, a path below `base`, or two of these: image and mask.

    Args:
        images: images by name; a list of paths may name others.
        masks: the same for masks; None for a split without labels.
        where: where both are, for messages.

    Raises:
        ValueError: a line that names no image, or an image without a mask.
    """
    at_image, at_mask = _Finder(base, images), _Finder(base, masks or {})
    names, both = list[str](), dict[str, Pair]()
    for line in read_lines(listed):
        found = at_image(line)
        if found is not None:
            name = (
                next((name for name, path in images.items() if path == found), None)
                if found in at_image.known
                else None
            )
            if name is None:
                name = _without_ending(line)
                images = {**images, name: found}
            names.append(name)
            continue
        pair = next(_split_line(line, at_image, at_mask), None)
        if pair is None:
            names.append(line)
        else:
            both[pair.name] = pair if masks is not None else Pair(pair.name, pair.image, None)
    if masks is not None and both and not names:
        return [both[name] for name in sorted(both)]
    rest = paired(images, masks, *where, list(dict.fromkeys(names)))
    return sorted([*rest, *both.values()], key=lambda pair: pair.name)


def _split_line(line: str, at_image: _Finder, at_mask: _Finder) -> Iterator[Pair]:
    """Every way to read a line as an image and its mask."""
    for between in _BETWEEN:
        for gap in re.finditer(between, line):
            image = at_image(line[: gap.start()])
            mask = at_mask(line[gap.end() :])
            if image is not None and mask is not None:
                yield Pair(_without_ending(line[: gap.start()]), image, mask)
            elif image is not None and (line[gap.end() :].lower().endswith(NAMED_SUFFIXES)):
                fault(f"no mask {line[gap.end() :]} of the image {image}; the list names it as its second path")
                return


class _Finder:
    """Finds a file by its name, with or without folder and ending, or by its path below the base."""

    def __init__(self, base: Path, files: Mapping[str, Path]) -> None:
        self.base, self.known = base, set(files.values())
        self.by_key: dict[str, Path | None] = {}
        for name, path in files.items():
            relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
            for key in {name, name + path.suffix, relative, _without_ending(relative)}:
                self.by_key[key] = path
        for path in files.values():
            for key in {path.name, path.stem}:
                if self.by_key.get(key) != path:
                    self.by_key[key] = (
                        None if key in self.by_key else path
                    )  # of two with the same name neither is meant

    def __call__(self, text: str) -> Path | None:
        key = text.strip().strip("\"'").replace("\\", "/").removeprefix("./")
        path = self.by_key.get(key) or self.by_key.get(key.lstrip("/"))
        if path is not None:
            return path
        if not key.lower().endswith(NAMED_SUFFIXES):
            return None
        return next((path for path in (Path(key), self.base / key.lstrip("/")) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _without_ending(name: str) -> str:
    name = name.strip().replace("\\", "/").removeprefix("./").lstrip("/")
    ending = next((ending for ending in NAMED_SUFFIXES if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]
