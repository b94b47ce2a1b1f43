"""Accuracy on small and large, thin and thick objects: counts by size of the segment and local width.

Size and width are computed from the label alone, so that all networks are scored on the same strata.

* Segment: connected pixels of one class (8 neighbours). Two cars that overlap in the image are one segment.
* Size of a segment: its share of the image's pixels. The limits are COCO's (Lin et al., *Microsoft COCO*, ECCV 2014, arXiv
  1405.0312: 32 x 32 and 96 x 96 pixels) in an image of 640 x 480, 1/300 and 3/100. Ours: shares instead of pixels, so that the
  strata do not depend on the resolution.
* Width at a pixel: thin if it lies in no square that contains only its class and has a side of 1 % of the image diagonal; thick
  if it lies in one with a side of 4 %. This is the morphological opening of each class (Serra, *Image Analysis and Mathematical
  Morphology*, 1982). A thin part of a large object is thin, such as a mast on a building.

Ignored pixels, and pixels outside the image, count as any class: a building cut off by the image's edge is not thin.

False positives belong to no segment. As in mIoU^K of Wang et al., *Revisiting Evaluation Metrics for Semantic Segmentation*,
NeurIPS 2023, arXiv 2310.19252, those in an image are divided among the segments of the class there, in proportion to area:

    IoU of class k in stratum s = sum_i right_iks / sum_i (pixels_iks + false_ik * pixels_iks / pixels_ik)

where i runs over the images whose label contains the class. Wang et al. average over segments; here the pixels of a stratum are
pooled, as in mIoU.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

SIZES = ("small", "medium", "large")
SIZE_BORDERS = (1 / 300, 3 / 100)
"""Shares of the image's pixels; a segment of exactly that share belongs to the upper stratum."""
WIDTHS = ("thin", "medium", "thick")
WIDTH_BORDERS = (0.01, 0.04)
"""Sides of the squares, as shares of the image diagonal."""

KEPT_BYTES = 2**26
"""At most so much of strata is kept for the next network: those of 2,000 labels of 128x256, or of the first 32 of 1024x2048."""
_kept: dict[tuple[object, ...], np.ndarray] = {}

DEFINITION = (
    "Size: a segment (connected pixels of one class) is small below 1/300 of the image's pixels and large from 3/100. Width: "
    "a pixel is thin if it lies in no square that contains only its class and has a side of 1 % of the image diagonal, and "
    "thick if it lies in one with a side of 4 %. Size and width are computed from the labels. False positives of a class are "
    "divided among its segments in the image, in proportion to area; those in images without the class are in no stratum."
)


def count(prediction: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int = 255) -> np.ndarray:
    """Labelled pixels, and those predicted correctly, in each stratum of one image (H, W): int64 (2, K, sizes, widths).

    >>> pixels, right = count(np.zeros((9, 9), int), np.zeros((9, 9), int), num_classes=1)
    >>> pixels.tolist() == right.tolist() == [[[0, 0, 0], [0, 0, 0], [0, 0, 81]]]
    True
    """
    strata = _of(np.ascontiguousarray(label), ignore_index).astype(np.int64)
    shape = (num_classes, len(SIZES), len(WIDTHS))
    counted = label != ignore_index
    code = label[counted].astype(np.int64) * (len(SIZES) * len(WIDTHS)) + strata[counted]
    right = code[(prediction == label)[counted]]
    length = math.prod(shape)
    return np.stack([np.bincount(codes, minlength=length).reshape(shape) for codes in (code, right)])


def _of(label: np.ndarray, ignore_index: int) -> np.ndarray:
    """Size and width stratum of each pixel in one number, uint8 (H, W); a study scores every network on the same labels."""
    key = (hashlib.blake2b(label.data).digest(), label.shape, label.dtype.str, ignore_index)
    found = _kept.get(key)
    if found is None:
        found = size_of_segments(label, ignore_index) * np.uint8(len(WIDTHS)) + widths(label, ignore_index)
        if sum(each.nbytes for each in _kept.values()) + found.nbytes <= KEPT_BYTES:
            _kept[key] = found
    return found


