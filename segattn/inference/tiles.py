"""Scores of a sliding window, one tile of the image after another, so that no map of all classes at the image's size exists.

A tile is finished as soon as every window over it is computed, in every pass (scale and flip). Windows are computed row by row,
and kept until no later tile needs them: as the head's logits before upsampling where the model has a method `logits`, at its
output's size otherwise. A window is upsampled again, as a whole, for each tile that it covers; the sums are therefore those of
whole windows in the same order, to the last bit. Tiles of a pass at another scale are resized by the formula of torch's
bilinear resizing, and equal the resized whole up to rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from segattn.config import Evaluation

Model = Callable[[Tensor], Tensor]
TILE_BYTES = 2**28
"""The most that the scores of a tile take, in float32; with several passes three such maps exist at once."""


@dataclass(frozen=True)
class Tile:
    """Where in the batch and in the output a tile lies."""

    image: int
    rows: range
    columns: range

    def of(self, maps: Tensor) -> Tensor:
        """The tile's part of maps (B, ..., H, W), without the batch dimension; a view."""
        return maps[self.image][..., self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]


def scored(
    model: Model,
    images: Float[Tensor, "B C H W"],
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    keep_scale: bool,
) -> Iterator[tuple[Tile, Float[Tensor, "1 K h w"]]]:
    """Every tile with its scores: logits of a single pass, else the sum of all passes' probabilities.

    With `keep_scale`, logits are divided by the number of windows over each pixel and probabilities by the number of passes.
    """
    H, W = images.shape[-2:]
    sizes = [(max(1, int(H * scale + 0.5)), max(1, int(W * scale + 0.5))) for scale in inference.scales]
    single = inference.num_passes == 1
    passes = [
        _Pass(model, images, inference, size, flip, output_size, window_batch, divided=keep_scale or not single)
        for size in sizes
        for flip in ((False, True) if inference.flip else (False,))
    ]
    pixels = tile_pixels(passes[0].num_classes, max(h * w for h, w in sizes), output_size)
    for tile in _tiles(len(images), output_size, pixels, inference.window):
        if single:
            yield tile, passes[0].scores(tile)
            continue
        total = passes[0].scores(tile).softmax(1)
        for each in passes[1:]:
            total.add_(each.scores(tile).softmax(1))
        yield tile, total.div_(len(passes)) if keep_scale else total


def tile_pixels(num_classes: int, most_pixels: int, output_size: tuple[int, int]) -> int:
    """Pixels of a tile, such that it takes at most `TILE_BYTES` at the largest scale, of `most_pixels`."""
    enlarged = max(1.0, most_pixels / math.prod(output_size))
    return max(1, int(TILE_BYTES / (4 * num_classes * enlarged)))


