"""What a mechanism's attention maps hold, for one image in float32, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Maps:
    """`formula` counts elements; `calls` is how often one forward pass makes such maps."""

    formula: str
    elements: Callable[[int, int, int], int]
    """Of H, W, C."""
    calls: int = 1
    note: str = ""


def _blocks(extent: int) -> int:
    return -(-extent // 8)


def _interlaced(h: int, w: int, c: int) -> int:
    """Both attentions, on the map padded to multiples of 8."""
    groups = _blocks(h) * _blocks(w)
    return 64 * groups * (groups + 64)


MAPS: dict[str, Maps] = {
    "non_local": Maps("N^2", lambda h, w, c: (h * w) ** 2),
    "danet": Maps("N^2 + C^2", lambda h, w, c: (h * w) ** 2 + c * c),
    "dnlnet": Maps("N^2 + N", lambda h, w, c: (h * w) ** 2 + h * w),
    "denoised_nl": Maps(
        "n^2", lambda h, w, c: (-(-h // 2) * -(-w // 2)) ** 2, note="9 n^2 where the 3x3 neighbours are laid out"
    ),
    "reconet": Maps("C N", lambda h, w, c: c * h * w, note="the tensor A, no softmax; r C N where each term is stored"),
    "flanet": Maps("(H + W) C^2", lambda h, w, c: (h + w) * c * c),
    "emanet": Maps("N K", lambda h, w, c: h * w * 64, calls=3, note="in each of 3 rounds, without gradient"),
    "isanet": Maps("N' (N'/P^2 + P^2)", _interlaced, note="N': padded to multiples of P = 8"),
    "ccnet": Maps("N (H + W)", lambda h, w, c: h * w * (h + w), calls=2, note="in each of 2 recurrences"),
}


def mebibytes(head: str, height: int, width: int, channels: int = 512) -> float:
    """MiB of one set of maps."""
    return MAPS[head].elements(height, width, channels) * 4 / 2**20
