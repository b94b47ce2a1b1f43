"""Bands of one image that lie in files of different sizes, such as those of 10 m and 20 m: brought to the size of the largest.

Pixels are areas, and the upper left corners of all bands coincide. Where the sizes allow an integer ratio k, so that a band has
H / k rows, rounded up or down, each of its pixels covers k x k pixels of the largest band, also at an odd H: 101 rows of 10 m and
51 of 20 m. Otherwise, such as 10 m and 15 m, all bands cover the same ground.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

WAYS = ("bilinear", "nearest")
"""How coarser bands are resized: interpolated between the centres of their pixels, or each pixel repeated."""
MOST = 32
"""Times that a band may be coarser than the largest one."""
Size = tuple[int, int]


class DifferentSizes(ValueError):
    """The bands of an image lie in files of different sizes."""


def to_one_size(images: Sequence[np.ndarray], paths: Sequence[Path], way: str | None) -> list[np.ndarray]:
    """The images, uint8 (H, W, bands), in the size of the largest; `way` is one of `WAYS`, or None: they must have one size.

    Raises:
        DifferentSizes: they have different sizes, and `way` is None or the sizes are not those of one image.
    """
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    if len(set(sizes)) == 1:
        return list(images)
    largest = max(range(len(sizes)), key=lambda index: sizes[index][0] * sizes[index][1])
    size = sizes[largest]
    unfit = [index for index, each in enumerate(sizes) if each != size and not is_coarser(size, each)]
    if way is None or unfit:
        other = unfit[0] if unfit else next(index for index, each in enumerate(sizes) if each != sizes[0])
        first = largest if unfit else 0
        advice = "resample them to one size" + ("" if unfit else ", or add the data option resize_bands=bilinear")
        if unfit and way is not None:
            advice = f"resize_bands takes bands that are up to {MOST} times coarser in both directions: {advice}"
        raise DifferentSizes(
            f"{paths[first]} is {_words(sizes[first])}, and {paths[other]} of the same image is {_words(sizes[other])}; {advice}"
        )
    return [_resized(image, size, way) for image in images]


def is_coarser(size: Size, other: Size) -> bool:
    """Whether `other`, height and width, can be `size` at a coarser resolution: one ratio fits both up to a pixel."""
    if min(*size, *other) < 1 or other[0] > size[0] or other[1] > size[1]:
        return False
    least = max(large / (small + 1) for large, small in zip(size, other, strict=True))
    most = min(large / (small - 1) if small > 1 else math.inf for large, small in zip(size, other, strict=True))
    return max(1.0, least) < min(MOST, most)


def _resized(image: np.ndarray, size: Size, way: str) -> np.ndarray:
    present = image.shape[0], image.shape[1]
    if present == size:
        return image
    ratio = _integer_ratio(size, present)
    covered = [Fraction(large, ratio) if ratio else Fraction(small) for large, small in zip(size, present, strict=True)]
    if way == "nearest":
        rows, columns = (
            np.minimum((2 * np.arange(large) + 1) * ground.numerator // (2 * large * ground.denominator), small - 1)
            for large, small, ground in zip(size, present, covered, strict=True)
        )
        return image[rows][:, columns]
    beyond = [(0, max(0, math.ceil(ground) - small)) for ground, small in zip(covered, present, strict=True)]
    padded = np.pad(image, (*beyond, (0, 0)), mode="edge")
    box = (0.0, 0.0, float(covered[1]), float(covered[0]))
    bands = [
        np.asarray(Image.fromarray(band).resize(size[::-1], Image.Resampling.BILINEAR, box=box))
        for band in np.moveaxis(padded, 2, 0)
    ]
    return np.stack(bands, axis=2)


def _integer_ratio(size: Size, other: Size) -> int | None:
    """The k of which `other` is `size` divided by k, rounded up or down; None if there is none."""
    exact = math.sqrt(size[0] * size[1] / (other[0] * other[1]))
    lengths = list(zip(size, other, strict=True))
    fitting = [k for k in range(2, MOST + 1) if all(small in (large // k, -(-large // k)) for large, small in lengths)]
    return min(fitting, key=lambda k: abs(k - exact), default=None)


def _words(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
