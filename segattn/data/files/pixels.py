"""Image files whose pixels can be understood in two ways (turned by EXIF, of 12 bits in 16, transparent): which, and remarks."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segattn.catalogue import is_dotted
from segattn.data.files import band_files, band_sizes
from segattn.records.image_range import ImageRange
from segattn.records.pictures import open_picture

ORIENTATION = 0x112
"""The EXIF tag."""
_DEEP = 2**14
"""16-bit images whose values stay below this were most likely taken with fewer bits."""
_OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


@dataclass(frozen=True)
class Reading:
    """How pixels are understood."""

    exif: str = "turn"
    """turn: upright, as the EXIF orientation says; ignore: as stored."""
    value_range: tuple[float, float] | None = None
    """Values of black and white in images of more than 8 bits; None: 0 and 65,535."""
    bands: int | tuple[int | str, ...] | None = None
    """Bands of an image: how many each file has, or the numbers of those that are used, in order, from 1, or the patterns of
    the files that they lie in (`band_files`); None: RGB."""
    resize_bands: str | None = None
    """bilinear or nearest: bands in files of their own may have different sizes, and get that of the largest (`band_sizes`)."""
    on_white: bool = False
    """Compose transparent pixels on white; they are refused otherwise."""

    def __post_init__(self) -> None:
        if self.exif not in ("turn", "ignore"):
            raise ValueError(f"exif={self.exif!r}; give 'turn' (upright, as EXIF says) or 'ignore' (as stored)")

    @property
    def files(self) -> tuple[str, ...]:
        """The patterns of the files in which the bands of an image lie; empty where one file has them all."""
        return tuple(band for band in self.bands if isinstance(band, str)) if isinstance(self.bands, tuple) else ()

    def paths(self, path: Path) -> tuple[Path, ...]:
        """All files of the image that has `path` as its file, or as one of them.

        Raises:
            ValueError: the bands lie in files of other names.
        """
        return band_files.of_image(path, self.files) if self.files else (path,)

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Values of more than 8 bits as uint8; those beyond black and white are clipped."""
        low, high = self.value_range or (0, 2**16 - 1)
        if values.dtype.kind == "f":
            return np.rint((np.clip(values.astype(np.float64), low, high) - low) * (255 / (high - low))).astype(
                np.uint8
            )
        shifted = np.clip(values.astype(np.int64), low, high) - low
        return np.minimum(shifted * 256 // (high - low + 1), 255).astype(np.uint8)


AS_SHOWN = Reading()


def reading(exif: str, value_range: object, bands: object = None, resize_bands: object = None) -> Reading:
    """A `Reading` from the options of a data set; `value_range` is (black, white), or white alone.

    Raises:
        ValueError: another `exif`, no range, no bands, or another way to resize them.
    """
    chosen = None if bands is None else _bands(bands)
    resize = None if resize_bands is None else _way_to_resize(resize_bands, chosen)
    if value_range is None:
        return Reading(exif, bands=chosen, resize_bands=resize)
    ends: Any = (0, value_range) if isinstance(value_range, int) else value_range
    try:
        low, high = (end if isinstance(end, int) else float(end) for end in ends)
    except (TypeError, ValueError):
        low = high = 0
    if not low < high or not math.isfinite(high - low):
        raise ValueError(
            f"value_range={value_range!r}; give the values of black and white, or of white alone, such as 4095 for 12 bits"
        )
    return Reading(exif, (low, high), chosen, resize)


def _way_to_resize(way: object, bands: int | tuple[int | str, ...] | None) -> str:
    if not isinstance(way, str) or way not in band_sizes.WAYS:
        raise ValueError(f"resize_bands={way!r}; give {' or '.join(band_sizes.WAYS)}, or leave it out")
    if not isinstance(bands, tuple) or not isinstance(bands[0], str):
        raise ValueError(
            f"resize_bands={way} needs bands in files of their own: give the ending of each band's files too, such as "
            "bands=[_B04.tif,_B11.tif], or leave it out"
        )
    return way


def _bands(bands: object) -> int | tuple[int | str, ...]:
    several: Any = bands if isinstance(bands, list | tuple) else [bands]
    if isinstance(bands, Mapping):  # with names for whoever reads them
        several = [file if isinstance(file, str) else None for file in bands.values()]
    if several and all(isinstance(band, str) and not band.isdigit() for band in several):
        return band_files.checked(several)
    if not several or not all(type(band) is int and band >= 1 for band in several):
        raise ValueError(
            f"bands={bands!r}; give how many bands each image has, such as bands=4, or the numbers of those to use, from 1 and "
            "in order, such as bands=[4,3,2,8], or the ending of each band's files, such as bands=[_B04.tif,_B08.tif]"
        )
    return tuple(several) if isinstance(bands, list | tuple) else several[0]


def reading_of(data: Mapping[str, Any], in_channels: int = 3, images: ImageRange | None = None) -> Reading:
    """How photos are read for a network: in the range and with the bands that it was trained with.

    That is what the `data` section of its experiment says, and otherwise what its training images say, as of packed ones. Where
    neither names bands and the network takes other images than RGB, each photo has `in_channels` bands.
    """
    options = data.get("options") if not is_dotted(str(data.get("name", ""))) else None
    named = dict(options) if isinstance(options, Mapping) else {}
    if images is not None:
        named = {"value_range": images.value_range, "bands": images.bands, "resize_bands": images.resize_bands} | named
    bands = named.get("bands")
    if bands is None and in_channels != 3:
        bands = in_channels
    bands = list(bands) if isinstance(bands, tuple) else bands
    return reading("turn", named.get("value_range"), bands, named.get("resize_bands"))


def reading_for(model: object) -> Reading:
    """How photos are read for a loaded network, as `reading_of`; a network without an experiment names its bands only."""
    data = getattr(getattr(model, "experiment", None), "data", None)
    described = {"name": data.name, "options": data.options} if data is not None else {}
    return reading_of(described, getattr(model, "in_channels", 3), getattr(model, "image_range", None))


def deep_values(content: bytes, image: Image.Image) -> np.ndarray | None:
    """Values of more than 8 bits, (H, W) or (H, W, 3 or 4), of a decoded image; None of one of 8 bits.

    Pillow gives the high bytes of 16-bit RGB and RGBA; the low ones are read as if the bytes were in the other order.
    """
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.asarray(image)
    if image.mode not in ("RGB", "RGBA") or image.format not in ("PNG", "TIFF"):
        return None
    with open_picture(content) as again:
        raw = _raw_mode(again)
        if raw not in _OTHER_BYTE:
            return None
        again.tile = [tile._replace(args=_with_mode(tile.args, _OTHER_BYTE[raw])) for tile in again.tile]  # type: ignore[attr-defined]
        return np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)


