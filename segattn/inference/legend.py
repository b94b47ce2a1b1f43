"""Predictions in colour, and legends beside pictures: a swatch and a name for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Palette = Sequence[tuple[int, int, int]]


def colour(label: np.ndarray, palette: Palette) -> np.ndarray:
    """Paint class indices (H, W) in the palette's colours, uint8 (H, W, 3); ignored pixels are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[label]


def with_legend(picture: np.ndarray, label: np.ndarray, class_names: Sequence[str], palette: Palette) -> Image.Image:
    """The picture with a legend beside it of the classes that occur, largest area first."""
    counts = np.bincount(label.ravel(), minlength=len(class_names))[: len(class_names)]
    shown = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
    shares = [100 * counts[index] / label.size for index in shown]
    texts = [
        f"{class_names[index]} {share:.1f} %" if share >= 0.05 else f"{class_names[index]} < 0.1 %"
        for index, share in zip(shown, shares, strict=True)
    ]
    return beside(picture, legend(picture.shape[0], texts, [palette[index] for index in shown]))


def legend(height: int, texts: Sequence[str], colours: Palette) -> Image.Image:
    """A column of swatches and texts, at least `height` pixels tall."""
    line = max(14, min(max(28, height // 30), height // max(len(texts), 1)))
    font = ImageFont.load_default(size=round(line * 0.62))
    width = round(max((font.getlength(text) for text in texts), default=0)) + line + 18
    column = Image.new("RGB", (width, max(height, line * len(texts) + 8)), (255, 255, 255))
    draw = ImageDraw.Draw(column)
    for row, (text, fill) in enumerate(zip(texts, colours, strict=True)):
        top = 4 + row * line
        draw.rectangle((8, top + 2, line + 2, top + line - 4), fill=tuple(fill), outline=(60, 60, 60))
        draw.text((8 + line, top + line / 2), text, fill=(20, 20, 20), font=font, anchor="lm")
    return column


def beside(picture: np.ndarray, column: Image.Image) -> Image.Image:
    """The picture with the column to its right."""
    canvas = Image.new("RGB", (picture.shape[1] + column.width, column.height), (255, 255, 255))
    canvas.paste(Image.fromarray(picture), (0, 0))
    canvas.paste(column, (picture.shape[1], 0))
    return canvas
