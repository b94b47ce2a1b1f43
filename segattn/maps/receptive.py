"""The effective receptive field of a network: how much the pixels around one, near and far, change its logit.

Luo, Li, Urtasun, Zemel: *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, NeurIPS 2016,
arXiv 1701.04128. For a position p of the feature map and the class c that the network predicts there,

    g(q) = sum over the bands b of |d logit[c, p] / d x[b, q]|         share(q) = g(q) / sum over all pixels of g

averaged over images. `image` is that of the pixels, in the image as the network takes it; `features` is the same of the positions
of the backbone's last map, with a sum over its channels: what the head adds by itself. Logits are the head's, before they are
brought to the image's size. The gradient is that of training: what a head holds constant there, such as EMANet's bases, carries
none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segattn.data.files.pixels import reading_for
from segattn.data.transforms import Normalization
from segattn.maps.look import Picture, _checked, _head_name, _read
from segattn.maps.placement import centre_of, position_under
from segattn.model import SegmentationModel


@dataclass(frozen=True, eq=False)
class Spread:
    """Where the gradient of one logit lies, relative to its position."""

    shares: np.ndarray
    """float32 (2 m + 1, 2 n + 1), sum 1: the position is in the middle; 0 where no image reaches."""
    within: np.ndarray
    """float64 (R + 1): the share at a distance of at most 0, 1, ..., R; the last is 1."""

    def beyond(self, distance: float) -> float:
        """The share of the gradient further away than `distance`, in [0, 1].

        Raises:
            ValueError: a distance below 0.
        """
        if not distance >= 0:
            raise ValueError(f"distance {distance} is not possible; give 0 or more")
        return max(0.0, 1.0 - float(self.within[min(math.floor(distance), len(self.within) - 1)]))

    def radius(self, share: float) -> int:
        """The smallest whole distance within which this share of the gradient lies.

        Raises:
            ValueError: a share that is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share {share} is not possible; give a number above 0, at most 1")
        return int(np.argmax(self.within >= share - 1e-9))


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The effective receptive field of one network."""

    name: str
    """The network's, by default its head's."""
    num_images: int
    image: Spread
    """Distances in pixels of the image as the network took it."""
    features: Spread | None
    """Distances in positions; None where the head reads other maps of the backbone only."""

    def __repr__(self) -> str:
        half, most = self.image.radius(0.5), self.image.radius(0.9)
        images = f"{self.num_images} image{'s' * (self.num_images != 1)}"
        return f"<{self.name}: half of the gradient within {half} px, 90 % within {most} px, {images}>"


def receptive_field(
    model: SegmentationModel,
    images: Iterable[Picture],
    *,
    pixel: tuple[int, int] | None = None,
    name: str | None = None,
    max_side: int | None = None,
) -> ReceptiveField:
    """The effective receptive field of one position, averaged over images, which count alike and may differ in size.

    One image is held at a time: memory is that of a forward and a backward pass of one image, without gradients of parameters.

    Args:
        images: as in `attention_maps`; taken one after the other.
        pixel: (x, y), the same in all images; the middle of each unless given. The position of the feature map under it counts.
        name: what figures call the network; its head's name unless given.
        max_side: scale larger images down to this many pixels on their longer side first.

    Raises:
        ValueError: no image, one that cannot be read, a pixel outside it, a model in training mode, or a logit that does not
            depend on the image.
    """
    if model.training:
        raise ValueError("the model is in training mode, where it gives several outputs; call model.eval() first")
    normalization, how = Normalization.of(model), reading_for(model)
    on_image, on_features, count = _Mean(), _Mean(), 0
    for count, image in enumerate(images, start=1):
        tensor, size = _read(image, max_side, normalization, how)
        at = (size[1] // 2, size[0] // 2) if pixel is None else _checked(pixel, *size)
        for mean, added in zip((on_image, on_features), _gradients(model, tensor, at, size, count), strict=True):
            if added is not None:
                mean.add(*added)
    if count == 0:
        raise ValueError("there is no image to take the gradient of; give at least one")
    spread = on_image.spread()
    if spread is None:
        raise ValueError(f"{name or _head_name(model.head)}: the logits do not depend on the image; train the network")
    return ReceptiveField(name or _head_name(model.head), count, spread, on_features.spread())


Gradient = tuple[np.ndarray, tuple[float, float]]
"""|gradient| summed over channels, float64 (h, w), and (row, column) of the position in it."""


def _gradients(
    model: SegmentationModel, tensor: Tensor, pixel: tuple[int, int], size: tuple[int, int], number: int
) -> tuple[Gradient | None, Gradient | None]:
    """On the image and on the backbone's last map; None where there is none."""
    H, W = tensor.shape[-2:]
    spot = (min(int((pixel[0] + 0.5) * W / size[1]), W - 1), min(int((pixel[1] + 0.5) * H / size[0]), H - 1))
    with torch.enable_grad():
        image = tensor[None].to(next(model.parameters()).device).requires_grad_()
        features = list(model.backbone(image))
        last = features[-1] if features[-1].requires_grad else features[-1].requires_grad_()
        logits = model.head(features)["out"].float()
        grid = (logits.shape[-2], logits.shape[-1])
        row, column = position = position_under(spot, (H, W), grid, align_corners=model.align_corners)
        at_position = logits[0, :, row, column]
        if not at_position.requires_grad:
            return None, None
        gradients = torch.autograd.grad(at_position[at_position.argmax()], (image, last), allow_unused=True)
    centre = centre_of(position, (H, W), grid, align_corners=model.align_corners)
    cell = tuple((at + 0.5) * n / m - 0.5 for at, n, m in zip(position, last.shape[-2:], grid, strict=True))
    found: list[Gradient | None] = []
    for gradient, middle in zip(gradients, (centre, cell), strict=True):
        magnitude = None if gradient is None else gradient[0].double().abs().sum(0).cpu().numpy()
        if magnitude is not None and not np.isfinite(magnitude).all():
            raise ValueError(f"image {number}: the gradient is not finite; the network overflows on it")
        found.append(None if magnitude is None or not magnitude.any() else (magnitude, (middle[0], middle[1])))
    return found[0], found[1]


