"""How many seeds or images the study would need to detect a small difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segattn.report.shared import power
from segattn.report.shared.student import mean
from segattn.report.shared.twoway import Spread
from segattn.report.study.study import Study

DIFFERENCE = 0.005
"""Half a point of mIoU."""


@dataclass(frozen=True)
class Sensitivity:
    """What detects a difference of `DIFFERENCE`, in one comparison without correction."""

    spread: Spread
    """Of the differences to the baseline, or to the first row where there is none; variances are means over the rows."""
    num_rows: int
    """Rows that they are means of."""
    seeds: float
    """Seeds needed on the same images; math.inf: no number is enough."""
    images: int | None
    """Images needed at least, where no number of seeds is enough."""


def sensitivity(study: Study) -> Sensitivity | None:
    """From the rows paired by seed, with the choice of images where it was measured; None where no rows are paired."""
    contrasts = study.contrasts or (study.verdict.contrasts if study.verdict else {})
    spreads = [contrast.spread for contrast in contrasts.values() if contrast.spread is not None]
    measured = [spread for spread in spreads if spread.num_images is not None] or spreads
    if not measured:
        return None
    pooled = Spread(
        mean([spread.between_seeds for spread in measured]),
        mean([spread.between_images for spread in measured]),
        min(spread.num_seeds for spread in measured),
        measured[0].num_images,
    )
    seeds = power.seeds_needed(pooled, DIFFERENCE)
    images = power.images_needed(pooled, DIFFERENCE) if math.isinf(seeds) else None
    return Sensitivity(pooled, len(measured), seeds, images)