def _tiles(
    num_images: int, size: tuple[int, int], pixels: int, window: tuple[tuple[int, int], tuple[int, int]]
) -> Iterator[Tile]:
    """Tiles in the order in which windows are computed: bands of rows, which begin where windows do, from left to right."""
    (H, W), ((crop, _), (stride, _)) = size, window
    height = min(max(stride, crop // 2), H, pixels)
    number = -(-W // max(1, pixels // height))
    edges = [W * index // number for index in range(number + 1)]
    for image in range(num_images):
        for top in range(0, H, height):
            for left, right in itertools.pairwise(edges):
                yield Tile(image, range(top, min(top + height, H)), range(left, right))


@dataclass(frozen=True)
class _Window:
    image: int
    top: int
    left: int
    logits: Tensor
    """(1, K, h, w), before upsampling where the model has `logits`."""


class _Pass:
    """The windows of one scale and direction; all positions are those in the image as the network sees it, flipped or not."""

    def __init__(
        self,
        model: Model,
        images: Tensor,
        inference: Evaluation,
        size: tuple[int, int],
        flip: bool,
        output_size: tuple[int, int],
        window_batch: int,
        *,
        divided: bool,
    ) -> None:
        self.forward = getattr(model, "logits", model)
        self.align_corners = bool(getattr(model, "align_corners", False))
        self.images, self.size, self.flip, self.output_size = images, size, flip, output_size
        (height, width), (down, right) = inference.window
        self.crop = (min(height, size[0]), min(width, size[1]))
        self.tops = window_starts(size[0], height, down)
        self.lefts = window_starts(size[1], width, right)
        self.coverage = [_coverage(*each) for each in zip(size, self.crop, (self.tops, self.lefts), strict=True)]
        self.window_batch, self.divided = window_batch, divided
        self.kept: list[_Window] = []
        self.num_computed = 0
        self.stream = self._windows()

    @property
    def num_classes(self) -> int:
        """Known from the first window."""
        if not self.num_computed:
            self._compute(1)
        return self.kept[0].logits.shape[1]

    def scores(self, tile: Tile) -> Float[Tensor, "1 K h w"]:
        """The pass's logits of a tile of the output; tiles are asked for in the order of `_tiles`."""
        rows, columns = tile.rows, tile.columns
        if self.size != self.output_size:
            rows = _source(rows, self.size[0], self.output_size[0], self.align_corners)
            columns = _source(columns, self.size[1], self.output_size[1], self.align_corners)
        summed = self._sum(tile.image, rows, self._turned(columns))
        if self.flip:
            summed = summed.flip(-1)
        if self.size == self.output_size:
            return summed
        asked = (tile.rows, tile.columns)
        return resized_part(summed, self.size, self.output_size, asked, self.align_corners, (rows.start, columns.start))

    def _turned(self, columns: range) -> range:
        width = self.size[1]
        return range(width - columns.stop, width - columns.start) if self.flip else columns

    def _sum(self, image: int, rows: range, columns: range) -> Tensor:
        """Sum of the windows' logits there, (1, K, h, w), divided by the number of windows at each pixel if `divided`."""
        self._compute((image * len(self.tops) + sum(top < rows.stop for top in self.tops)) * len(self.lefts))
        h, w = self.crop
        self.kept = [each for each in self.kept if each.image > image or _is_needed(each, image, rows.start - h)]
        total = torch.zeros(1, self.num_classes, len(rows), len(columns), device=self.images.device)
        for window in self.kept:
            top, bottom = max(window.top, rows.start), min(window.top + h, rows.stop)
            left, right = max(window.left, columns.start), min(window.left + w, columns.stop)
            if window.image == image and top < bottom and left < right:
                whole = resize(window.logits, self.crop, self.align_corners)
                there = total[..., top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
                there += whole[..., top - window.top : bottom - window.top, left - window.left : right - window.left]
                del whole  # freed before the next one
        if self.divided:
            down, across = self.coverage
            counts = down[rows.start : rows.stop, None] * across[columns.start : columns.stop]
            total.div_(counts.to(total))
        return total

    def _compute(self, number: int) -> None:
        """Compute windows until there are `number` of them, kept or not."""
        while self.num_computed < number:
            self.kept.append(next(self.stream))
            self.num_computed += 1

    def _windows(self) -> Iterator[_Window]:
        places = [(b, top, left) for b in range(len(self.images)) for top in self.tops for left in self.lefts]
        for start in range(0, len(places), self.window_batch):
            batch = places[start : start + self.window_batch]
            logits = self.forward(torch.stack([self._cropped(*place) for place in batch]))
            for place, each in zip(batch, logits.split(1), strict=True):
                yield _Window(*place, each)

    def _cropped(self, image: int, top: int, left: int) -> Tensor:
        """What the network sees in a window, (3, h, w)."""
        rows = range(top, top + self.crop[0])
        columns = self._turned(range(left, left + self.crop[1]))
        seen = self.images[image]
        if tuple(seen.shape[-2:]) == self.size:
            seen = seen[:, rows.start : rows.stop, columns.start : columns.stop]
        else:
            size = (seen.shape[-2], seen.shape[-1])
            seen = resized_part(seen, size, self.size, (rows, columns), self.align_corners)
        return seen.flip(-1) if self.flip else seen


def _is_needed(window: _Window, image: int, above: int) -> bool:
    return window.image == image and window.top > above


def window_starts(size: int, crop: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis of `size` pixels; the last window ends with the image.

    >>> window_starts(1024, 769, 513), window_starts(2048, 769, 513), window_starts(500, 769, 513)
    ([0, 255], [0, 513, 1026, 1279], [0])
    """
    crop = min(crop, size)
    count = max(size - crop + stride - 1, 0) // stride + 1
    return [min(i * stride, size - crop) for i in range(count)]


def _coverage(size: int, crop: int, starts: list[int]) -> Tensor:
    """Number of windows over each pixel of one axis, (size,)."""
    counts = torch.zeros(size)
    for start in starts:
        counts[start : start + crop] += 1
    return counts


def resize(maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Maps (B, C, h, w) resized bilinearly to `size`; the maps themselves if they have it."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)


def resized_part(
    maps: Float[Tensor, "*B h w"],
    size: tuple[int, int],
    new_size: tuple[int, int],
    asked: tuple[range, range],
    align_corners: bool,
    origin: tuple[int, int] = (0, 0),
) -> Float[Tensor, "*B H W"]:
    """The rows and columns `asked` of maps of `size` resized to `new_size`, as `resize` gives them up to rounding.

    `maps` is the part of the whole map that begins at row and column `origin` and holds all that is needed.
    """
    for dim, here, start, old, new in zip((-2, -1), asked, origin, size, new_size, strict=True):
        low, high, shares = _taps(here, old, new, align_corners)
        first, second = (torch.from_numpy(each - start).to(maps.device) for each in (low, high))
        share = torch.from_numpy(shares).to(maps)
        share = share[:, None] if dim == -2 else share
        maps = torch.lerp(maps.index_select(dim, first), maps.index_select(dim, second), share)
    return maps


def _source(asked: range, old: int, new: int, align_corners: bool) -> range:
    """The positions of an axis of `old` pixels from which those `asked` of the resized one are interpolated."""
    low, high, _ = _taps(asked, old, new, align_corners)
    return range(int(low[0]), int(high[-1]) + 1)


def _taps(asked: range, old: int, new: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each position: its two neighbours before resizing, and the second one's share; in float32, as torch computes them."""
    at = np.arange(asked.start, asked.stop, dtype=np.float32)
    if align_corners:
        at = at * np.float32((old - 1) / max(new - 1, 1))
    else:
        at = np.maximum((at + np.float32(0.5)) * np.float32(old / new) - np.float32(0.5), np.float32(0))
    low = np.minimum(at.astype(np.int64), old - 1)
    return low, np.minimum(low + 1, old - 1), at - low.astype(np.float32)
