"""Pictures of the explorer: generated street scenes, and uploads, which are untrusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from segattn import data
from segattn.data import streets
from segattn.data.files.decode import picture_size, read_image
from segattn.data.files.pixels import AS_SHOWN, Reading, reading_for
from segattn.data.files.shown import shown
from segattn.data.transforms import resized
from segattn.model import SegmentationModel
from segattn.records.pictures import most_pixels

MAX_PIXELS = 40_000_000
"""Of an upload, before it is decoded: 120 MB as RGB, more than any phone's usual photo."""
MAX_FILE_BYTES = 20 * 2**20
MIN_SIDE = 32
IGNORED = 255
"""Of a label."""
EXAMPLES = {
    2: "Tram on its rails, rider in front",
    26: "Bus, and a rider before it",
    6: "Zebra crossing, people",
    9: "Cyclist on tram rails",
    23: "Evening, wall on the right",
    7: "Truck and fences at dusk",
}
"""Scenes of streets' validation split by index, and what is in them."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture at the size at which it is shown and labelled."""

    name: str
    image: np.ndarray
    """uint8 (H, W, bands)."""
    label: np.ndarray | None = None
    """uint8 (H, W), where it is known: indices of `label_names`, 255 ignored."""
    label_names: tuple[str, ...] = ()

    @cached_property
    def shown(self) -> np.ndarray:
        """What the page shows: uint8 (H, W, 3)."""
        return shown(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def key(self) -> str:
        """The same for the same pixels."""
        return blake2b(repr(self.image.shape).encode() + self.image.tobytes(), digest_size=16).hexdigest()


def example(index: object, max_side: int) -> Picture:
    """A generated scene, twice as wide as high.

    Raises:
        ValueError: no example has this index.
    """
    if type(index) is not int or index not in EXAMPLES:
        raise ValueError(f"There is no example {index!r}.")
    width = max(min(384, max_side), 2 * MIN_SIDE)
    scenes = streets.load("val", height=width // 2, width=width)
    sample = scenes[index]
    return Picture(EXAMPLES[index], sample.image, sample.label, tuple(scenes.class_names))


def samples(model: SegmentationModel, max_side: int) -> list[Picture]:
    """Images of the validation split, for networks that do not take RGB, as examples; none if the data set is not here."""
    assert model.experiment
    section, pictures = model.experiment.data, []
    try:
        dataset = data.load(section.name, section.val_split, root=section.root, **section.options)
        for index in np.unique(np.linspace(0, len(dataset) - 1, len(EXAMPLES)).round().astype(int)).tolist():
            sample = dataset[index]
            if sample.image.shape[2] == model.in_channels and min(sample.size) >= MIN_SIDE:
                image = _scaled(sample.image, max_side)
                whole = sample.label is not None and sample.label.shape == image.shape[:2]
                label = sample.label if whole else None  # a label is not scaled
                pictures.append(Picture(sample.name, image, label, tuple(dataset.class_names)))
    except (ValueError, OSError):
        return []
    return pictures


def reading_of_uploads(model: SegmentationModel) -> Reading:
    """How uploads are read for a network: as its training images; one file has all bands, also where those had several files."""
    how = reading_for(model)
    return replace(how, bands=model.in_channels) if how.files else how


def upload(path: Path, max_side: int, *, name: str = "", how: Reading = AS_SHOWN) -> Picture:
    """Read an uploaded file, compose it on white where RGB is transparent, and scale it to `max_side` on its longer side.

    Raises:
        ValueError: too large a file, too many pixels (both before anything is decoded), no picture, damaged or tiny; the message
            names the file as it was uploaded, not its place here.
    """
    name = name or path.name
    try:
        if path.is_file():  # `read_image` refuses a pipe or a device
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MB; upload a smaller picture")
            _check_pixels(path)
        with most_pixels(MAX_PIXELS if how.bands is not None else None):
            pixels = read_image(path, replace(how, on_white=True))
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(str(path), name)) from None
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"{name}: {width} x {height} pixels; a picture needs at least {MIN_SIDE} on each side")
    return Picture(name, _scaled(pixels, max_side))


def _scaled(pixels: np.ndarray, max_side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1:
        return pixels
    return resized(pixels, (max(round(width * scale), MIN_SIDE), max(round(height * scale), MIN_SIDE)))


def _check_pixels(path: Path) -> None:
    """Refuse a file by the size in its header. `read_image` reports everything else that is wrong with it."""
    try:
        width, height = picture_size(path)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: far too many pixels ({error})") from None
    except Exception:
        return
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{path}: {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million are read, scale it down first"
        )
