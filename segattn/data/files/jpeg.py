"""The order of a JPEG's segments: it has no checksums, and decoders fill the rest of a truncated scan with grey."""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_SEGMENTS = {0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # markers that may follow a scan


def fault(content: bytes) -> str:
    """What is damaged in the file, in words; empty if nothing is."""
    at, scans = 2, 0
    while True:
        marker = _MARKER.search(content, at)
        if marker is None:  # no end marker after a scan; the decoder tells whether the scan is complete
            return "" if scans else "damaged: the JPEG holds no picture"
        kind = marker[1][0]
        if kind == 0xD9:
            return ""
        if scans and kind not in _SEGMENTS:
            return f"damaged: JPEG marker {kind:02x} inside a scan, at byte {marker.start()}"
        at = marker.end()
        if kind == 0x01:
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        if length < 2 or at + length > len(content):
            return f"truncated or damaged: a JPEG segment at byte {at - 2} extends beyond the file"
        at += length
        scans += kind == 0xDA
