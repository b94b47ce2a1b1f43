"""The photometric distortion of SSD (Liu et al., arXiv 1512.02325): brightness, contrast, saturation, hue.

Saturation and hue are those of HSV, where V = max(R, G, B), m = min(R, G, B), C = V - m and S = C / V. No angle is computed:

* S times s keeps V and the hue: each channel c becomes V - k (V - c) with k = min(s, V / C), the minimum being S <= 1.
* The hue is a place p on a hexagon of circumference 6 C: red at 0, green at 2 C, blue at 4 C. Turned by d sectors of 60 degrees
  it is p + d C, and a channel at place q is m + clip(2 C - |p - q|, 0, C), the distance taken round the hexagon.

The image is processed in blocks that fit into the cache, and rounded to bytes between the steps, as in OpenCV.
"""

from __future__ import annotations

import numpy as np

_BLOCK_ROWS = 32
_STEPS = 128  # per sector of 60 degrees: hue turns in steps of about half a degree


def distort(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness (+-32), contrast (0.5 to 1.5), saturation (0.5 to 1.5) and hue (+-36 degrees), each half the time.

    Contrast comes first or last, as in SSD. Saturation and hue exist for RGB only: images of other than three bands keep theirs,
    and all their bands get the same brightness and contrast.

    Args:
        image: uint8 (H, W, bands); not modified.

    Returns:
        uint8 (H, W, bands).
    """
    brightness = rng.uniform(-32, 32) * (rng.random() < 0.5)
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-25.6, 25.6) * (rng.random() < 0.5)  # of 256 for the circle
    contrast_first = rng.random() < 0.5
    turn = round(hue * 6 / 256 * _STEPS)
    if image.shape[2] != 3:
        saturation, turn = 1.0, 0
    out = np.empty_like(image)
    for top in range(0, image.shape[0], _BLOCK_ROWS):
        block = image[top : top + _BLOCK_ROWS]
        planes = block.transpose(2, 0, 1).astype(np.float32, order="C")
        if brightness:
            _to_bytes(np.add(planes, np.float32(brightness), out=planes))
        if contrast_first and contrast != 1:
            _to_bytes(np.multiply(planes, np.float32(contrast), out=planes))
        if saturation != 1:
            _saturate(planes, np.float32(saturation))
        if turn:
            planes = _turned(planes.astype(np.int16), turn)
        if not contrast_first and contrast != 1:
            planes = _to_bytes(np.multiply(planes, np.float32(contrast), dtype=np.float32))
        for channel, plane in enumerate(planes.astype(np.uint8)):
            out[top : top + _BLOCK_ROWS, :, channel] = plane
    return out


def _to_bytes(planes: np.ndarray) -> np.ndarray:
    np.rint(planes, out=planes)
    return np.clip(planes, 0, 255, out=planes)


def _saturate(planes: np.ndarray, factor: np.float32) -> None:
    """Scale the saturation of (3, h, w) float planes in place."""
    value = planes.max(0)
    chroma = value - planes.min(0)
    share = np.minimum(factor, value / np.maximum(chroma, 1))
    np.subtract(value, planes, out=planes)
    planes *= share
    np.subtract(value, planes, out=planes)
    np.rint(planes, out=planes)


def _turned(planes: np.ndarray, turn: int) -> np.ndarray:
    """Turn the hue of (3, h, w) int16 planes by `turn` steps."""
    red, green, blue = planes
    value = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    C = value - low
    C2 = C + C
    C4 = C2 + C2
    C6 = (C4 + C2).view(np.uint16)
    place = red - green + C4
    _replace(place, blue - red + C2, value == green)
    _replace(place, green - blue, value == red)
    place += (C * np.int16(turn) + np.int16(_STEPS // 2)) >> np.int16(7)
    # Wrap into 0 .. 6 C: as unsigned numbers, values below zero are huge, and so is a difference below zero.
    wrapped = place.view(np.uint16)
    np.minimum(wrapped, wrapped + C6, out=wrapped)
    np.minimum(wrapped, wrapped - C6, out=wrapped)
    out = np.empty_like(planes)
    zero = np.zeros_like(C)
    # red lies at both ends: its distance is 3 C minus the distance from the middle
    for channel, distance in enumerate((C2 + C - np.abs(place - C2 - C), np.abs(place - C2), np.abs(place - C4))):
        np.subtract(C2, distance, out=distance)
        np.maximum(distance, zero, out=distance)
        np.minimum(distance, C, out=distance)
        np.add(low, distance, out=out[channel])
    return out


def _replace(places: np.ndarray, others: np.ndarray, where: np.ndarray) -> None:
    """np.where in place, by bit masks: no branches, five times as fast. Overwrites `others`."""
    mask = where.view(np.int8).astype(np.int16)
    np.negative(mask, out=mask)
    others ^= places
    others &= mask
    places ^= others
