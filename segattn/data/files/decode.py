"""Decodes images and index masks, whole or as far as they are needed; errors name the file and the value."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segattn.catalogue import read_bytes
from segattn.data._dataset import IGNORE
from segattn.data.files import bands, jpeg, png
from segattn.data.files.pixels import AS_SHOWN, ORIENTATION, Reading, deep_values, orientation_of
from segattn.records.integrity import one_line
from segattn.records.pictures import open_picture
from segattn.records.pictures import picture_size as picture_size

Chunks = list[tuple[bytes, memoryview]]

MOST_BYTES = 2**30
"""Of an encoded image."""
_REFUSED = 254
# Chunks that may rotate the image or make it transparent: Pillow then reads it whole.
_PNG_EXTRAS = {b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tRNS", b"acTL"}


class ImageFile:
    """An image in memory, still encoded; only as many rows and columns are decoded as are asked for.

    `orientation` is its EXIF's, 1 if it has none; `largest` its largest value if they have more than 8 bits; `stored` and
    `span` the number of bands in the file and their smallest and largest value of more than 8 bits, where `how` names bands.

    Raises:
        ValueError: no such file, damaged, truncated or absurdly large, with transparent pixels (unless `how` composes them), or
            of floating-point values without a range.
    """

    def __init__(self, path: Path, how: Reading = AS_SHOWN, content: bytes | None = None) -> None:
        """Read the file, or take its `content`, which `path` then only names in errors."""
        self.path, self.orientation = path, 1
        self.largest: int | None = None
        self.stored: int | None = None
        self.span: tuple[float, float] | None = None
        self._rows: Image.Image | np.ndarray | None = None
        if how.bands is not None:
            self._rows = values = self._bands(content, how)
            self.size: tuple[int, int] = (values.shape[0], values.shape[1])
            return
        content = _content(path, "image") if content is None else content
        if (plain := _plain_png(path, content)) is not None:
            self.size, self._stream = plain
        else:
            self._rows = picture = self._decoded(content, how)
            self.size = picture.height, picture.width

    def _decoded(self, content: bytes, how: Reading) -> Image.Image:
        loaded, self.orientation, turn = _opened(self.path, content, "image", how)
        try:
            values = None if loaded.mode == "RGBA" else deep_values(content, loaded)
        except Exception as error:  # Pillow's decoders raise errors of any type on a broken file
            raise _unreadable(self.path, "image", error) from error
        self.largest = None if values is None or not values.size else int(values.max())
        return _turned(_rgb(self.path, loaded, values, how), turn)

    def _bands(self, content: bytes | None, how: Reading) -> np.ndarray:
        """The bands that `how` names, uint8 (H, W, bands)."""
        paths = how.paths(self.path) if content is None else (self.path,)
        image = bands.stacked([_bands_of(path, content, how) for path in paths], paths, how.resize_bands)
        self.orientation, self.largest = image.orientation, image.largest
        self.stored, self.span = image.stored, image.span
        return image.values

    def pixels(self) -> np.ndarray:
        """The whole image, uint8 (H, W, bands): RGB unless `how` named others."""
        picture = self.top_left(*self.size)
        return picture if isinstance(picture, np.ndarray) else np.array(picture)

    def top_left(self, rows: int, columns: int) -> np.ndarray | Image.Image:
        """The first rows and columns or more, RGB, upright; the rest of a PNG is not decoded."""
        if self._rows is not None:
            return self._rows
        try:
            return png.top_left(self._stream, self.size, min(rows, self.size[0]), min(columns, self.size[1]))
        except Exception as error:  # Pillow's decoders raise errors of any type on a broken file
            raise _unreadable(self.path, "image", error) from error


def _bands_of(path: Path, content: bytes | None, how: Reading) -> bands.Bands:
    content = _content(path, "image") if content is None else content
    try:
        return bands.read(content, how, partial(_opened, path, content, "image", how))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, "image", error) from None
    except Exception as error:  # decoders raise errors of any type on a broken file
        named = str(error).startswith(f"{path}: ")
        raise error if named else _unreadable(path, "image", one_line(error)) from error


def read_image(path: Path, how: Reading = AS_SHOWN) -> np.ndarray:
    """Read an image as uint8 (H, W, bands), RGB unless `how` names others; upright, and more than 8 bits are scaled to 8.

    Raises:
        ValueError: as `ImageFile`.
    """
    return ImageFile(path, how).pixels()


def read_label(
    path: Path, num_classes: int, mapping: Mapping[int, int] | None = None, how: Reading = AS_SHOWN
) -> np.ndarray:
    """Read an index mask as uint8 (H, W). A palette mask gives its indices, not its colours.

    Args:
        mapping: the class of each stored value; other values are an error, and 255 is ignored unless it is among them.
            None: the stored values are the classes.

    Raises:
        ValueError: unreadable, of several channels, or a value that is neither allowed nor 255; file, value and place are
            named.
    """
    mask = open_mask(path, how)
    table = {value: value for value in range(num_classes)} if mapping is None else mapping
    if mask.mode not in ("L", "P"):
        stored = np.asarray(mask)
        _refuse(path, stored, table)
        mask = Image.fromarray(stored.astype(np.uint8))
    # One pass maps values that are not allowed to 254, which no class has; the next finds them (255 + 1 is 0 in a byte).
    marked = [table.get(value, IGNORE if value == IGNORE else _REFUSED) for value in range(256)]
    label = np.array(mask.point(marked))
    if label.size and int((label + np.uint8(1)).max()) > _REFUSED:
        _refuse(path, np.asarray(mask), table)
    return label


def open_mask(path: Path, how: Reading = AS_SHOWN) -> Image.Image:
    """The mask, decoded, of mode L, P, 1, I or I;16; turned if it has an EXIF orientation of its own.

    Raises:
        ValueError: unreadable or of several channels.
    """
    mask = decoded_mask(path, how)
    if mask.mode not in ("1", "L", "P", "I") and not mask.mode.startswith("I;16"):
        raise ValueError(
            f"{path}: a mask of mode {mask.mode} ({len(mask.getbands())} channels); expected one channel of class indices"
        )
    return mask


def decoded_mask(path: Path, how: Reading = AS_SHOWN, content: bytes | None = None) -> Image.Image:
    """The mask, decoded, of any mode; turned if it has an EXIF orientation of its own. `content` as of `ImageFile`.

    Raises:
        ValueError: unreadable.
    """
    loaded, _, turn = _opened(path, _content(path, "mask") if content is None else content, "mask", how)
    return _turned(loaded, turn)


def _refuse(path: Path, values: np.ndarray, table: Mapping[int, int]) -> None:
    bad = ~np.isin(values, [*table, IGNORE])
    if bad.any():
        row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise ValueError(
            f"{path}: label value {int(values[row, column])} at row {row}, column {column} "
            f"({int(bad.sum())} such pixels); allowed are {ranges(table)} and {IGNORE} (ignored)"
        )


def ranges(values: Mapping[int, int]) -> str:
    """`0 to 18, 21` for the keys 0, 1, ..., 18 and 21; 255 is left out."""
    parts: list[list[int]] = []
    for value in sorted(set(values) - {IGNORE}):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(f"{low} to {high}" if high > low else str(low) for low, high in parts)


def _content(path: Path, what: str) -> bytes:
    try:
        content = read_bytes(path, most=MOST_BYTES)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such {what}") from None
    except OSError as error:
        raise _unreadable(path, what, error.strerror) from None
    if not content:
        raise ValueError(f"{path}: unreadable {what} (the file is empty)")
    return content


def _unreadable(path: Path, what: str, reason: object) -> ValueError:
    return ValueError(f"{path}: unreadable {what} ({reason})")


def _too_large(path: Path, what: str, reason: object) -> ValueError:
    advice = (
        "if you trust it, segattn predict, evaluate, data check and data pack read it with a larger --max-pixels; for training, "
        "pack it or cut it into tiles"
    )
    return ValueError(f"{_unreadable(path, what, reason)}; {advice}")


def _opened(path: Path, content: bytes, what: str, how: Reading) -> tuple[Image.Image, int, int]:
    """The picture as Pillow decodes it, its EXIF orientation, and the one by which it is still to be turned."""
    chunks = _check(path, content, what)
    try:
        with open_picture(content) as image:
            if image.format in ("GIF", "TIFF", "WEBP") and getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"it holds {image.n_frames} pictures; expected one")  # type: ignore[attr-defined]
            before = orientation_of(image)
            image.load()
            if chunks:
                png.refuse_missing_rows(bytes(chunks[0][1]), _pixel_stream(chunks), np.asarray(image)[-1])
            after, loaded = orientation_of(image), image.copy()
            loaded.format = image.format
            if how.exif == "turn":
                return loaded, before, after
            back = 1 if after == before else {6: 8, 8: 6}.get(before, before)  # Pillow turns a TIFF itself
            return loaded, before, back
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, what, error) from None
    except Exception as error:
        other = content.startswith(bands.TIFF) and what == "image" and how.bands is None
        advice = "; a TIFF of other bands than RGB is read with the data option bands, such as bands=4" if other else ""
        raise _unreadable(path, what, f"{error}{advice}") from error


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright, as this EXIF orientation says."""
    image.getexif()[ORIENTATION] = orientation
    return image if orientation == 1 else ImageOps.exif_transpose(image)


