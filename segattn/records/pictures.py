"""The one place that opens picture files: Pillow is told which formats may be in them.

Without that it recognises a file by its content, whatever its name, and tries every decoder it has. One of them starts
Ghostscript, because PostScript is a program; others are for formats that no data set here uses.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_POSTSCRIPT = (b"%!", b"\xc5\xd0\xd3\xc6")


def open_picture(source: bytes | Path, formats: Sequence[str] = FORMATS) -> Image.Image:
    """The picture in a file or in its content, not yet decoded; a JPEG of several pictures (MPO) is a JPEG.

    Raises:
        ValueError: of none of these formats, or damaged.
        Exception: whatever else Pillow raises for a damaged header or an absurd size.
    """
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=tuple(formats))
    except UnidentifiedImageError:
        pass
    start = source[:4] if isinstance(source, bytes) else _start(source)
    if start.startswith(_POSTSCRIPT):
        raise ValueError("PostScript is a program, which is not run")
    raise ValueError(f"damaged, or no picture; these formats are read: {', '.join(formats)}")


def picture_size(path: Path, formats: Sequence[str] = FORMATS) -> tuple[int, int]:
    """Width and height as the header of a file says; nothing is decoded. Errors as of `open_picture`."""
    with open_picture(path, formats) as picture:
        return picture.size


@contextmanager
def most_pixels(number: int | None) -> Iterator[None]:
    """Inside the context, images of more than `number` pixels are refused, instead of Pillow's limit; None leaves that limit."""
    if number is None:
        yield
        return
    if number < 1:
        raise ValueError(f"--max-pixels is {number}; it must be at least 1")
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # which Pillow gives up to twice the limit
        Image.MAX_IMAGE_PIXELS = number
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)
