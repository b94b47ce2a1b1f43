"""The range of a network's training images, which its `config.json` keeps, and which other images lie outside of it.

Of each image the mean and the standard deviation of every band are taken, in values from 0 to 1. An image is outside if one of
them lies below the lowest or above the highest of the training images by more than a margin:

    margin = max(2 s, 0.05 + 0.5 / n)

s is the standard deviation of that number over the n training images. So an image as dark or bright as the training images is
never outside, and 12-bit values read as 16 bits are. Red and blue in the wrong order change these numbers little; they are seen
only over `SWAPPED` images or more, where the training images have a colour cast and the other images have its opposite.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np

SPREADS, LEAST = 2.0, 0.05
SWAPPED = 8
_PIXELS = 2**16
"""About as many pixels of an image are taken, in even steps."""


@dataclass(frozen=True)
class Spread:
    """One number over all training images."""

    low: float
    high: float
    average: float
    spread: float
    """Standard deviation over the images."""

    def beyond(self, value: float, count: int) -> float:
        """How far `value` lies outside, as a multiple of the margin; above 1 is outside, 0 is inside."""
        distance = max(self.low - value, value - self.high, 0.0)
        return distance / self.margin(count)

    def margin(self, count: int) -> float:
        """The margin for the numbers of `count` images."""
        return max(SPREADS * self.spread, LEAST + 0.5 / count)


@dataclass(frozen=True, kw_only=True)
class ImageRange:
    """Of the training images, and how their pixels were read."""

    count: int
    """Images that were looked at."""
    means: tuple[Spread, ...]
    """Of the means of each band."""
    deviations: tuple[Spread, ...]
    """Of the standard deviations of each band."""
    cast: Spread | None = None
    """Of the first band's mean minus the last one's; None unless there are three bands."""
    value_range: tuple[float, float] | None = None
    """Values of black and white in images of more than 8 bits; None: those of their type."""
    bands: int | tuple[int | str, ...] | None = None
    """As the data option of this name; None: RGB."""
    resize_bands: str | None = None
    """As the data option of this name."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, without what is None."""
        raw: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in raw.items() if value is not None}


def moments(image: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each band of an image uint8 (H, W, bands), float64 (2, bands), in values from 0 to 1.

    Of large images every k-th row and column is taken, the same ones for each size.
    """
    step = max(1, math.isqrt(image.shape[0] * image.shape[1] // _PIXELS))
    pixels = image[step // 2 :: step, step // 2 :: step].reshape(-1, image.shape[2]) / 255
    return np.stack([pixels.mean(0), pixels.std(0)])


def image_range(
    images: Sequence[np.ndarray],
    *,
    value_range: tuple[float, float] | None = None,
    bands: int | tuple[int | str, ...] | None = None,
    resize_bands: str | None = None,
) -> ImageRange | None:
    """The range of images, from the `moments` of each; None if there are none, or if their numbers of bands differ."""
    if not images or len({each.shape for each in images}) > 1:
        return None
    means, deviations = np.stack(images, axis=1)  # (n, bands) each
    return ImageRange(
        count=len(images),
        means=tuple(map(_spread, means.T)),
        deviations=tuple(map(_spread, deviations.T)),
        cast=_spread(means[:, 0] - means[:, 2]) if means.shape[1] == 3 else None,
        value_range=value_range,
        bands=bands,
        resize_bands=resize_bands,
    )


def read_range(raw: Any, where: object) -> ImageRange | None:
    """What `ImageRange.to_dict` gave; None where the file named by `where` has none, as those of earlier versions.

    Raises:
        ValueError: damaged.
    """
    if raw is None:
        return None
    try:
        images = msgspec.convert(raw, ImageRange)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: images is damaged ({error!s:.200})") from None
    bands = images.bands if isinstance(images.bands, tuple) else (1 if images.bands is None else images.bands,)
    numbers = [1 if isinstance(band, str) else band for band in bands]
    if images.count < 1 or not len(images.means) == len(images.deviations) > 0 or min(numbers, default=0) < 1:
        raise ValueError(f"{where}: images is damaged (it counts {images.count} images of {len(images.means)} bands)")
    return images


def _spread(values: np.ndarray) -> Spread:
    numbers = values.min(), values.max(), values.mean(), values.std()
    return Spread(*(round(float(number), 6) for number in numbers))


class Outside:
    """Compares images with the range of a network's training images; a network without one finds nothing."""

    def __init__(self, trained: ImageRange | None) -> None:
        self.trained = trained
        self.count = self.num_outside = 0
        self._casts: list[float] = []
        self._worst = 1.0
        self._example = ""

    def note(self, name: str, image: np.ndarray) -> None:
        """Compare one image, uint8 (H, W, bands)."""
        if self.trained is not None:
            self.add(name, moments(image))

    def add(self, name: str, numbers: np.ndarray) -> None:
        """Compare one image by its `moments`; one of other bands, which the network refuses, does not count."""
        trained = self.trained
        if trained is None or numbers.shape[1] != len(trained.means):
            return
        self.count += 1
        if trained.cast is not None:
            self._casts.append(float(numbers[0, 0] - numbers[0, 2]))
        pairs = [("mean", trained.means, numbers[0]), ("standard deviation", trained.deviations, numbers[1])]
        beyond = [
            (spread.beyond(float(value), trained.count), what, band, spread, float(value))
            for what, spreads, values in pairs
            for band, (spread, value) in enumerate(zip(spreads, values, strict=True))
        ]
        far, what, band, spread, value = max(beyond, key=lambda each: each[0])
        self.num_outside += far > 1
        if far > self._worst:
            self._worst = far
            self._example = (
                f"the {what} of {self._band(band)} of {name} is {value:.3f}; in training it was {spread.low:.3f} to "
                f"{spread.high:.3f} (margin {spread.margin(trained.count):.3f})"
            )

    def sentence(self) -> str:
        """What is unusual about all these images, in one line; empty if nothing is."""
        if self._is_swapped():
            assert self.trained is not None
            assert self.trained.cast is not None
            return (
                f"{self._band(0)} and {self._band(2)} of these {self.count} images seem to be exchanged: their mean difference "
                f"is {np.mean(self._casts):+.3f}; in training it was {self.trained.cast.average:+.3f}"
            )
        if self.num_outside:
            some = f"{self.num_outside} of {self.count} images" if self.count > 1 else "the image"
            lie, worst = ("lies", "") if self.num_outside == 1 else ("lie", "; worst")
            return (
                f"{some} {lie} outside the range of the training images, and the labels may be wrong{worst}: {self._example}. "
                "Check bit depth, scale and order of the bands"
            )
        return ""

    def _is_swapped(self) -> bool:
        """Whether the average cast is far from that of the training images, and near it with red and blue exchanged."""
        cast = None if self.trained is None else self.trained.cast
        if cast is None or len(self._casts) < SWAPPED:
            return False
        average = float(np.mean(self._casts))
        distance, exchanged = abs(average - cast.average), abs(-average - cast.average)
        return distance > max(1.5 * cast.spread, 0.02) and exchanged < distance / 3

    def _band(self, band: int) -> str:
        trained = self.trained
        assert trained is not None
        if len(trained.means) == 3 and trained.bands is None:
            return ("red", "green", "blue")[band]
        return f"band {band + 1}"