def _rgb(path: Path, image: Image.Image, values: np.ndarray | None, how: Reading) -> Image.Image:
    if values is not None:
        if image.mode in ("I", "F") and (image.mode == "F" or image.format != "PNG") and how.value_range is None:
            raise ValueError(
                f"{path}: pixels of mode {image.mode} have no defined white level; save the image as 8-bit RGB, or give the "
                "data option value_range, such as value_range=4095"
            )
        return Image.fromarray(how.to_bytes(values)).convert("RGB")
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
        if int(alpha.min()) < 255 and how.on_white:
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        if int(alpha.min()) < 255:
            raise ValueError(f"{path}: has transparent pixels (alpha {int(alpha.min())}); flatten it to RGB")
    return image.convert("RGB")


def _plain_png(path: Path, content: bytes) -> tuple[tuple[int, int], bytes] | None:
    """Height and width, and the compressed rows, of an 8-bit RGB PNG that needs no other step."""
    if not content.startswith(png.SIGNATURE):
        return None
    chunks = _png_chunks(path, content, "image")
    kinds = {kind for kind, _ in chunks}
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    if form != [8, 2, 0, 0, 0] or kinds & _PNG_EXTRAS or not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 2**31):
        return None
    return (height, width), _pixel_stream(chunks)


def _pixel_stream(chunks: Chunks) -> bytes:
    return b"".join(data for kind, data in chunks if kind == b"IDAT")


