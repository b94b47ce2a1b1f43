"""A split where a data set has none: a pure function of each image's name, so that a new image moves no other."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

DEFAULT = 0.2
"""Share of the images that are for validation."""


def checked_fraction(fraction: object, seed: object, *, what: str) -> tuple[float, int]:
    """Fraction and seed, if they make a split.

    Raises:
        ValueError: the fraction is not between 0 and 1, or the seed is no whole number from 0.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise ValueError(
            f"val_fraction={fraction!r} of data set {what}; give a share between 0 and 1, such as {DEFAULT}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"split_seed={seed!r} of data set {what}; give a whole number, 0 or more")
    return float(fraction), seed


def validation_names(names: Iterable[str], fraction: float, seed: int) -> set[str]:
    """The names for validation: those whose hash with the seed is below the fraction. Each part has one image at least.

    Raises:
        ValueError: fewer than two names.

    >>> sorted(validation_names(["a", "b", "c", "d", "e"], 0.5, 0))
    ['b', 'c', 'e']
    """
    places = {name: _place(name, seed) for name in names}
    if len(places) < 2:
        raise ValueError(
            f"{len(places)} image{'s' if not places else ''}: a split into training and validation needs two"
        )
    order = sorted(places, key=lambda name: (places[name], name))
    below = sum(places[name] < fraction for name in order)
    return set(order[: min(max(below, 1), len(order) - 1)])


def repeated(names: Sequence[str], *, most: int = 3) -> str:
    """A sentence on last parts of names that several names share; empty if there are none, or if most names share theirs."""
    counts = Counter(name.rpartition("/")[2] for name in names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if not twice or sum(counts[name] for name in twice) > len(names) / 2:
        return ""
    more = f" and {len(twice) - most} more" if len(twice) > most else ""
    return f"names that occur in several folders: {', '.join(twice[:most])}{more}; those that show the same may be in both parts"


def _place(name: str, seed: int) -> float:
    """Uniform in [0, 1)."""
    composed = unicodedata.normalize("NFC", name)  # macOS stores accents apart
    return (
        int.from_bytes(hashlib.sha256(f"{seed}/{composed}".encode("utf-8", "surrogateescape")).digest()[:8], "big")
        / 2**64
    )
