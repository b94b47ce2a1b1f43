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
    "efficient": Maps("2 N D + D^2", lambda h, w, c: h * w * c + (c // 2) ** 2, note="p, r and G; D = C/2"),
    "external": Maps("N S", lambda h, w, c: h * w * 64),
    "agent": Maps("2 h N n", lambda h, w, c: 2 * 8 * h * w * 49, note="A1 and A2; h = 8 heads, n = 49 agents"),
    "polarized": Maps("2 N + C", lambda h, w, c: 2 * h * w + c, note="the pooling and both gates"),
    "large_kernel": Maps("C N", lambda h, w, c: c * h * w, note="the gate, no softmax"),
    "neighborhood": Maps("h N K^2", lambda h, w, c: 16 * h * w * 49, note="h = 16 heads, K = 7"),
    "ss2d": Maps(
        "4 N E S", lambda h, w, c: 4 * h * w * c, note="the states, no softmax; at most a 16th kept in `fast`"
    ),
    "ocr": Maps("2 N K", lambda h, w, c: 2 * h * w * 19, note="M and A, 19 classes"),
    "hamburger": Maps(
        "N R", lambda h, w, c: h * w * 64, calls=7, note="in each of 7 updates, 6 of them without gradient"
    ),
    "ccnet": Maps("N (H + W)", lambda h, w, c: h * w * (h + w), calls=2, note="in each of 2 recurrences"),
    "star": Maps("N (3H + W)", lambda h, w, c: h * w * (3 * h + w), calls=2, note="in each of 2 recurrences"),
}


def mebibytes(head: str, height: int, width: int, channels: int = 512) -> float:
    """MiB of one set of maps."""
    return MAPS[head].elements(height, width, channels) * 4 / 2**20