def unions(pixels: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Denominators of the IoU of strata, float64 (..., K, strata): their pixels plus their share of the false positives.

    `pixels` is (..., K, strata), `false` the number of false positives of each image and class, (..., K).
    """
    total = pixels.sum(-1, keepdims=True)
    return pixels + false[..., None] * (pixels / np.maximum(total, 1))


def size_of_segments(label: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """Size stratum (0 small, 1 medium, 2 large) of the segment that each pixel belongs to, uint8 (H, W); 0 if ignored."""
    run, lengths, segment = segments(label)
    area = np.bincount(segment, weights=lengths)[segment]
    stratum = sum((area >= share * label.size - 1e-6).astype(np.uint8) for share in SIZE_BORDERS)
    return np.where(label == ignore_index, 0, np.asarray(stratum, np.uint8)[run])


def widths(label: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """Width stratum (0 thin, 1 medium, 2 thick) of each pixel, uint8 (H, W); 0 if ignored."""
    counted = label != ignore_index
    classes = label.astype(np.int16)  # np.where would wrap the -1 below into the label's own type
    low, high = np.where(counted, classes, -1), np.where(counted, classes, 2**15 - 1)
    stratum = np.zeros(label.shape, np.uint8)
    for share in WIDTH_BORDERS:
        reach = max(1, round(share * math.hypot(*label.shape) / 2))  # squares of 2 reach + 1
        one_class = maximum(low, reach, -1) == -maximum(-high, reach, 1 - 2**15)
        # A square of one class covers only pixels of its own class, so one map serves all classes.
        stratum += maximum(one_class.view(np.uint8), reach, 0)
    return stratum * counted


def maximum(values: np.ndarray, reach: int, outside: int) -> np.ndarray:
    """Maximum over the square of 2 reach + 1 around each pixel, (H, W), in O(log reach) passes; `outside` is the value beyond."""
    values = np.pad(values, reach, constant_values=outside)
    for axis in (0, 1):
        width, size = 1, 2 * reach + 1
        values = values.swapaxes(0, axis)
        while width < size:
            step = min(width, size - width)
            values = np.maximum(values[:-step], values[step:])
            width += step
        values = values.swapaxes(0, axis)
    return values


def segments(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected pixels of one value (8 neighbours), by runs along the rows.

    Returns each pixel's run (H, W), each run's length, and each run's component: the number of the component's first run.
    """
    starts = np.ones(label.shape, bool)
    starts[:, 1:] = label[:, 1:] != label[:, :-1]
    run = np.cumsum(starts).reshape(label.shape) - 1
    lengths = np.diff(np.append(np.flatnonzero(starts), label.size))
    W = label.shape[1]
    upper, lower = [], []
    for shift in (-1, 0, 1):  # the pixel below and its two neighbours
        above, below = slice(max(0, -shift), W - max(0, shift)), slice(max(0, shift), W - max(0, -shift))
        touch = label[:-1, above] == label[1:, below]
        pairs = np.stack([run[:-1, above][touch], run[1:, below][touch]])
        if pairs.size:
            new = np.append(True, (pairs[:, 1:] != pairs[:, :-1]).any(axis=0))
            upper.append(pairs[0, new])
            lower.append(pairs[1, new])
    return run, lengths, _components(len(lengths), np.concatenate([[], *upper]), np.concatenate([[], *lower]))


def _components(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest node connected to each of `count` nodes by the edges a[i] - b[i]."""
    a, b = a.astype(np.int64), b.astype(np.int64)
    parent = np.arange(count)
    while True:
        low = np.minimum(parent[a], parent[b])
        hooked = parent.copy()
        for node in (parent[a], parent[b]):
            np.minimum.at(hooked, node, low)
        while not np.array_equal(hooked, hooked[hooked]):
            hooked = hooked[hooked]
        if np.array_equal(hooked, parent):
            return parent
        parent = hooked
