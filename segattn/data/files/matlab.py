"""Numeric arrays and structures from MATLAB files of level 5, enough for the masks of VOC's augmented list and COCO-Stuff 10k.

Source: *MAT-File Format*, The MathWorks, chapter 1 (level 5). A file is a header of 128 bytes and a sequence of elements: a tag
(type, length) and data, padded to 8 bytes; a tag with its upper half set holds up to 4 bytes itself. An array (type 14) is made
of the elements flags, dimensions, name and values, in the order of columns; a compressed element (type 15) is a zlib stream of
one element.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segattn.catalogue import read_bytes

_VALUES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_ARRAY, _COMPRESSED, _STRUCTURE, _COMPLEX = 14, 15, 2, 0x0800
_LIMIT = 1 << 30  # bytes of one decompressed variable


def read(path: Path) -> dict[str, Any]:
    """Variables of a file: arrays of numbers, and structures of one element as dicts; others are left out.

    Raises:
        ValueError: not a MATLAB file of level 5, or a damaged one.
    """
    content = read_bytes(path, most=_LIMIT)
    if len(content) < 136 or content[126:128] not in (b"IM", b"MI"):
        raise ValueError(f"{path}: not a MATLAB file of level 5 (older and HDF5 files are not supported)")
    order = "<" if content[126:128] == b"IM" else ">"
    try:
        variables = {}
        for kind, data in _elements(content[128:], order):
            if kind == _COMPRESSED:
                stream = zlib.decompressobj()
                inner = stream.decompress(data, _LIMIT)
                if stream.unconsumed_tail:
                    raise ValueError("a variable of more than 1 GiB")
                kind, data = next(_elements(inner, order))
            if kind == _ARRAY:
                name, value = _array(data, order)
                if value is not None:
                    variables[name] = value
        return variables
    except (zlib.error, struct.error, KeyError, StopIteration, IndexError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: damaged MATLAB file ({error})") from error


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, at)
        if kind >> 16:  # type and length share one word, the data is in the other
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise ValueError(f"an element of {length} bytes in 4")
            yield kind, content[at + 4 : at + 4 + length]
            at += 8
            continue
        if at + 8 + length > len(content):
            raise ValueError(f"an element of {length} bytes exceeds the one that holds it")
        yield kind, content[at + 8 : at + 8 + length]
        at += 8 + (length if kind == _COMPRESSED else -(-length // 8) * 8)


def _array(data: bytes, order: str) -> tuple[str, Any]:
    elements = _elements(data, order)
    (flags,) = struct.unpack_from(order + "I", next(elements)[1])
    shape = np.frombuffer(next(elements)[1], order + "i4")
    name = next(elements)[1].decode("latin-1")
    if flags & 0xFF == _STRUCTURE and shape.prod() == 1:
        (width,) = struct.unpack(order + "i", next(elements)[1])
        names = next(elements)[1]
        keys = [names[at : at + width].split(b"\0")[0].decode() for at in range(0, len(names), width)]
        return name, {key: _array(next(elements)[1], order)[1] for key in keys}
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        return name, None
    kind, stored = next(elements)
    values = np.frombuffer(stored, order + _VALUES[kind])
    return name, values.astype(_CLASSES[flags & 0xFF]).reshape(tuple(shape), order="F")
