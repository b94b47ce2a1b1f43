"""The picture of the README: one scene, its label, and what every network of a study predicts.

python -m docs.make.predictions runs/quick [NUMBER OF THE EXAMPLE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from segattn import records

TARGET = Path(__file__).parent.parent / "images" / "predictions.png"
COLUMNS, GAP, CAPTION = 4, 8, 22


def main(study: Path, number: int = 0) -> None:
    """Write the picture from the examples that the runs of `study` recorded."""
    record = records.read(study / "study.json")
    folders = [study / Path(run).parent for run in record.runs]
    runs = [(folder, records.read(folder / "record.json")) for folder in folders]
    folder, first = runs[0]
    example = first.examples[number]
    tiles = [("scene", folder / example.image), ("label", folder / (example.label or example.image))]
    for folder, run in runs:
        caption = f"{run.head}  {100 * run.scores.mean_iou:.1f} % mIoU"
        tiles.append((caption, folder / run.examples[number].prediction))
    compose(tiles).save(TARGET, optimize=True)


def compose(tiles: list[tuple[str, Path]]) -> Image.Image:
    """Pictures of one size in a grid, each with its caption above."""
    width, height = Image.open(tiles[0][1]).size
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, rows * (height + CAPTION + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for place, (caption, path) in enumerate(tiles):
        left, top = place % COLUMNS * (width + GAP), place // COLUMNS * (height + CAPTION + GAP)
        draw.text((left + 1, top + 1), caption, fill=(40, 40, 40), font=font)
        sheet.paste(Image.open(path).convert("RGB"), (left, top + CAPTION))
    return sheet


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
