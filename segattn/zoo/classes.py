"""Class names and colours as the description of a network should have them."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any


def check_names(names: Any, where: str) -> None:
    """Raise ValueError unless these are 1 to 255 distinct names; `where` begins the message."""
    listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not listed or not 1 <= len(names) <= 255:
        raise ValueError(f"{where}: class_names should be a list of 1 to 255 names")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: class name {twice[0]!r} is given twice; classes need distinct names")


def palette_of(colours: Any, count: int, facts: Path) -> tuple[tuple[int, int, int], ...]:
    """The colours of `count` classes, as the file `facts` has them.

    Raises:
        ValueError: another number of them, or no whole numbers from 0 to 255.
    """
    try:
        palette = tuple((red, green, blue) for red, green, blue in colours)
    except (TypeError, ValueError):
        palette = ()
    if len(palette) != count or not all(type(value) is int and 0 <= value <= 255 for each in palette for value in each):
        raise ValueError(f"{facts}: palette should have a colour [red, green, blue] from 0 to 255 for each class")
    return palette


def colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Colours for classes that have none: hues at the golden ratio, so that neighbours differ."""
    hues = (index * 0.618034 % 1 for index in range(count))
    return tuple(tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, 0.9)) for hue in hues)  # type: ignore[misc]
