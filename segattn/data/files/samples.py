"""Samples whose image is decoded later, and the fit of a label to an image of another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segattn.data._dataset import Sample
from segattn.data.files.decode import ImageFile
from segattn.data.files.masks import resized_label
from segattn.data.files.pixels import turned_by_exif


@dataclass(frozen=True)
class LazySample:
    """A sample with its label read and its image still encoded."""

    name: str
    label: np.ndarray | None
    file: ImageFile

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.file.size

    def top_left(self, rows: int, columns: int) -> np.ndarray | Image.Image:
        """At least the first rows and columns of the image, RGB."""
        return self.file.top_left(rows, columns)


def fitted(
    name: str, file: ImageFile, label: np.ndarray, resize: str | None, label_path: Path, turn: int = 1
) -> LazySample | Sample:
    """A sample of an image and its label, of which one is resized to the other's size where `resize` says so (`PairReader`).

    Raises:
        ValueError: they differ in size and nothing is resized, or they differ in shape.
    """
    if file.size == label.shape:
        return LazySample(name, label, file)
    sizes = f"{file.path} is {_size(file.size)} (width x height) but its label {label_path} is {_size(label.shape)}; "
    turned = turned_by_exif(turn, (file.size, label.shape))
    if not resize:
        scaled = resize is not None and not turned and similar(file.size, label.shape)
        advice = ": make it so, or add the data option resize_masks=nearest" if scaled else ""
        raise ValueError(f"{sizes}they must have the same size{turned}{advice}")
    if not similar(file.size, label.shape):
        raise ValueError(f"{sizes}to resize them, height and width must have the same ratio{turned}")
    if resize == "masks":
        return LazySample(name, resized_label(label, file.size), file)
    resized = [
        np.asarray(Image.fromarray(band).resize(label.shape[::-1], Image.Resampling.BILINEAR))
        for band in np.moveaxis(file.pixels(), 2, 0)
    ]
    return Sample(np.stack(resized, axis=2), label, name)


def similar(size: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two sizes have the same ratio of height and width, up to one pixel of the smaller and 2 %."""
    ratio = size[0] * other[1] / max(1, size[1] * other[0])
    tolerance = 0.02 + 1 / max(1, min(*size, *other))
    return 1 / (1 + tolerance) <= ratio <= 1 + tolerance


def _size(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"


def resizing(what: str, masks: str | None, images: str | None) -> str:
    """`masks`, `images` or nothing: which of a pair of different sizes is resized.

    Raises:
        ValueError: both, or another way than nearest for masks and bilinear for images.
    """
    for option, way, known in (("resize_masks", masks, "nearest"), ("resize_images", images, "bilinear")):
        if way not in (None, known):
            raise ValueError(f"{option}={way!r} of data set {what}; give {known}, or leave it out")
    if masks and images:
        raise ValueError(f"resize_masks and resize_images of data set {what} contradict each other; give one of them")
    return "masks" if masks else "images" if images else ""
