"""The check of options that count something, such as recurrences."""

from __future__ import annotations


def check_counts(**counts: object) -> None:
    """Raise ValueError unless every one is a whole number of 1 or more."""
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name}={value!r} is not possible; use 1 or more, a whole number")
