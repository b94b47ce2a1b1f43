"""Images of any number of bands as RGB pictures: what figures, overlays and pages show of them."""

from __future__ import annotations

import numpy as np

CUT = (2, 98)
"""Percentiles of each shown band that become black and white."""


def shown(image: np.ndarray) -> np.ndarray:
    """An image, uint8 (H, W, bands), as a picture, uint8 (H, W, 3).

    Three bands are RGB and stay as they are. Of others the first three are shown as red, green and blue, or the first one in
    grey if there are fewer; each band is stretched, so that its 2nd percentile is black and its 98th white.

    >>> shown(np.arange(100, dtype=np.uint8).reshape(10, 10, 1))[[0, 9], [0, 9]].tolist()
    [[0, 0, 0], [255, 255, 255]]
    """
    if image.shape[2] == 3:
        return image
    bands = image[:, :, :3] if image.shape[2] > 3 else image[:, :, :1]
    stretched = [_stretched(bands[:, :, index]) for index in range(bands.shape[2])]
    return np.stack(stretched if len(stretched) == 3 else stretched * 3, axis=2)


def _stretched(band: np.ndarray) -> np.ndarray:
    if not band.size:
        return band
    low, high = np.percentile(band, CUT)
    if high <= low:  # nearly all pixels have one value
        low, high = float(band.min()), float(band.max())
    if high <= low:
        return band
    return np.rint(np.clip((band - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)
