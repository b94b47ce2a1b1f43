"""Joint augmentation of image and label: random scale, crop with padding, flip, photometric distortion.

The order and the ranges are those of mmsegmentation's pipelines (`RandomResize`, `RandomCrop` with `cat_max_ratio`,
`RandomFlip`, `PhotoMetricDistortion`, `Pad`), the distortion is that of SSD (Liu et al., arXiv 1512.02325). Two differences:

* The crop window is chosen first and only its part of the source is resized. That gives the pixels of scale-then-crop,
  because each output pixel's filter is centred on the same source position and may reach beyond the window. Of a PNG
  what lies below the window, or to the right of it, is not even decoded.
* Pillow's bilinear filter widens when it shrinks an image (antialiasing), OpenCV's does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segattn.config import Augmentation, Model
from segattn.data._dataset import IGNORE, Scene
from segattn.data._photometric import distort
from segattn.data.rare_classes import HOLDS, presence

LONGEST = 4
"""The long side of a resized image is at most this many times `short_side`."""
_CROP_TRIES = 10  # as mmsegmentation's cat_max_ratio


@dataclass(frozen=True)
class Normalization:
    """How an image enters a network: its bands, the mean and standard deviation of each (0 to 1), and the order of RGB.

    Mean and std that are left at ImageNet's say nothing about other bands than RGB: 0.5 and 0.25 take their place.
    """

    mean: tuple[float, ...] = Model.mean
    std: tuple[float, ...] = Model.std
    channel_order: str = Model.channel_order
    in_channels: int = Model.in_channels

    def __post_init__(self) -> None:
        if not self.is_given:
            object.__setattr__(self, "mean", (_MEAN,) * self.in_channels)
            object.__setattr__(self, "std", (_STD,) * self.in_channels)
        what, some = _BANDS.get(self.in_channels, (f"the {self.in_channels} bands", f"{self.in_channels} numbers"))
        if len(self.mean) != self.in_channels or not all(map(math.isfinite, self.mean)):
            raise ValueError(f"model.mean is {self.mean}; give {some}, of {what} from 0 to 1{self._advice}")
        if len(self.std) != self.in_channels or not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"model.std is {self.std}; give {some} above 0, of {what}{self._advice}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"model.channel_order is {self.channel_order!r}; give 'rgb' or 'bgr'")
        if self.channel_order == "bgr" and self.in_channels != 3:
            raise ValueError(
                f"model.channel_order=bgr is for 3 bands, and model.in_channels is {self.in_channels}; order the bands with the "
                "data option bands, such as bands=[3,2,1,4]"
            )

    @staticmethod
    def of(network: object) -> Normalization:
        """What a network, or an experiment's `model`, declares; ImageNet's values and RGB where it declares nothing."""
        names = [field.name for field in fields(Normalization)]
        values: dict[str, Any] = {name: getattr(network, name, getattr(IMAGENET, name)) for name in names}
        return Normalization(**values)

    @property
    def is_given(self) -> bool:
        """Whether mean and std belong to these bands: they were given, or the bands are RGB."""
        unset = {Model.mean, Model.std, (_MEAN,) * self.in_channels, (_STD,) * self.in_channels}
        return self.in_channels == 3 or not {self.mean, self.std} <= unset

    @property
    def _advice(self) -> str:
        return "" if self.in_channels == 3 else "; `segattn data statistics` computes them from the training images"

    def check(self, bands: int, what: str) -> None:
        """Raise ValueError unless an image, called `what`, has as many bands as the network takes."""
        if bands != self.in_channels:
            raise ValueError(
                f"{what} has {bands} band{'' if bands == 1 else 's'}, and the network takes {self.in_channels}; set "
                f"model.in_channels to {bands}, or choose {self.in_channels} with the data option bands (docs/bands.md)"
            )

    @property
    def colour(self) -> tuple[int, ...]:
        """The mean as 8-bit values, such as red, green and blue."""
        return tuple(min(255, max(0, round(255 * channel))) for channel in self.mean)


_MEAN, _STD = 0.5, 0.25  # of bands without statistics
_BANDS = {3: ("red, green and blue", "three numbers"), 1: ("the only band", "one number")}
IMAGENET = Normalization()
PAD_COLOUR = IMAGENET.colour


def augment(
    sample: Scene,
    rng: np.random.Generator,
    augmentation: Augmentation,
    colour: tuple[int, ...] = PAD_COLOUR,
    *,
    wanted: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Augment a labelled sample.

    Args:
        wanted: a class; crops are redrawn (up to 10 times) while it covers less than `rare_classes.LEAST` of the labelled pixels.

    Returns:
        image uint8 (h, w, bands) and label uint8 (h, w) of `crop_size`; padding below and to the right is `colour`, by default
        the ImageNet mean, and 255. Every label value is one of the sample's or 255.

    Raises:
        ValueError: the sample has no label, or image and label are of different size.
    """
    window, label, flipped = _cropped(sample, rng, augmentation, wanted)
    image = window.image(sample)
    image = image[:, ::-1] if flipped else image
    if augmentation.photometric:
        image = distort(image, rng)
    return _padded(image, augmentation.crop_size, colour), label


