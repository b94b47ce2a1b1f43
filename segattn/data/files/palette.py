"""The colours of PASCAL VOC's masks, which also stand in for the colours of classes that have none."""

from __future__ import annotations


def voc_colour(index: int) -> tuple[int, int, int]:
    """Colour of a class index, 0 to 255: its bits, three by three, from the highest of red, green and blue down.

    >>> voc_colour(0), voc_colour(1), voc_colour(15), voc_colour(255)
    ((0, 0, 0), (128, 0, 0), (192, 128, 128), (224, 224, 192))
    """
    red, green, blue = (
        sum((index >> (3 * place + channel) & 1) << (7 - place) for place in range(8)) for channel in range(3)
    )
    return red, green, blue


def voc_palette(count: int) -> list[tuple[int, int, int]]:
    """Colours of the first `count` classes; up to 256 they are all different."""
    return [voc_colour(index) for index in range(count)]


def flat_voc_palette() -> list[int]:
    """All 256 colours in a row, as Pillow's `putpalette` takes them."""
    return [channel for colour in voc_palette(256) for channel in colour]
