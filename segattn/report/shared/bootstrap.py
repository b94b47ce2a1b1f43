"""Paired bootstrap over images: how much the difference between two networks would vary with other images.

Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 13 (percentile interval) and 15; Koehn, *Statistical
Significance Tests for Machine Translation Evaluation*, EMNLP 2004 (pairing of two systems on one test set).

One resample draws n of the n images with replacement, the same for both networks, adds up the images' counts and takes the
difference of the scores of the sums: what is resampled is the data set's mIoU, not a mean over images. 10,000 resamples, drawn
by numpy's PCG64 from seed 0. The 95 % interval is from the 2.5th to the 97.5th percentile of the differences, the p value
twice the smaller of the shares of resamples (plus one, Davison and Hinkley 1997, section 4.2) on either side of zero.

With several seeds of a network, images and seeds are resampled apart, since every seed has seen every image (Owen, *The
pigeonhole bootstrap*, Annals of Applied Statistics 2007); the score is the mean over the seeds drawn. Of S seeds, S - 1 are
drawn with replacement: S draws would make their variance too small by (S - 1) / S (Rao and Wu, JASA 1988). The seeds of the two
networks are drawn apart: this is the comparison for networks whose seeds differ. `twoway` compares those with the same seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from segattn.report.shared.student import Difference

RESAMPLES = 10_000
SEED = 0
FEWEST_IMAGES = 10
"""With fewer images there is no interval: they are too few to represent the data set."""
_BLOCK = 2_000_000
"""Image draws in memory at once."""
_KEPT = 100_000_000
"""Image draws that are kept for the next network: 200 MB."""


@dataclass(frozen=True)
class Counts:
    """Intersections and unions of one network: float64 or integers (seeds, images, classes)."""

    top: np.ndarray
    bottom: np.ndarray

    @property
    def num_images(self) -> int:
        return self.top.shape[1]


def iou(counts: Counts) -> np.ndarray:
    """Scores of the whole data set, float64 (1 + classes,): the mean over classes first; each the mean over seeds."""
    ones = np.ones((1, counts.num_images))
    return _over_seeds(_scores(counts, ones), np.ones((1, len(counts.top))))[0]


def difference(
    a: Counts, b: Counts, occurs: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Difference]:
    """`a` minus `b` in the mean over classes, then in each class; a value of nan where a class has no score.

    `occurs`, bool (images, classes), tells which images the score of a class rests on: a class that is in fewer than 10 of
    them, and everything where there are fewer than 10 images, has neither interval nor p value.
    """
    differences = resampled(a, b, resamples=resamples, seed=seed)
    values = iou(a) - iou(b)
    enough = np.append(a.num_images >= FEWEST_IMAGES, occurs.sum(0) >= FEWEST_IMAGES)
    return [
        _summary(value, column) if known else Difference(float(value), None, None, None)
        for value, column, known in zip(values, differences.T, enough & ~np.isnan(values), strict=True)
    ]


def resampled(a: Counts, b: Counts, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """The differences in each resample, float64 (resamples, 1 + classes), that of the mean over classes first."""
    rng = np.random.default_rng(seed)
    drawn = []
    for weights in _image_weights(a.num_images, resamples, rng):
        seeds = [_seed_weights(len(counts.top), len(weights), rng) for counts in (a, b)]
        first, second = (_over_seeds(_scores(c, weights), w) for c, w in zip((a, b), seeds, strict=True))
        drawn.append(first - second)
    return np.concatenate(drawn)


def one_seed_scores(network: Counts, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """The mean IoU over classes of a network of one seed in each resample, float64 (resamples,).

    The draws are those of `resampled`: with one seed they are of images only, and so the same for all networks.
    """
    both = np.concatenate([network.top[0], network.bottom[0]], axis=1).astype(np.float64)
    if network.num_images * resamples <= _KEPT:
        blocks: Iterable[np.ndarray] = _kept_weights(network.num_images, resamples, seed)
    else:
        blocks = _image_weights(network.num_images, resamples, np.random.default_rng(seed))
    return np.concatenate([_mean_scores(weights.astype(np.float64) @ both) for weights in blocks])


@functools.lru_cache(maxsize=1)
def _kept_weights(num_images: int, resamples: int, seed: int) -> list[np.ndarray]:
    weights = _image_weights(num_images, resamples, np.random.default_rng(seed))
    return [block.astype(np.uint16) for block in weights]


def _mean_scores(sums: np.ndarray) -> np.ndarray:
    """Mean IoU over classes, (resamples,), of the sums of intersections and then those of unions, (resamples, 2 classes)."""
    tops, bottoms = np.split(sums, 2, axis=1)
    if (bottoms > 0).all():
        return np.asarray((tops / bottoms).sum(-1) / tops.shape[-1])
    return with_mean(tops, bottoms)[:, 0]


def p_value(value: float, differences: np.ndarray) -> float:
    """The p value of a difference, of its values in each resample, as in `difference`."""
    p = _summary(value, differences).p
    assert p is not None
    return p


def _summary(value: float, differences: np.ndarray) -> Difference:
    known = differences[~np.isnan(differences)]  # a class may be missing from a resample
    low, high = np.percentile(known, [2.5, 97.5])
    side = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return Difference(float(value), float(low), float(high), min(1.0, 2 * (side + 1) / (len(known) + 1)))


def _image_weights(num_images: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each image is drawn, float64 (resamples in this block, images)."""
    rows = max(1, _BLOCK // num_images)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        draws = rng.integers(0, num_images, (count, num_images)) + num_images * np.arange(count)[:, None]
        weights = np.bincount(draws.ravel(), minlength=count * num_images)
        yield weights.reshape(count, num_images).astype(np.float64)


def _seed_weights(num_seeds: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each seed is drawn, (resamples, seeds)."""
    draws = max(1, num_seeds - 1)
    return rng.multinomial(draws, np.full(num_seeds, 1 / num_seeds), size=resamples).astype(np.float64)


def _scores(counts: Counts, weights: np.ndarray) -> np.ndarray:
    """IoU of the resampled sums, (seeds, resamples, 1 + classes), the mean over classes first; nan where undefined."""
    return with_mean(*(weights @ values.astype(np.float64) for values in (counts.top, counts.bottom)))


def with_mean(tops: np.ndarray, bottoms: np.ndarray) -> np.ndarray:
    """IoU of sums, float64 (..., 1 + classes) of (..., classes), the mean over classes first; nan where undefined."""
    by_class = np.divide(tops, bottoms, out=np.full(np.shape(tops), np.nan), where=bottoms > 0)
    return np.concatenate([_known_mean(by_class, np.ones_like(by_class), -1)[..., None], by_class], axis=-1)


def _over_seeds(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the seeds drawn, (resamples, 1 + classes)."""
    return _known_mean(scores, np.broadcast_to(weights.T[..., None], scores.shape), 0)


def _known_mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    known = ~np.isnan(values)
    total, weight = np.where(known, weights * values, 0).sum(axis), (weights * known).sum(axis)
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
