"""Images of any number of bands: TIFF through `tifffile` (extra `tiff`), NumPy arrays, and the usual pictures.

A TIFF holds its bands in one page (interleaved or one after the other) or one band in each page; reduced pages and masks are
skipped. An array (.npy) has the shape (H, W) or (H, W, bands). Of other pictures the bands are those of the file: grey 1, grey
with alpha 2, RGB 3, RGBA 4; palettes count as RGB.

Where the bands lie in files of their own, all bands of all files are taken (`band_files`), in the size of the largest
(`band_sizes`).

8-bit values stay as they are. Those of more bits become 8 bits between the values of black and white, `Reading.value_range`,
which only 16-bit whole numbers may leave out (0 to 65,535).
"""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segattn.data.files.band_sizes import to_one_size
from segattn.data.files.pixels import Reading, deep_values

SUFFIXES = (".npy",)
"""Of files that are read only where `bands` says which of their values are an image."""
MOST_BANDS = 512
MOST_DECODED_BYTES = 2**32
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_GREY_OR_RGB = (1, 2)  # TIFF's photometric interpretations in which a larger value is brighter
_CODEC = "needs a codec that is not installed: pip install imagecodecs, or save it with deflate or without compression"


@dataclass(frozen=True)
class Bands:
    """An image as `Reading.bands` chooses."""

    values: np.ndarray
    """uint8 (H, W, bands)."""
    stored: int
    """Number of bands in the file."""
    orientation: int
    """EXIF's."""
    largest: int | None
    """Largest value, of whole numbers of more than 8 bits."""
    span: tuple[float, float] | None = None
    """Smallest and largest value, of those of more than 8 bits."""


def read(content: bytes, how: Reading, opened: Callable[[], tuple[Image.Image, int, int]]) -> Bands:
    """The bands that `how` names; `opened` gives another picture, its EXIF orientation, and the one by which to turn it.

    Raises:
        ValueError: damaged, too large, of another layout or number of bands, of a compression whose codec is missing, of values
            without a defined black and white, or not finite.
        Exception: whatever else `tifffile` and Pillow raise for a damaged file.
    """
    if content.startswith(_NPY):
        values, orientation, turn = _of_array(content, how), 1, 1
    elif content.startswith(TIFF):
        values, orientation = _of_tiff(content, how)
        turn = orientation if how.exif == "turn" else 1
    else:
        picture, orientation, turn = opened()
        values = _of_picture(picture, deep_values(content, picture))
    largest = int(values.max()) if values.dtype.kind in "iu" and values.dtype.itemsize > 1 and values.size else None
    chosen = _eight_bits(_chosen(upright(values, turn), how), how)
    span = (float(values.min()), float(values.max())) if values.dtype.itemsize > 1 and values.size else None
    return Bands(np.ascontiguousarray(chosen), values.shape[2], orientation, largest, span)


def stacked(images: Sequence[Bands], paths: Sequence[Path], resize: str | None = None) -> Bands:
    """One image of the bands of several files, in their order; `resize` as `Reading.resize_bands`.

    Raises:
        DifferentSizes: they have different heights or widths, and are not to be resized or do not belong together.
    """
    if len(images) == 1:
        return images[0]
    return Bands(
        np.concatenate(to_one_size([image.values for image in images], paths, resize), axis=2),
        sum(image.stored for image in images),
        images[0].orientation,
        max((image.largest for image in images if image.largest is not None), default=None),
        spanned([image.span for image in images]),
    )


def spanned(spans: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """The smallest and the largest value of all; None if there are none."""
    present = [span for span in spans if span is not None]
    return (min(low for low, _ in present), max(high for _, high in present)) if present else None


def _of_picture(image: Image.Image, deep: np.ndarray | None) -> np.ndarray:
    """All values (H, W, bands) of a decoded picture; `deep` are those of more than 8 bits, if it has them."""
    if deep is not None:
        return deep if deep.ndim == 3 else deep[:, :, None]
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    values = np.asarray(image)
    return values if values.ndim == 3 else values[:, :, None]


def _chosen(values: np.ndarray, how: Reading) -> np.ndarray:
    _check_bands(values.shape[2], how)
    numbers = _numbers(how)
    return values[:, :, [number - 1 for number in numbers]] if numbers else values


def _numbers(how: Reading) -> list[int]:
    """The numbers of the bands that are used; empty where all are."""
    return [band for band in how.bands if isinstance(band, int)] if isinstance(how.bands, tuple) else []


def _check_bands(stored: int, how: Reading) -> None:
    what = f"it has {stored} band{'' if stored == 1 else 's'}"
    if numbers := _numbers(how):
        if max(numbers) > stored:
            raise ValueError(f"{what}, and bands has {max(numbers)}; give numbers from 1 to {stored}")
    elif isinstance(how.bands, int) and stored != how.bands:
        some = ",".join(map(str, range(1, min(stored, how.bands) + 1)))
        raise ValueError(
            f"{what}, and bands={how.bands} expects {how.bands}; to choose some, give a list: bands=[{some}]"
        )


def _eight_bits(values: np.ndarray, how: Reading) -> np.ndarray:
    kind = values.dtype
    if kind == np.uint8:
        return values
    if kind == np.bool_:
        return values.astype(np.uint8) * 255
    if kind.kind not in "iuf":
        raise ValueError(f"its values are of type {kind}; expected whole or floating-point numbers")
    if how.value_range is None and kind != np.uint16:
        raise ValueError(
            f"values of type {kind} have no defined white level; give the data option value_range, such as value_range=[0,1]"
        )
    if kind.kind == "f" and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ValueError(f"{count} value{' is' if count == 1 else 's are'} not finite; replace what is nan or infinite")
    return how.to_bytes(values)


def _of_array(content: bytes, how: Reading) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array file of version {version[0]}.{version[1]}; 1.0 and 2.0 are read")
    shape, _, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"an array of type {dtype}; expected numbers, which need no pickle")
    if len(shape) not in (2, 3):
        raise ValueError(f"an array of shape {shape}; expected (height, width, bands) or (height, width)")
    _check_size(shape[0], shape[1], math.prod(shape[2:]), dtype.itemsize)
    _check_bands(math.prod(shape[2:]), how)
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError("truncated or damaged: the array is not as long as its header says")
    values = np.load(io.BytesIO(content), allow_pickle=False)
    return values if values.ndim == 3 else values[:, :, None]


