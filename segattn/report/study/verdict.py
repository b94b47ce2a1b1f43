"""Which rows of the table are not distinguishable from the first, or from the baseline, and by which test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segattn.report.shared import student
from segattn.report.study.contrast import Contrast

LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """Holm-corrected p values of several rows against one."""

    contrasts: dict[str, Contrast]
    """By label of the row; the row that they are compared with has none."""
    p: dict[str, float]
    """By label; corrected for their number."""

    @property
    def unclear(self) -> list[str]:
        """Rows that are not distinguishable from the one they are compared with."""
        return [label for label, p in self.p.items() if p >= LEVEL]

    @property
    def tests(self) -> list[str]:
        """The tests used, each once: see `Contrast.test`."""
        return list(dict.fromkeys(contrast.test for contrast in self.contrasts.values()))


def verdict(contrasts: Mapping[str, Contrast]) -> Verdict | None:
    """None where something cannot be tested: fewer than two seeds, and no counts of the same images."""
    known = [contrast.difference.p for contrast in contrasts.values() if contrast.difference.p is not None]
    if not contrasts or len(known) < len(contrasts):
        return None
    return Verdict(dict(contrasts), dict(zip(contrasts, student.holm(known), strict=True)))
