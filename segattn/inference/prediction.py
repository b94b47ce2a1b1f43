"""One image, labelled in one call: `segattn.predict` without the loading of the network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from segattn.config import Evaluation
from segattn.data.files.decode import read_image
from segattn.data.files.display import png
from segattn.data.files.palette import voc_palette
from segattn.data.files.pixels import Reading, reading_for
from segattn.inference.files import Network, label_images
from segattn.inference.legend import Palette
from segattn.inference.probabilities import class_probabilities
from segattn.records.image_range import Outside

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor
_EIGHT_BIT = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB")
_BANDS = {"L": 1, "LA": 2, "RGBA": 4}
"""Of PIL images that networks of other bands than RGB take."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The labels of one image, and what can be had from them."""

    image: np.ndarray = field(repr=False)
    """uint8 (H, W, bands), RGB for most networks, as the network got it before normalisation."""
    labels: np.ndarray = field(repr=False)
    """uint8 (H, W), class indices; int64 of more than 256 classes."""
    class_names: tuple[str, ...]
    palette: Palette = field(repr=False)
    _model: Network = field(repr=False)
    _inference: Evaluation = field(repr=False)

    @property
    def picture(self) -> Image.Image:
        """The labels as a picture of mode P: its pixels are class indices, its palette the classes' colours.

        Raises:
            ValueError: more than 256 classes.
        """
        if len(self.palette) > 256:
            raise ValueError(f"a picture has at most 256 colours, for {len(self.palette)} classes; use labels")
        flat = [channel for colour in self.palette for channel in colour]
        picture = Image.fromarray(self.labels)
        picture.putpalette(flat + [0] * (768 - len(flat)))
        return picture

    def _repr_png_(self) -> bytes:
        return png(self.image, self.labels, self.palette)

    def probabilities(self) -> np.ndarray:
        """Class probabilities, float32 (K, H, W), which sum to 1 over the classes; the network runs again for them.

        They take 4 K H W bytes, while `labels` takes H W.

        Raises:
            ValueError: they do not fit into memory.
        """
        return class_probabilities(self._model, self.image, self._inference).cpu().numpy()


def predict_image(model: Network, image: ImageLike, inference: Evaluation | None = None) -> Prediction:
    """Label one image with a network in eval mode, on the network's device.

    Args:
        image: a path; a PIL image; RGB values uint8 (H, W, 3), or a tensor of them, (H, W, 3) or (3, H, W). For a network of
            other bands (H, W, bands), in the order of its training; of one band also (H, W).
        inference: whole image or windows, flip and scales; the whole image once by default.

    Warns if the image lies outside the range of the network's training images (`records.image_range`).

    Raises:
        ValueError: the image is of another type or shape, unreadable or does not fit into memory; the network is none of ours, or
            in training mode.
    """
    network: Any = getattr(model, "network", model)  # of an OptimizedModel
    if not hasattr(network, "class_names"):
        raise ValueError(
            f"{type(model).__name__} is no network of segattn; give one of load_model, load_exported or create_model, or its name"
        )
    pixels, inference = _pixels_of(image, network.in_channels, reading_for(network)), inference or Evaluation()
    labels = label_images(model, [pixels], inference)[0].label
    compared = Outside(network.image_range)
    compared.note("the image", pixels)
    if compared.num_outside:
        warnings.warn(compared.sentence(), stacklevel=3)
    names = network.class_names or tuple(f"class {index}" for index in range(network.num_classes))
    return Prediction(pixels, labels, names, network.palette or voc_palette(network.num_classes), model, inference)


def _pixels_of(image: ImageLike, bands: int, how: Reading) -> np.ndarray:
    """The image as uint8 (H, W, bands), RGB if there are three; of a path or a PIL image upright, as its EXIF orientation says.

    Raises:
        ValueError: another type, shape or number format; an unreadable file; transparency.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), how)
    if isinstance(image, Image.Image):
        return _of_picture(image, bands)
    if isinstance(image, Tensor):
        image = image.detach().cpu().numpy()
        if image.ndim == 3 and image.shape[0] == bands and image.shape[2] != bands:
            image = image.transpose(1, 2, 0)
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"an image of type {type(image).__name__} is not taken; give a path, a PIL image, an array or a tensor"
        )
    pixels = image[:, :, None] if image.ndim == 2 and bands == 1 else image
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != bands or 0 in pixels.shape:
        what = "RGB values" if bands == 3 else f"the network's {bands} band{'' if bands == 1 else 's'}, values"
        raise ValueError(
            f"an image of shape {tuple(image.shape)} and type {image.dtype} is not taken; give {what} from 0 to 255 as uint8 "
            f"(H, W, {bands}), not normalised"
        )
    return np.ascontiguousarray(pixels)


def _of_picture(image: Image.Image, bands: int) -> np.ndarray:
    """A PIL image as uint8 (H, W, bands), upright."""
    if bands != 3:
        if _BANDS.get(image.mode) != bands:
            raise ValueError(
                f"a PIL image of mode {image.mode} is not taken by a network of {bands} band{'' if bands == 1 else 's'}; give "
                f"the path of its file, or an array (H, W, {bands})"
            )
        pixels = np.array(ImageOps.exif_transpose(image))
        return pixels if pixels.ndim == 3 else pixels[:, :, None]
    if image.mode not in _EIGHT_BIT or "transparency" in image.info:
        raise ValueError(
            f"a PIL image of mode {image.mode} {'with transparency ' * ('transparency' in image.info)}is not taken; give the "
            "path of its file, or convert it to mode RGB"
        )
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def evaluation_of(
    *,
    mode: str = "whole",
    crop_size: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> Evaluation:
    """The settings of `config.Evaluation` that a prediction has; ValueError as there."""
    window, step = (None if size is None else (int(size[0]), int(size[1])) for size in (crop_size, stride))
    return Evaluation(mode=mode, crop_size=window, stride=step, flip=flip, scales=tuple(scales))  # type: ignore[arg-type]