def _raw_mode(image: Image.Image) -> str:
    """How the bytes of the file are to be unpacked, in Pillow's name."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _with_mode(arguments: Any, mode: str) -> Any:
    return (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode


@dataclass
class Remarks:
    """Images read so far whose pixels can be understood in another way."""

    turned: dict[str, int] = field(default_factory=dict)
    """Orientation by file."""
    largest: dict[str, int] = field(default_factory=dict)
    """Largest value by file, of images of more than 8 bits."""
    stored: dict[int, str] = field(default_factory=dict)
    """The first file of each number of bands, where `bands` chooses among them."""

    def note(self, file: str, orientation: int, largest: int | None, stored: int | None = None) -> None:
        """Note what is unusual of an image."""
        if stored is not None:
            self.stored[stored] = min(file, self.stored.get(stored, file))
        if orientation != 1:
            self.turned[file] = orientation
        if largest is not None:
            self.largest[file] = largest

    def different_bands(self) -> str:
        """What is wrong with files of different numbers of bands; empty if they have one number."""
        if len(self.stored) < 2:
            return ""
        listed = "; ".join(f"{file} has {bands}" for bands, file in sorted(self.stored.items()))
        return f"bands differ between files: {listed}; save all images of a data set with the same bands"

    def lines(self, how: Reading) -> list[tuple[str, str]]:
        """Kind and sentence of each remark; none where an option says how to read them."""
        lines = []
        if self.turned and how.exif == "turn":
            count = f"{len(self.turned)} image{'s have' if len(self.turned) > 1 else ' has'}"
            lines.append((
                "images turned by EXIF",
                f"{count} an EXIF orientation, such as {min(self.turned)}: read upright, while masks have none. If the masks "
                "were drawn on the pixels as stored, give the data option exif=ignore",
            ))  # fmt: skip
        most = max(self.largest.values(), default=_DEEP)
        if most < _DEEP and how.value_range is None:
            lines.append((
                "16-bit images with fewer bits",
                f"the values of {len(self.largest)} 16-bit images, such as {min(self.largest)}, end at {most:,} of 65,535, so "
                f"they become nearly black. Give the data option value_range={2 ** max(8, most.bit_length()) - 1}",
            ))  # fmt: skip
        return lines


def turned_by_exif(orientation: int, sizes: Sequence[tuple[int, int]]) -> str:
    """What to add to an error about the sizes of image and mask if EXIF turned the image; empty if it did not."""
    if orientation == 1:
        return ""
    (height, width), mask = sizes
    fits = orientation >= 5 and (width, height) == mask
    advice = "; as stored it has the mask's size: give the data option exif=ignore" if fits else ""
    return f" (the image was turned as its EXIF orientation {orientation} says{advice})"
