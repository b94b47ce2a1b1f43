"""Both networks with their mechanisms cut out: how much each of them relies on attention, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segattn.report.shared import bootstrap, images
from segattn.report.study import contribution
from segattn.report.study.contribution import Pair
from segattn.report.study.rows import Row

_NOTHING = Pair(None, None)


@dataclass(frozen=True)
class WithoutLine:
    """One score of both networks, each with its mechanism and without."""

    name: str
    a: Pair
    b: Pair


@dataclass(frozen=True)
class Without:
    """Scores without attention; a network that has no mechanism, or was not scored without it, has none."""

    scores: list[WithoutLine]
    """Mean IoU, boundaries and strata."""
    classes: list[WithoutLine]
    """In the data set's order."""
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None]
    """95 % interval over images of the difference in mean IoU of A and of B; None where the images do not give one."""
    replaced: str
    """What took the place of the mechanism's output, in a sentence."""

    @property
    def sides(self) -> list[str]:
        """`a`, `b` or both: the networks that have scores."""
        return [side for side in ("a", "b") if getattr(self.scores[0], side).without is not None]

    def pairs(self, line: WithoutLine) -> list[Pair]:
        """The line's scores of the networks that have scores."""
        return [getattr(line, side) for side in self.sides]


def without(a: Row, b: Row, *, resamples: int, seed: int) -> Without | None:
    """None where neither network was scored without its mechanism."""
    if contribution.mean_iou(a).without is None and contribution.mean_iou(b).without is None:
        return None
    by_name = [{"mIoU": contribution.mean_iou(row), **contribution.details(row)} for row in (a, b)]
    names = list(dict.fromkeys(name for pairs in by_name for name in pairs))
    by_class = [contribution.classes(row) or [_NOTHING] * len(row.iou) for row in (a, b)]
    class_names = a.runs[0].record.class_names
    return Without(
        scores=[WithoutLine(name, *(pairs.get(name, _NOTHING) for pairs in by_name)) for name in names],
        classes=[WithoutLine(name, *pairs) for name, *pairs in zip(class_names, *by_class, strict=True)],
        intervals=(_interval(a, resamples, seed), _interval(b, resamples, seed)),
        replaced=contribution.replaced([a, b]),
    )


def _interval(row: Row, resamples: int, seed: int) -> tuple[float, float] | None:
    """Percentile interval of without minus with, mean over the seeds, which every resample of the images has in common."""
    both = [(run.without, images.counts([run])) for run in row.images if run.without is not None]
    if not both or len(row.images[0].names) < bootstrap.FEWEST_IMAGES:
        return None
    drawn = [bootstrap.resampled(cut, having, resamples=resamples, seed=seed)[:, 0] for cut, having in both]
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return float(low), float(high)
