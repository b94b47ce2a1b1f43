"""Several networks against the first of them, on the same images; p values corrected for their number (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segattn.report.comparison.compare import Comparison, Line, compare, told_apart
from segattn.report.shared import bootstrap, student
from segattn.report.study.rows import Row
from segattn.report.study.study import Study
from segattn.report.study.verdict import LEVEL


@dataclass(frozen=True)
class Several:
    """At least two networks, each against the same first one."""

    study: Study
    """Of all rows, the first one first, the others as they were named."""
    comparisons: list[Comparison]
    """Each of the others (A) against the first (B)."""
    p: list[float | None]
    """Of the differences in mIoU, Holm-corrected for their number; None where there are too few images."""
    class_p: list[list[float | None]]
    """Of each network, those of its classes, corrected for all classes of all networks."""

    @property
    def first(self) -> Row:
        """The network that the others are compared with."""
        return self.study.rows[0]

    @property
    def others(self) -> list[Row]:
        """The rows of `comparisons`."""
        return self.study.rows[1:]

    @property
    def num_compared(self) -> tuple[int, int]:
        """How many p values the corrections are for: of networks, and of classes of networks."""
        return sum(p is not None for p in self.p), sum(p is not None for line in self.class_p for p in line)

    @property
    def clear(self) -> list[bool]:
        """Which of the others are distinguishable from the first in mIoU."""
        return [p is not None and p < LEVEL for p in self.p]


def compare_several(
    networks: Sequence[Study], *, resamples: int = bootstrap.RESAMPLES, seed: int = bootstrap.SEED
) -> Several:
    """Compare the only network of each study with that of the first one, each pair as `compare` does.

    Raises:
        ValueError: fewer than three networks, the same network twice, or as `compare`.
    """
    if len(networks) < 3:
        raise ValueError(f"several networks are three or more, not {len(networks)}; compare two with compare()")
    rows = told_apart([network.rows[0] for network in networks])
    seen: dict[str, str] = {}
    for row in rows:
        for run in row.runs:
            folder = str(run.folder.resolve())
            if seen.setdefault(folder, row.label) is not row.label:
                raise ValueError(f"{run.folder}: a network is not compared with itself; name each network once")
    comparisons = [compare(other, networks[0], resamples=resamples, seed=seed) for other in networks[1:]]
    records = list({id(record): record for network in networks for record in network.studies}.values())
    classes = [line.difference.p for pair in comparisons for line in pair.classes]
    num_classes = len(comparisons[0].classes)
    corrected = _corrected(classes)
    return Several(
        study=Study(rows=rows, studies=records),
        comparisons=comparisons,
        p=_corrected([pair.total.difference.p for pair in comparisons]),
        class_p=[corrected[start : start + num_classes] for start in range(0, len(corrected), num_classes)],
    )


def _corrected(values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction for the number of values that are there."""
    adjusted = iter(student.holm([value for value in values if value is not None]))
    return [None if value is None else next(adjusted) for value in values]


def lines(several: Several) -> list[tuple[Row, Line, float | None]]:
    """Each of the others with its difference in mIoU and the corrected p value."""
    return [(row, pair.total, p) for row, pair, p in zip(several.others, several.comparisons, several.p, strict=True)]