def augmented_label(sample: Scene, rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """The label that `augment` returns, without its image; errors as there."""
    return _cropped(sample, rng, augmentation, None)[1]


def _cropped(
    sample: Scene, rng: np.random.Generator, augmentation: Augmentation, wanted: int | None
) -> tuple[_Window, np.ndarray, bool]:
    """The window, its label in full size, and whether both are flipped."""
    if sample.label is None:
        raise ValueError(f"{sample.name} has no label; training needs a labelled split")
    if sample.label.shape != sample.size:
        raise ValueError(f"{sample.name}: image of shape {sample.size} and label of {sample.label.shape}")
    window = _Window.draw(sample.label, rng, augmentation, wanted)
    label, flipped = window.label(sample.label), rng.random() < augmentation.flip
    return window, _padded(label[:, ::-1] if flipped else label, augmentation.crop_size, IGNORE), flipped


def fit_short_side(size: Sequence[int], short_side: int) -> float:
    """Factor that brings an image of `size` to this short side, or its long side to 4 times that if it would be longer.

    mmsegmentation's (2048, 512) of ADE20K, VOC and COCO-Stuff is `short_side=512`.

    >>> fit_short_side((683, 512), 512), fit_short_side((256, 2048), 512)
    (1.0, 1.0)
    """
    return min(short_side / min(size), LONGEST * short_side / max(size))


@dataclass(frozen=True)
class _Window:
    """Rows top..bottom and columns left..right of the image scaled to (height, width)."""

    height: int
    width: int
    top: int
    left: int
    bottom: int
    right: int

    @staticmethod
    def draw(label: np.ndarray, rng: np.random.Generator, augmentation: Augmentation, wanted: int | None) -> _Window:
        scale = rng.uniform(*augmentation.scale_range)
        if augmentation.short_side is not None:
            scale *= fit_short_side(label.shape, augmentation.short_side)
        height, width = (max(1, round(extent * scale)) for extent in label.shape)
        for _ in range(_CROP_TRIES):
            top = int(rng.integers(max(0, height - augmentation.crop_size[0]) + 1))
            left = int(rng.integers(max(0, width - augmentation.crop_size[1]) + 1))
            bottom, right = min(height, top + augmentation.crop_size[0]), min(width, left + augmentation.crop_size[1])
            window = _Window(height, width, top, left, bottom, right)
            if augmentation.max_class_share >= 1 and wanted is None:
                break
            # np.bincount would first convert the bytes to 64-bit integers
            counts = np.array(Image.fromarray(window.label(label)).histogram()[:IGNORE])
            balanced = counts.max() / max(1, counts.sum()) <= augmentation.max_class_share
            if balanced and (wanted is None or presence(counts)[wanted] == HOLDS):
                break
        return window

    def label(self, label: np.ndarray) -> np.ndarray:
        rows = _nearest(self.top, self.bottom, self.height, label.shape[0])
        columns = _nearest(self.left, self.right, self.width, label.shape[1])
        part = label[:, columns[0] : columns[-1] + 1][rows]
        return np.take(part, columns - columns[0], axis=1, mode="clip")  # nothing to clip: that mode is the fast one

    def image(self, sample: Scene) -> np.ndarray:
        H, W = sample.size
        y0, y1, rows = _span(self.top, self.bottom, self.height, H)
        x0, x1, columns = _span(self.left, self.right, self.width, W)
        size = (self.right - self.left, self.bottom - self.top)
        top = sample.top_left(rows.stop, columns.stop)
        box = (x0 - columns.start, y0 - rows.start, x1 - columns.start, y1 - rows.start)
        if not isinstance(top, Image.Image):
            return resized(top[rows, columns], size, box)
        part = top.crop((columns.start, rows.start, columns.stop, rows.stop))
        return np.asarray(part.resize(size, Image.Resampling.BILINEAR, box=box))


def resized(
    image: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """uint8 (H, W, bands), or its part `box` (left, top, right, bottom), resized bilinearly to `size`, width and height.

    Each band is resized alone: of four, Pillow would take the last for transparency, and weigh the others with it.
    """
    if image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=box))
    planes = (Image.fromarray(plane) for plane in np.ascontiguousarray(image.transpose(2, 0, 1)))
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box=box)) for plane in planes], axis=2)


