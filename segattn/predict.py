"""Labels for photos: index mask, coloured mask and overlay with a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from segattn.data._files import read_image
from segattn.data.transforms import to_tensor
from segattn.evaluate import colour
from segattn.inference import Inference, predict_labels
from segattn.model import SegmentationModel

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Labelled:
    """A photo and its labels."""

    image: np.ndarray
    """uint8 (H, W, 3)."""
    label: np.ndarray
    """uint8 (H, W), class indices."""


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The image files among `paths`, folders searched one level deep.

    Raises:
        ValueError: a path does not exist, or a folder has no images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
            if not inside:
                raise ValueError(f"{path} has no images ({', '.join(sorted(SUFFIXES))})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def output_names(images: Sequence[Path]) -> list[str]:
    """A distinct stem for the outputs of each image: its own, with its folder's name where two are alike."""
    stems = [path.stem for path in images]
    names = [stem if stems.count(stem) == 1 else f"{path.parent.name}-{path.name}" for stem, path in zip(stems, images)]  # noqa: B905
    return [name if names.count(name) == 1 else f"{number:04d}-{name}" for number, name in enumerate(names)]


@torch.no_grad()
def label_image(model: SegmentationModel, path: Path, inference: Inference | None = None) -> Labelled:
    """Label one photo of any size.

    Raises:
        ValueError: the file is no readable image.
    """
    image = read_image(path)
    device = next(model.parameters()).device
    label = predict_labels(model, to_tensor(image)[None].to(device), inference=inference)[0].cpu().numpy()
    return Labelled(image, label)


def overlay(labelled: Labelled, palette: tuple[tuple[int, int, int], ...], opacity: float = 0.55) -> np.ndarray:
    """The photo with its labels' colours over it, uint8 (H, W, 3)."""
    mixed = labelled.image * (1 - opacity) + colour(labelled.label, palette) * opacity
    return mixed.round().astype(np.uint8)


def with_legend(
    picture: np.ndarray, label: np.ndarray, class_names: Sequence[str], palette: Sequence[tuple[int, int, int]]
) -> Image.Image:
    """The picture with a column beside it that names the colours that occur, largest area first."""
    counts = np.bincount(label.ravel(), minlength=len(class_names))[: len(class_names)]
    shown = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
    line = max(14, min(28, picture.shape[0] // max(len(shown), 1)))
    font = ImageFont.load_default(size=round(line * 0.62))
    texts = [f"{class_names[index]} {100 * counts[index] / label.size:.1f} %" for index in shown]
    width = round(max(font.getlength(text) for text in texts)) + line + 18
    height = max(picture.shape[0], line * len(shown) + 8)
    canvas = Image.new("RGB", (picture.shape[1] + width, height), (255, 255, 255))
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    left = picture.shape[1] + 8
    for row, (index, text) in enumerate(zip(shown, texts, strict=True)):
        top = 4 + row * line
        draw.rectangle(
            (left, top + 2, left + line - 6, top + line - 4), fill=tuple(palette[index]), outline=(60, 60, 60)
        )
        draw.text((left + line, top + line / 2), text, fill=(20, 20, 20), font=font, anchor="lm")
    return canvas


def predict_files(
    model: SegmentationModel,
    images: Sequence[Path],
    out: Path,
    *,
    class_names: Sequence[str],
    palette: tuple[tuple[int, int, int], ...],
    inference: Inference | None = None,
) -> Iterator[Path]:
    """Write NAME-label.png (class indices, with a palette) and NAME-overlay.png for each image; yields each overlay's path."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {out} for the results: {error.strerror}") from None
    flat = [channel for colours in palette for channel in colours]
    for path, name in zip(images, output_names(images), strict=True):
        labelled = label_image(model, path, inference)
        mask = Image.fromarray(labelled.label)
        mask.putpalette(flat + [0] * (768 - len(flat)))
        mask.save(out / f"{name}-label.png", optimize=True)
        written = out / f"{name}-overlay.png"
        with_legend(overlay(labelled, palette), labelled.label, class_names, palette).save(written)
        yield written
