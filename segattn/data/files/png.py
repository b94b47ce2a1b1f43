"""The top left part of an 8-bit RGB PNG: rows below it are not inflated, pixels to the right of it are not unfiltered.

PNG's filters use only pixels to the left and above. So the part is a valid PNG of its own: its inflated rows, cut off on the
right and wrapped as uncompressed deflate blocks. If they are installed (extra `fast`), ISA-L inflates and libspng unfilters,
both with vector instructions; otherwise Pillow decodes whole rows. The pixels are the same.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

try:
    import pyspng
    from isal import isal_zlib
except ImportError:
    pyspng = isal_zlib = None  # type: ignore[assignment]

Buffer = bytes | memoryview

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_BLOCK = 65535
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def top_left(stream: bytes, size: tuple[int, int], rows: int, columns: int) -> np.ndarray | Image.Image:
    """At least the first `rows` rows and `columns` columns, uint8 (h, w, 3) or RGB.

    Args:
        stream: the content of the IDAT chunks.
        size: height and width of the image.

    Raises:
        Exception: whatever the decoders raise on a broken stream.
    """
    width = size[1]
    if pyspng is None or 1 + 3 * columns > _LONGEST_BLOCK:
        part = Image.frombytes("RGB", (width, rows), stream, "zip", "RGB")
        if part.crop((0, rows - 1, width, rows)).getbbox() is None:
            _refuse_short(stream, rows * (1 + 3 * width))
        return part
    needed = rows * (1 + 3 * width)
    filtered = isal_zlib.decompressobj().decompress(stream, needed)
    _refuse_fewer(len(filtered), needed)
    table = np.frombuffer(filtered, np.uint8).reshape(rows, 1 + 3 * width)
    pixels: np.ndarray = pyspng.load(_stored(table[:, : 1 + 3 * columns]))
    return pixels


def refuse_missing_rows(header: bytes, stream: bytes, last_row: np.ndarray) -> None:
    """Raise if the pixel data ends early: Pillow leaves the missing rows black, which is class 0 in a mask.

    Args:
        header: content of the IHDR chunk.
        stream: content of the IDAT chunks.
        last_row: as Pillow decoded it.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if last_row.any() and not interlaced:
        return
    needed = 0
    for top, left, down, right in _ADAM7 if interlaced else _WHOLE:
        rows, columns = len(range(top, height, down)), len(range(left, width, right))
        needed += rows * (1 + (columns * _CHANNELS[colour] * depth + 7) // 8) if columns else 0
    _refuse_short(stream, needed)


def _refuse_short(stream: bytes, needed: int) -> None:
    _refuse_fewer(len(zlib.decompressobj().decompress(stream, needed)), needed)


def _refuse_fewer(length: int, needed: int) -> None:
    if length < needed:
        raise ValueError(f"truncated: its pixels end after {length} of {needed} bytes")


def _stored(filtered: np.ndarray) -> bytes:
    """A PNG of filtered rows, uint8 (h, 1 + 3 w), each row as an uncompressed deflate block."""
    rows, length = filtered.shape
    blocks = np.empty((rows, 5 + length), np.uint8)
    blocks[:, :5] = np.frombuffer(struct.pack("<BHH", 0, length, length ^ 0xFFFF), np.uint8)
    blocks[-1, 0] = 1  # the last one
    blocks[:, 5:] = filtered
    header = struct.pack(">IIBBBBB", (length - 1) // 3, rows, 8, 2, 0, 0, 0)
    # The stream begins with zlib's header; the decoder never reaches the checksum that should end it.
    parts = (*_chunk(b"IHDR", header), *_chunk(b"IDAT", b"\x78\x01", blocks.data.cast("B")), *_chunk(b"IEND"))
    return b"".join((SIGNATURE, *parts))


def _chunk(kind: bytes, *contents: Buffer) -> Iterator[Buffer]:
    checksum = zlib.crc32(kind)
    for content in contents:
        checksum = isal_zlib.crc32(content, checksum)
    yield from (sum(map(len, contents)).to_bytes(4, "big"), kind, *contents, checksum.to_bytes(4, "big"))
