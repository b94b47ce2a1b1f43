"""Images whose bands lie in files of their own, such as `scene_B04.tif` and `scene_B08.tif`: which files belong together.

Each band has a pattern, which the end of its path matches:

_B04.tif                an ending; what stands before it is the name of the image
*/B04.tif, B04/*.tif    * is the name of the image
B04/{split}/*.tif       {split} is the folder of a split

A path that several patterns match belongs to the one with the most letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

SPLIT = "{split}"
_TOKENS = {"*": r"(?P<name>[^/]*)", SPLIT: r"(?P<split>[^/]+)"}


def checked(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns without `**/`, which all of them imply.

    Raises:
        ValueError: two of a kind, or one with other wildcards or without the ending of a file.
    """
    plain = tuple(text.replace("\\", "/").removeprefix("./").removeprefix("**/") for text in patterns)
    for text in plain:
        rest = text.replace(SPLIT, "")
        if text.count("*") > 1 or text.count(SPLIT) > 1 or re.search(r"[?\[\]{}]", rest) or text.startswith("/"):
            raise ValueError(
                f"bands has {text!r}; give the ending of the band's files, such as _B04.tif, or a pattern with one *, in quotes: "
                "bands=['B04/*.tif','B08/*.tif']"
            )
        if not re.search(r"[^/*.]*\.\w+$", text):
            raise ValueError(f"bands has {text!r}, which names no kind of file; give its ending too, such as _B04.tif")
    if len({text.removeprefix("*") for text in plain}) < len(plain):
        raise ValueError(f"bands names the same files twice: {', '.join(plain)}; give each band once")
    if len({SPLIT in text for text in plain}) > 1:
        raise ValueError(f"bands has {SPLIT} in some patterns only: {', '.join(plain)}; give it in all or none")
    return plain


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|\{split\})", _template(pattern))
    return re.compile("(?P<before>(?:.*/)?)" + "".join(_TOKENS.get(part) or re.escape(part) for part in parts))


def _template(pattern: str) -> str:
    return pattern if "*" in pattern else "*" + pattern


def _matched(path: str, patterns: Sequence[str]) -> tuple[int, re.Match[str]] | None:
    """Number of the band of a path, and what its pattern found."""
    matches = [(index, _expression(pattern).fullmatch(path)) for index, pattern in enumerate(patterns)]
    fitting = [(index, match) for index, match in matches if match is not None]
    return max(fitting, key=lambda each: len(patterns[each[0]]), default=None)


def band_of(path: str, patterns: Sequence[str]) -> tuple[int, str, str] | None:
    """Number of the band of a file, the name of its image, and the folder of its split; None if it belongs to no band.

    >>> band_of("north/a_B08.tif", ("_B04.tif", "_B08.tif")), band_of("a/B04.tif", ("B04.tif", "B08.tif"))
    ((1, 'north/a', ''), (0, 'a', ''))
    """
    matched = _matched(path, patterns)
    if matched is None:
        return None
    index, match = matched
    return index, (match["before"] + match["name"]).strip("/"), match.groupdict().get("split") or ""


def of_image(path: Path, patterns: Sequence[str]) -> tuple[Path, ...]:
    """The files of all bands of the image that `path` is a band of, in the order of the patterns.

    Raises:
        ValueError: it matches none of them.
    """
    matched = _matched(path.as_posix(), patterns)
    if matched is None:
        raise ValueError(f"{path}: none of the bands {', '.join(patterns)}")
    match = matched[1].groupdict()
    filled = (_template(text).replace("*", match["name"]).replace(SPLIT, match.get("split") or "") for text in patterns)
    return tuple(Path(match["before"] + text) for text in filled)


def image_name(path: Path, patterns: Sequence[str]) -> str:
    """The last part of the name of an image that `path` is a band of: that of its folder, where the bands have no other name."""
    found = band_of(path.as_posix(), patterns)
    return found[1].rpartition("/")[2] if found is not None and found[1] else path.stem