def _of_tiff(content: bytes, how: Reading) -> tuple[np.ndarray, int]:
    try:
        import tifffile
    except ImportError:
        raise ValueError("TIFF files of chosen bands need the extra tiff: pip install 'segattn[tiff]'") from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it prints what it then raises
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        pages: list[Any] = []
        page: Any
        for page in file.pages:
            if not (page.is_reduced or page.is_mask):
                pages.append(_checked(page, len(content)))
            if len(pages) > MOST_BANDS:
                raise ValueError(f"more than {MOST_BANDS} pages; expected one image")
        if not pages:
            raise ValueError("it has no page with an image")
        first = pages[0]
        several = [page for page in pages if (page.shaped, page.dtype) != (first.shaped, first.dtype)]
        if several or (len(pages) > 1 and _bands(first) > 1):
            raise ValueError(f"it holds {len(pages)} images; expected one, or pages of one band each and of one size")
        _check_size(first.imagelength, first.imagewidth, len(pages) * _bands(first), first.dtype.itemsize)
        _check_bands(len(pages) * _bands(first), how)
        orientation = int(first.tags.valueof(274, 1) or 1)
        return np.concatenate([_values(page) for page in pages], axis=2), orientation if orientation in range(
            1, 9
        ) else 1


def _checked(page: Any, size: int) -> Any:
    """The page, whose data lie in the file and which `tifffile` can decode."""
    if page.photometric not in _GREY_OR_RGB or page.dtype is None or page.imagedepth != 1:
        kind = getattr(page.photometric, "name", page.photometric)
        raise ValueError(f"a page of kind {kind} and type {page.dtype}; expected plain bands, where larger is brighter")
    if not page.dataoffsets or len(page.dataoffsets) != len(page.databytecounts):
        raise ValueError("damaged: a page without data")
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start + length > size:
            raise ValueError("truncated or damaged: a page extends beyond the file")
    return page


def _bands(page: Any) -> int:
    planes, _, _, _, interleaved = page.shaped
    return int(planes * interleaved)


def _values(page: Any) -> np.ndarray:
    """(H, W, bands) of a page."""
    try:
        stored = page.asarray(maxworkers=1)
    except (ImportError, KeyError, ValueError) as error:
        if "imagecodecs" in str(error) or isinstance(error, ImportError):
            name = getattr(page.compression, "name", page.compression)
            raise ValueError(f"its compression {name} {_CODEC}") from None
        raise
    planes, _, height, width, interleaved = page.shaped
    values: np.ndarray = stored.reshape(planes, height, width, interleaved).transpose(1, 2, 0, 3)
    return values.reshape(height, width, planes * interleaved)


def _check_size(height: int, width: int, bands: int, itemsize: int) -> None:
    """Refuse sizes as Pillow does, before anything is decoded: `--max-pixels` sets the limit for both."""
    if min(height, width, bands) < 1:
        raise ValueError(f"it is empty: {width}x{height} pixels of {bands} bands")
    if bands > MOST_BANDS or height * width * bands * itemsize > MOST_DECODED_BYTES:
        raise ValueError(
            f"{width}x{height} pixels of {bands} bands; at most {MOST_BANDS} bands and "
            f"{MOST_DECODED_BYTES // 2**30} GiB are read: cut it into tiles"
        )
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        what = f"Image size ({height * width} pixels) exceeds limit of {limit} pixels, could be decompression bomb DOS attack."
        if height * width > 2 * limit:
            raise Image.DecompressionBombError(what)
        warnings.warn(what, Image.DecompressionBombWarning, stacklevel=2)


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Values (H, W, bands) turned as an EXIF orientation from 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return values[::rows, ::columns]
