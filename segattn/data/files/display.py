"""What a notebook shows of an image and its labels: both side by side, as one small PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from segattn.data.files.palette import voc_palette
from segattn.data.files.shown import shown

WIDEST = 480
"""Pixels of each picture's longer side; larger ones are shown smaller."""
_GAP = 8


def png(image: np.ndarray, label: np.ndarray | None, palette: Sequence[tuple[int, int, int]] | None = None) -> bytes:
    """The image, uint8 (H, W, bands), and beside it the label, integers (H, W), in the palette's colours; VOC's without one.

    Labels that the palette has no colour for, such as 255 for ignored pixels, are white.
    """
    height, width = image.shape[:2]
    factor = min(1.0, WIDEST / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    pictures = [Image.fromarray(np.ascontiguousarray(shown(image))).resize(size, Image.Resampling.BILINEAR)]
    if label is not None:
        colours = np.full((max(int(label.max(initial=0)) + 1, 256), 3), 255, np.uint8)
        known = np.array(voc_palette(255) if palette is None else palette, np.uint8)[: len(colours)]
        colours[: len(known)] = known
        pictures.append(Image.fromarray(colours[label]).resize(size, Image.Resampling.NEAREST))
    sheet = Image.new("RGB", (len(pictures) * (size[0] + _GAP) - _GAP, size[1]), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index * (size[0] + _GAP), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
