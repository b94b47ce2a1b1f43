"""Which rows of the table are not distinguishable from the first, and by which test."""

from __future__ import annotations

from dataclasses import dataclass

from segattn.report.shared import bootstrap, images, student
from segattn.report.study.rows import Row

LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """Holm-corrected p values of the differences to the first row."""

    test: str
    """`seeds`: Welch's t over seeds. `images`: paired bootstrap over images, where a row has one seed only."""
    p: dict[str, float]
    """By label of the row; the first row has none."""

    @property
    def unclear(self) -> list[str]:
        """Rows that are not distinguishable from the first."""
        return [label for label, p in self.p.items() if p >= LEVEL]


def verdict(rows: list[Row]) -> Verdict | None:
    """None where nothing can be tested: fewer than two seeds, and no counts of the same images."""
    leader, others = rows[0], rows[1:]
    if not others:
        return None
    test, p_values = "seeds", [student.difference(leader.values, other.values).p for other in others]
    if None in p_values:
        test, p_values = "images", [_over_images(leader, other) for other in others]
    known = [p for p in p_values if p is not None]
    if len(known) < len(others):
        return None
    return Verdict(test, dict(zip((other.label for other in others), student.holm(known), strict=True)))


def _over_images(a: Row, b: Row) -> float | None:
    try:
        of_a, of_b = a.images, b.images
        images.check_same(of_a[0], of_b[0], a.label, b.label)
    except ValueError:  # the table then has no mark; `segattn compare` reports the error
        return None
    return bootstrap.difference(images.counts(of_a), images.counts(of_b), of_a[0].labelled > 0)[0].p