def _check(path: Path, content: bytes, what: str) -> Chunks:
    """The chunks of a PNG, none for another format; raises on damage that decoders do not report."""
    if content.startswith(png.SIGNATURE):
        return _png_chunks(path, content, what)
    if content.startswith(b"\xff\xd8") and (fault := jpeg.fault(content)):
        raise _unreadable(path, what, fault)
    return []


def _png_chunks(path: Path, content: bytes, what: str) -> Chunks:
    """Kind and data of every chunk. Pillow skips the checksums of the pixels; here each one is checked."""
    view, chunks, at = memoryview(content), [], len(png.SIGNATURE)
    while True:
        if at + 12 > len(content):
            raise _unreadable(path, what, "truncated: the PNG has no end")
        length = int.from_bytes(view[at : at + 4], "big")
        if (end := at + 12 + length) > len(content):
            raise _unreadable(path, what, f"truncated or damaged: a PNG chunk at byte {at} extends beyond the file")
        kind = bytes(view[at + 4 : at + 8])
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise _unreadable(path, what, f"damaged: wrong checksum of the PNG chunk at byte {at}")
        chunks.append((kind, view[at + 8 : end - 4]))
        if kind == b"IEND":
            break
        at = end
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise _unreadable(path, what, "damaged: the PNG does not begin with its header")
    return chunks
