"""Example predictions and their errors as data URIs: small enough for a page, safe to embed."""

from __future__ import annotations

import base64
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segattn import records
from segattn.records import Example
from segattn.records.pictures import open_picture
from segattn.report.shared import images
from segattn.report.shared.drawing import WRONG
from segattn.report.shared.sources import inside
from segattn.report.shared.text import one_line
from segattn.report.study.rows import Run
from segattn.report.study.study import Study

EXAMPLES = 6
"""Most validation images shown."""
WIDTH, HEIGHT = 480, 480
"""Most pixels across and down an embedded picture: ten networks with six pictures each then fit into 6 MB."""
MOST_PIXELS = 2**26
"""Of a picture that is read."""
_ERROR_COLOURS = ((0, 0, 0, 0), (128, 128, 128, 110), (*bytes.fromhex(WRONG[1:]), 255))
"""Right, ignored and wrong pixels: nothing, grey, red-orange."""


@dataclass(frozen=True)
class Tile:
    """One picture with its caption."""

    caption: str
    uri: str | None
    problem: str = ""
    """Why there is no picture."""
    error: str | None = None
    """Where the prediction is wrong, as a picture of its size; None where the pictures do not show it."""
    wrong: float | None = None
    """Share of the counted pixels that are wrong."""


@dataclass(frozen=True)
class Strip:
    """One validation image: photograph, label, and what each network predicts."""

    name: str
    tiles: list[Tile]
    disagreement: float | None
    """Standard deviation over the networks of the image's mean IoU."""


def disagreements(study: Study) -> dict[str, float]:
    """How much the networks disagree on each image: the standard deviation over rows of its mean IoU, seeds averaged.

    Empty where a run has not recorded its images, or there is one network only.
    """
    if len(study.rows) < 2:
        return {}
    try:
        for row in study.rows[1:]:
            images.check_same(study.rows[0].pixels[0], row.pixels[0], study.rows[0].label, row.label)
        values = np.array([np.mean([run.mean_iou() for run in row.pixels], axis=0) for row in study.rows])
    except ValueError:  # only the order of the pictures depends on it
        return {}
    spread = values.std(axis=0, ddof=1)
    names = study.rows[0].pixels[0].names
    return {name: float(value) for name, value in zip(names, spread, strict=True) if not np.isnan(value)}


def strips(study: Study) -> tuple[list[Strip], int]:
    """Of the images that the records show, the six on which the networks disagree most, and how many images there are."""
    chosen: dict[str, list[tuple[str, Run]]] = {}
    for row in study.shown:
        seen = set()
        for run in row.runs:  # of each row, the lowest seed that shows the image
            for example in run.record.examples:
                if example.name not in seen:
                    seen.add(example.name)
                    chosen.setdefault(example.name, []).append((row.label, run))
    spread = disagreements(study)
    names = sorted(chosen, key=lambda name: (-spread.get(name, 0), name))
    return [_strip(name, chosen[name], spread.get(name)) for name in names[:EXAMPLES]], len(names)


def _strip(name: str, shown: list[tuple[str, Run]], disagreement: float | None) -> Strip:
    examples = [(label, run, next(e for e in run.record.examples if e.name == name)) for label, run in shown]
    _, run, example = examples[0]
    tiles = [_tile("image", run, example.image, photograph=True)]
    with_label = [(run, example.label) for _, run, example in examples if example.label is not None]
    if with_label:
        tiles.append(_tile("label", *with_label[0], photograph=False))
    for label, run, example in examples:
        tile = _tile(label, run, example.prediction, photograph=False)
        error, wrong = _error(run, example) if tile.uri else (None, None)
        tiles.append(dataclasses.replace(tile, error=error, wrong=wrong))
    return Strip(name, tiles, disagreement)


def _error(run: Run, example: Example) -> tuple[str | None, float | None]:
    """Where coloured label and prediction differ, and on which share of the pixels; ignored pixels are black in the label."""
    palette = run.record.palette
    if example.label is None or (0, 0, 0) in palette or len(set(palette)) < len(palette):
        return None, None  # black is a class, or classes share a colour: ambiguous
    label, predicted = _picture(run, example.label)[0], _picture(run, example.prediction)[0]
    if label is None or predicted is None or label.size != predicted.size:
        return None, None  # the tile of the picture itself says what is wrong with it
    truth, guess = np.asarray(label), np.asarray(predicted)
    counted = truth.any(axis=2)
    wrong = counted & (truth != guess).any(axis=2)
    picture = Image.fromarray(np.where(wrong, 2, np.where(counted, 0, 1)).astype(np.uint8), "P")
    picture.putpalette([value for colour in _ERROR_COLOURS for value in colour], "RGBA")
    picture = _fitted(picture, WIDTH, HEIGHT, Image.Resampling.NEAREST)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return _data_uri(stream, "png"), float(wrong.sum() / max(1, counted.sum()))


def _tile(caption: str, run: Run, path: str, *, photograph: bool) -> Tile:
    """Embed a picture of a run, encoded anew."""
    picture, problem = _picture(run, path)
    uri = None if picture is None else data_uri(picture, photograph=photograph, height=HEIGHT)
    return Tile(caption, uri, problem)


def _picture(run: Run, path: str) -> tuple[Image.Image | None, str]:
    folder = run.folder.resolve()  # pictures may be the study's
    return read_picture(folder.parent, f"{folder.name}/{path}")


def read_picture(folder: Path, path: str) -> tuple[Image.Image | None, str]:
    """The picture that a record names, decoded to RGB, or what is wrong with it; only PNG and JPEG files in `folder` are read."""
    file, name = inside(folder, path), one_line(Path(path).name)
    if file is None:
        return None, "outside the study's folder"
    try:
        with open_picture(records.read_bytes(file), ("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None, f"{name} has {picture.width} x {picture.height} pixels; at most {MOST_PIXELS:,} are read"
            return picture.convert("RGB"), ""
    except FileNotFoundError:
        return None, f"{name} is missing"
    except Exception:  # Pillow's decoders raise errors of any type on a broken file
        return None, f"{name} is not readable"


def _fitted(picture: Image.Image, width: int, height: int | None, filtered: Image.Resampling) -> Image.Image:
    """The picture scaled down to at most this width and height, where it is larger."""
    scale = min(1.0, width / picture.width, (height or picture.height) / picture.height)
    if scale == 1:
        return picture
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), filtered)


def data_uri(picture: Image.Image, *, photograph: bool, width: int = WIDTH, height: int | None = None) -> str:
    """A picture encoded anew, of at most this width and height: a photograph with losses, others with at most 256 colours."""
    filtered = Image.Resampling.LANCZOS if photograph else Image.Resampling.NEAREST
    image = _fitted(picture.convert("RGB"), width, height, filtered)
    stream = io.BytesIO()
    if photograph:
        image.save(stream, "JPEG", quality=85, optimize=True)
        kind = "jpeg"
    else:
        image.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        kind = "png"
    return _data_uri(stream, kind)


def _data_uri(stream: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
