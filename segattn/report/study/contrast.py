"""One row against another: paired by seed where both have the same seeds, and by which test."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from segattn.report.shared import bootstrap, images, student, twoway
from segattn.report.shared.student import Difference
from segattn.report.shared.text import listing
from segattn.report.shared.twoway import Spread
from segattn.report.study.rows import Row, Run
from segattn.report.study.settings import LATER, flatten, is_under

SAMPLES = (
    "data",
    "augmentation",
    "features",
    "optimization.batch_size",
    "optimization.iterations",
    "optimization.train",
    "optimization.rare_class_sampling",
)
"""Settings that fix, with the seed, which samples a run sees and in which order."""
ONE_SEED = "one seed each"
_ELSEWHERE = ("data.root",)
"""Of these, where the files lie."""
_AGREES = 1e-6
"""How exactly the counts of the images add up to the recorded mIoU."""


@dataclass(frozen=True)
class Contrast:
    """Mean IoU of one row minus that of another."""

    test: str
    """`two-way`: paired, over images and seeds. `paired`: t over paired seeds, where a run has no counts of its images.
    `seeds`: Welch's t over unpaired seeds. `images`: bootstrap over images, where a row has one seed. Empty: none."""
    difference: Difference
    """Without an interval where a row has one seed; the p value is then that of the bootstrap over images."""
    spread: Spread | None
    """What makes a paired difference uncertain."""
    unpaired: str
    """Why the rows are not paired by seed; empty where they are, or where both have one seed, of the same samples."""


def contrast(a: Row, b: Row) -> Contrast:
    """`a` minus `b`, by the first of the four tests that the records allow."""
    value = student.mean(a.values) - student.mean(b.values)
    reason = unpaired(a, b)
    if reason is None:
        return _paired(by_seed(a), by_seed(b), value)
    if min(a.n, b.n) > 1:
        return Contrast("seeds", student.difference(a.values, b.values), None, reason)
    p = _over_images(a, b)
    told = "" if reason == ONE_SEED else reason
    return Contrast("images" if p is not None else "", Difference(value, None, None, p), None, told)


def by_seed(row: Row) -> Row:
    """The row with its runs in rising order of seed."""
    return dataclasses.replace(row, runs=sorted(row.runs, key=_seed))


def unpaired(a: Row, b: Row) -> str | None:
    """Why two rows are not paired by seed; None where they are: the same seeds, at least two, of the same samples."""
    seeds_a, seeds_b = ({_seed(run): run for run in row.runs} for row in (a, b))
    missing = [(seed, b.label) for seed in sorted(seeds_a.keys() - seeds_b)]
    missing += [(seed, a.label) for seed in sorted(seeds_b.keys() - seeds_a)]
    if missing:
        names = dict.fromkeys(label for _, label in missing)
        return "; ".join(f"{label} has no {_listed([seed for seed, of in missing if of == label])}" for label in names)
    for seed, run in sorted(seeds_a.items()):
        differing = _differing(run, seeds_b[seed])
        if differing:
            return f"{a.label} and {b.label} were trained on different samples: {', '.join(differing)}"
    return ONE_SEED if len(seeds_a) < 2 else None


def _paired(a: Row, b: Row, value: float) -> Contrast:
    try:
        of_a, of_b = a.pixels, b.pixels
        images.check_same(of_a[0], of_b[0], a.label, b.label)
    except ValueError:  # then over seeds alone; `segattn compare` reports the error
        return _paired_over_seeds(a, b)
    counts_a, counts_b = images.counts(of_a), images.counts(of_b)
    agree = all(
        abs(float(bootstrap.iou(counts)[0]) - row.mean_iou) < _AGREES for counts, row in ((counts_a, a), (counts_b, b))
    )
    if not agree or counts_a.num_images < bootstrap.FEWEST_IMAGES:
        return _paired_over_seeds(a, b)
    spread = twoway.analysis(twoway.pseudo_values(counts_a, counts_b)[..., 0])
    return Contrast("two-way", twoway.of_spread(value, spread), spread, "")


def _paired_over_seeds(a: Row, b: Row) -> Contrast:
    deviation = student.deviation([first - second for first, second in zip(a.values, b.values, strict=True)])
    spread = None if deviation is None else Spread(deviation**2, 0.0, a.n, None)
    return Contrast("paired", student.paired(a.values, b.values), spread, "")


def _over_images(a: Row, b: Row) -> float | None:
    try:
        of_a, of_b = a.pixels, b.pixels
        images.check_same(of_a[0], of_b[0], a.label, b.label)
    except ValueError:  # the table then has no mark; `segattn compare` reports the error
        return None
    if a.n == b.n == 1:
        return _over_images_of_one_seed(a, b)
    return bootstrap.difference(images.counts(of_a), images.counts(of_b), of_a[0].labelled > 0)[0].p


def _over_images_of_one_seed(a: Row, b: Row) -> float | None:
    """The same p value, from what each row keeps for its other contrasts."""
    counts_a, counts_b = images.counts(a.pixels), images.counts(b.pixels)
    value = float((bootstrap.iou(counts_a) - bootstrap.iou(counts_b))[0])
    if counts_a.num_images < bootstrap.FEWEST_IMAGES or math.isnan(value):
        return None
    return bootstrap.p_value(value, a.resampled - b.resampled)


def _differing(a: Run, b: Run) -> list[str]:
    """Settings under `SAMPLES` that differ."""
    mine, other = LATER | flatten(a.record.config), LATER | flatten(b.record.config)
    keys = [key for key in dict.fromkeys([*mine, *other]) if mine.get(key) != other.get(key)]
    return [key for key in keys if key not in _ELSEWHERE and is_under(key, SAMPLES)]


def _seed(run: Run) -> int:
    return run.record.seed


def _listed(seeds: list[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {listing([*map(str, seeds)])}"
