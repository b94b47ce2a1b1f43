"""Augmented samples as training sees them, each beside its label: to see that data are read as they are meant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segattn.config import Augmentation
from segattn.data._dataset import IGNORE, Dataset
from segattn.data.files.shown import shown
from segattn.data.loader import TrainingStream
from segattn.data.rare_classes import RareClasses
from segattn.data.transforms import Normalization, augment

GREY = (150, 150, 150)
"""Ignored pixels, which are hatched too."""
_DARK = (90, 90, 90)
_GAP, _LINE = 8, 18
_OPACITY = 0.6


@dataclass(frozen=True)
class Sheet:
    """A picture of samples, and what its labels hold."""

    picture: np.ndarray
    """uint8 (H, W, 3)."""
    pixels: Counter[int]
    """Of each class, and of 255, on the whole sheet."""


def sheet(
    dataset: Dataset,
    augmentation: Augmentation,
    *,
    samples: int = 8,
    columns: int = 2,
    tile: int = 320,
    seed: int = 0,
    network: object = None,
    rare: RareClasses | None = None,
) -> Sheet:
    """The first samples of a training with this seed, in pairs: the augmented crop, and its label over it.

    Args:
        columns: pairs side by side.
        tile: longest side of a crop on the sheet, in pixels; the crop itself is not changed.
        rare: as of `TrainingStream`.
        network: as of `TrainingStream`; padding has its mean. Where the images have other bands, padding is mid-grey.

    Raises:
        ValueError: no samples, a split without labels, or a sample that cannot be read.
    """
    if samples < 1 or columns < 1 or tile < 16:
        raise ValueError(f"{samples} samples in {columns} columns of {tile} pixels; give at least 1, 1 and 16")
    normalization = _of_bands(dataset, Normalization.of(network))
    stream = TrainingStream(dataset, augmentation, batch_size=1, seed=seed, network=normalization, rare=rare)
    colour = normalization.colour
    pixels, pairs = Counter[int](), []
    for position in range(samples):
        wanted, index = stream.drawn(position)
        scene = dataset.lazily(index)
        image, label = augment(scene, np.random.default_rng((seed, position)), augmentation, colour, wanted=wanted)
        values, counts = np.unique(label, return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        image, label = _scaled(shown(image), label, tile)
        pairs.append((scene.name, image, overlay(image, label, dataset.palette)))
    return Sheet(_arranged(pairs, min(columns, samples)), pixels)


def _of_bands(dataset: Dataset, normalization: Normalization) -> Normalization:
    """The normalization, or one for the bands of the images where these are others."""
    bands = dataset[0].image.shape[2] if len(dataset) else normalization.in_channels
    return normalization if bands == normalization.in_channels else Normalization(in_channels=bands)


def overlay(image: np.ndarray, label: np.ndarray, palette: object) -> np.ndarray:
    """Classes in colour over an image, with dark outlines; ignored pixels are hatched in grey."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette  # type: ignore[arg-type,call-overload]
    mixed = (1 - _OPACITY) * image + _OPACITY * colours[label]
    edges = np.zeros(label.shape, bool)
    edges[:, 1:] |= label[:, 1:] != label[:, :-1]
    edges[1:] |= label[1:] != label[:-1]
    mixed[edges] *= 0.35
    rows, columns = np.indices(label.shape)
    stripes = (rows + columns) // 4 % 2 == 0
    ignored = label == IGNORE
    mixed[ignored & stripes], mixed[ignored & ~stripes] = GREY, _DARK
    return mixed.round().astype(np.uint8)


def _scaled(image: np.ndarray, label: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Both with `tile` as the longest side."""
    factor = tile / max(label.shape)
    size = max(1, round(label.shape[1] * factor)), max(1, round(label.shape[0] * factor))
    smooth = Image.Resampling.BICUBIC if factor < 1 else Image.Resampling.NEAREST
    picture = Image.fromarray(image).resize(size, smooth)
    return np.asarray(picture), np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))


def _arranged(pairs: list[tuple[str, np.ndarray, np.ndarray]], columns: int) -> np.ndarray:
    height, width = pairs[0][1].shape[:2]
    block = (2 * width + 2 + _GAP, height + _LINE + _GAP)
    rows = -(-len(pairs) // columns)
    canvas = Image.new("RGB", (columns * block[0] + _GAP, rows * block[1] + _GAP), (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for number, (name, image, labelled) in enumerate(pairs):
        left, top = _GAP + number % columns * block[0], _GAP + number // columns * block[1]
        draw.text((left, top + 2), _fitting(name, 2 * width, font), fill=(20, 20, 20), font=font)
        canvas.paste(Image.fromarray(image), (left, top + _LINE))
        canvas.paste(Image.fromarray(labelled), (left + width + 2, top + _LINE))
    return np.asarray(canvas)


def _fitting(name: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The name, or its end where it is too long."""
    text = name
    while len(text) > 4 and font.getlength(text) > width:
        text = "..." + text.removeprefix("...")[1:]
    return text
