"""Example predictions as data URIs: small enough for a page, safe to embed."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segattn.report.results import Run, Study

EXAMPLES = 6
"""Most validation images shown."""
WIDTH = 480
"""Most pixels across an embedded picture."""


@dataclass(frozen=True)
class Tile:
    """One picture with its caption."""

    caption: str
    uri: str | None
    problem: str = ""
    """Why there is no picture."""


@dataclass(frozen=True)
class Strip:
    """One validation image: photograph, label, and what each network predicts."""

    name: str
    tiles: list[Tile]


def strips(study: Study) -> tuple[list[Strip], int]:
    """The first six validation images that the records show, and how many there are in all."""
    chosen: dict[str, list[tuple[str, Run]]] = {}
    for row in study.rows:
        seen = set()
        for run in row.runs:  # of each row, the lowest seed that shows the image
            for example in run.record.examples:
                if example.name not in seen:
                    seen.add(example.name)
                    chosen.setdefault(example.name, []).append((row.label, run))
    names = sorted(chosen)
    return [_strip(name, chosen[name]) for name in names[:EXAMPLES]], len(names)


def _strip(name: str, shown: list[tuple[str, Run]]) -> Strip:
    found = [(label, run, next(e for e in run.record.examples if e.name == name)) for label, run in shown]
    _, run, example = found[0]
    tiles = [_tile("image", run, example.image, photograph=True)]
    with_label = [(run, example.label) for _, run, example in found if example.label is not None]
    if with_label:
        tiles.append(_tile("label", *with_label[0], photograph=False))
    tiles += [_tile(label, run, example.prediction, photograph=False) for label, run, example in found]
    return Strip(name, tiles)


def _tile(caption: str, run: Run, path: str, *, photograph: bool) -> Tile:
    """Embed a picture of a run; only files of its study are read, and they are encoded anew."""
    file = (run.folder / path).resolve()
    if not file.is_relative_to(run.folder.resolve().parent):
        return Tile(caption, None, "outside the study's folder")
    try:
        with Image.open(file) as picture:
            return Tile(caption, _uri(picture, photograph=photograph))
    except FileNotFoundError:
        return Tile(caption, None, f"{Path(path).name} is missing")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Tile(caption, None, f"{Path(path).name} is not readable")


def _uri(picture: Image.Image, *, photograph: bool) -> str:
    image = picture.convert("RGB")
    if image.width > WIDTH:
        size = (WIDTH, max(1, round(image.height * WIDTH / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS if photograph else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    if photograph:
        image.save(stream, "JPEG", quality=85, optimize=True)
        kind = "jpeg"
    else:
        image.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        kind = "png"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
