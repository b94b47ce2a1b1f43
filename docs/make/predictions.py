"""The picture of the README: one scene, its label, and what every network predicts: python -m docs.make.predictions [SOURCE]"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from docs.make.shown import IMAGES, Shown, mean_iou, shown
from segattn import checkpoint
from segattn.data.transforms import Normalization, to_tensor
from segattn.inference.legend import colour
from segattn.inference.windows import predict_labels

NAME = "predictions.png"
COLUMNS, GAP, CAPTION, WIDTH = 4, 8, 22, 320
"""Tiles in a row, and pixels: between tiles, above each, across each."""


def draw(what: Shown, target: Path) -> None:
    """Write the picture."""
    sample = what.dataset[what.pixel.index]
    assert sample.label is not None
    palette = what.dataset.palette
    tiles = [("scene", sample.image), ("label", colour(sample.label, palette))]
    for name, source in what.networks:
        model = checkpoint.load_model(source)
        with torch.no_grad():
            prediction = predict_labels(model, to_tensor(sample.image, Normalization.of(model))[None])[0].numpy()
        tiles.append((f"{name}  {100 * mean_iou(source):.1f} % mIoU", colour(prediction, palette)))
    compose([(caption, Image.fromarray(pixels)) for caption, pixels in tiles]).save(target, optimize=True)


def compose(tiles: list[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures of one size in a grid, each with its caption above; the first is a photograph, the others have flat colours."""
    width, height = tiles[0][1].size
    if width > WIDTH:
        width, height = WIDTH, round(height * WIDTH / width)
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, rows * (height + CAPTION + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for place, (caption, picture) in enumerate(tiles):
        left, top = place % COLUMNS * (width + GAP), place // COLUMNS * (height + CAPTION + GAP)
        draw.text((left + 1, top + 1), caption, fill=(40, 40, 40), font=font)
        smooth = Image.Resampling.LANCZOS if place == 0 else Image.Resampling.NEAREST
        sheet.paste(picture.convert("RGB").resize((width, height), smooth), (left, top + CAPTION))
    return sheet


if __name__ == "__main__":
    draw(shown(*sys.argv[1:2]), IMAGES / NAME)
