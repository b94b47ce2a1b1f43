"""Which options of `folder` read images that are not plain RGB: bands in files of their own, multi-band TIFF, other values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segattn.data.files.band_sizes import DifferentSizes
from segattn.data.files.bands import spanned
from segattn.data.files.decode import ImageFile
from segattn.data.files.pixels import AS_SHOWN, Reading, reading

_ANY_RANGE = (0, 1)
"""For images that are only looked at: those of any type can then be read."""


@dataclass(frozen=True)
class Looked:
    """One image."""

    size: tuple[int, int]
    """Height and width."""
    bands: int
    span: tuple[float, float] | None
    """Smallest and largest value of more than 8 bits, where they are known."""
    whole: bool
    """Whether these are whole numbers."""
    resized: bool
    """Whether its bands differ in size."""


def to_look(path: Path, patterns: Sequence[str]) -> Reading:
    """How to open images like this one; `patterns` are those of the files of their bands, empty if each image is one file."""
    if patterns:
        return reading("turn", _ANY_RANGE, list(patterns))
    try:
        ImageFile(path)
    except ValueError:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _of_tiff(path)
    return AS_SHOWN


def _of_tiff(path: Path) -> Reading:
    try:
        file = ImageFile(path, reading("turn", _ANY_RANGE, [1]))
    except ValueError:
        return AS_SHOWN  # whose error says what is wrong
    return reading("turn", _ANY_RANGE, file.stored)


def look(path: Path, how: Reading) -> Looked:
    """Look at one image.

    Raises:
        ValueError: it cannot be read, or its bands lie in files of different shapes.
    """
    try:
        file, resized = ImageFile(path, how), False
    except DifferentSizes:
        file, resized = ImageFile(path, replace(how, resize_bands="nearest")), True
    return Looked(file.size, file.stored or 3, file.span, file.largest is not None, resized)


def options_of(images: Sequence[Looked], how: Reading) -> dict[str, Any]:
    """Options for these images, which `how` opened; without the patterns of bands."""
    options: dict[str, Any] = {}
    if isinstance(how.bands, int):
        options["bands"] = how.bands
    if any(image.resized for image in images):
        options["resize_bands"] = "bilinear"
    if (span := spanned([image.span for image in images])) is not None:
        options["value_range"] = _range(*span, whole=all(image.whole for image in images if image.span is not None))
    return options


def _range(low: float, high: float, *, whole: bool) -> list[float]:
    """Black and white for values between `low` and `high`: a power of two for whole numbers, 1 for parts of 1."""
    if whole and low >= 0:
        return [0, 2 ** max(8, int(high).bit_length()) - 1]
    if low >= 0 and high <= 1:
        return [0, 1]
    if whole:
        return [int(low), max(int(high), int(low) + 1)]
    if low == high:
        return [low, low + 1]
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    return [round(math.floor(low / step) * step, 9), round(math.ceil(high / step) * step, 9)]