def _span(start: int, stop: int, scaled: int, source: int) -> tuple[float, float, slice]:
    """Where scaled pixels start..stop lie in the source, and the part of it that the filter reaches."""
    low, high = start * source / scaled, min(source, stop * source / scaled)
    reach = math.ceil(max(1, source / scaled)) + 1
    return low, high, slice(max(0, math.floor(low) - reach), min(source, math.ceil(high) + reach))


def _nearest(start: int, stop: int, scaled: int, source: int) -> np.ndarray:
    """Source index under the centre of each scaled pixel, in whole numbers."""
    return (2 * np.arange(start, stop) + 1) * source // (2 * scaled)


def _padded(array: np.ndarray, size: tuple[int, int], value: int | tuple[int, ...]) -> np.ndarray:
    if array.shape[:2] == size:
        return np.ascontiguousarray(array)
    out = np.empty((*size, *array.shape[2:]), np.uint8)
    out[:] = value
    out[: array.shape[0], : array.shape[1]] = array
    return out


def to_tensor(image: np.ndarray, normalization: Normalization = IMAGENET) -> Tensor:
    """uint8 (H, W, bands) to float32 (bands, H, W) as the network takes it (`Normalization.of(model)`).

    Raises:
        ValueError: the network takes another number of bands.
    """
    normalization.check(image.shape[2], "the image")
    channels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()
    mean, std = normalization.mean, normalization.std
    scale = torch.tensor([1 / (255 * each) for each in std])
    shift = torch.tensor([-each / deviation for each, deviation in zip(mean, std, strict=True)])
    channels = channels.mul_(scale[:, None, None]).add_(shift[:, None, None])
    return channels if normalization.channel_order == "rgb" else channels.flip(0)


def to_image(tensor: Tensor, normalization: Normalization = IMAGENET) -> np.ndarray:
    """Undo `to_tensor`: float (bands, H, W) to uint8 (H, W, bands)."""
    channels = tensor.detach().cpu().float()
    channels = channels if normalization.channel_order == "rgb" else channels.flip(0)
    mean, std = torch.tensor(normalization.mean)[:, None, None], torch.tensor(normalization.std)[:, None, None]
    return (channels * std + mean).mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