class _Mean:
    """The mean of gradients, each of sum 1, with their positions laid over each other."""

    def __init__(self) -> None:
        self.shares, self.at_distance, self.count = np.zeros((1, 1)), np.zeros(1), 0

    def add(self, magnitude: np.ndarray, middle: tuple[float, float]) -> None:
        share = magnitude / magnitude.sum()
        rows, columns = (np.arange(n) - at for n, at in zip(share.shape, middle, strict=True))
        distances = np.ceil(np.hypot(rows[:, None], columns) - 1e-9).astype(
            np.int64
        )  # rounded up: within that distance
        added = np.bincount(distances.ravel(), share.ravel())
        self.at_distance = _sum(self.at_distance, added)
        row, column = (math.floor(at + 0.5) for at in middle)
        m, n = max(row, len(share) - 1 - row), max(column, share.shape[1] - 1 - column)
        wide = np.zeros((2 * m + 1, 2 * n + 1))
        wide[m - row : m - row + len(share), n - column : n - column + share.shape[1]] = share
        self.shares = _centred_sum(self.shares, wide)
        self.count += 1

    def spread(self) -> Spread | None:
        """None where nothing was added."""
        if self.count == 0:
            return None
        further = (
            np.append(self.at_distance[::-1].cumsum()[::-1][1:], 0.0) / self.count
        )  # summed from afar: 0 is exactly 0
        return Spread((self.shares / self.count).astype(np.float32), 1.0 - further)


def _sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def _centred_sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of two arrays of odd sizes whose middles lie on each other."""
    total = np.zeros([max(sizes) for sizes in zip(one.shape, other.shape, strict=True)])
    for part in (one, other):
        top, left = ((n - m) // 2 for n, m in zip(total.shape, part.shape, strict=True))
        total[top : top + part.shape[0], left : left + part.shape[1]] += part
    return total
