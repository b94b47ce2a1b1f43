"""How often 95 % intervals of a difference between two networks cover the truth, on simulated networks.

    python -m tests.report.shared.coverage [--trials 2000]        # about three minutes on one core

The networks are alike, so the true difference is zero. Each pixel is right with a probability whose logit is the sum of what is
hard for both networks (image and class, seed and class), and of what differs between them: seed, image, and both together.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from segattn.report.shared import bootstrap, student, twoway
from segattn.report.shared.bootstrap import Counts


@dataclass(frozen=True)
class Setting:
    """Sizes of a study, and standard deviations of what differs between the networks, as logits."""

    num_seeds: int
    num_images: int
    seed: float
    image: float
    both: float
    common: float = 0.15
    """Of the seed effects that both networks share."""
    classes: int = 7


KINDS = {"balanced": (0.05, 0.3, 0.3), "seeds": (0.12, 0.1, 0.3), "images": (0.01, 0.5, 0.2), "noise": (0.0, 0.0, 0.5)}
"""Which component dominates: standard deviations of seed, image, and both together."""
SIZES = ((3, 40), (3, 100), (3, 200), (5, 40), (5, 200))


def networks(setting: Setting, rng: np.random.Generator) -> tuple[Counts, Counts]:
    """Counts of two networks; classes are between everywhere and in a quarter of the images, small and large."""
    S, n, K = setting.num_seeds, setting.num_images, setting.classes
    present = rng.random((n, K)) < np.linspace(1, 0.25, K)
    labelled = np.where(present, np.exp(rng.normal(math.log(300), 1, (n, K))), 0).astype(int)
    shared = rng.normal(np.linspace(2, 0.5, K), 0.8, (n, K)) + rng.normal(0, setting.common, (S, 1, K))
    counts = []
    for _ in range(2):
        logit = shared + rng.normal(0, setting.seed, (S, 1, 1)) + rng.normal(0, setting.seed, (S, 1, K))
        logit = logit + rng.normal(0, setting.image, (n, K)) + rng.normal(0, setting.both, (S, n, K))
        probability = 1 / (1 + np.exp(-logit))
        false = rng.binomial(labelled + 20, 0.3 * (1 - probability))
        counts.append(Counts(rng.binomial(labelled, probability), labelled + false))
    return counts[0], counts[1]


def scores(counts: Counts) -> np.ndarray:
    """Mean IoU of each seed."""
    return bootstrap.with_mean(counts.top.sum(1), counts.bottom.sum(1))[:, 0]


def linearised(counts: Counts) -> np.ndarray:
    """First-order contributions of the images to mean IoU, (seeds, images), around the score."""
    tops, bottoms = (array.sum(1, keepdims=True) for array in (counts.top, counts.bottom))
    iou = tops / np.maximum(bottoms, 1)
    parts = (counts.top - iou * counts.bottom) / np.maximum(bottoms, 1)
    return scores(counts)[:, None] + counts.num_images * parts.sum(-1) / (bottoms > 0).sum(-1)


@cache
def t_quantile(df: float) -> float:
    return student.quantile(0.975, df)


def t_covers(value: float, variance: float, df: float) -> bool:
    return abs(value) <= t_quantile(round(min(df, 2000), 1)) * math.sqrt(max(variance, 0))


def candidates(a: Counts, b: Counts) -> dict[str, bool]:
    """Whether the interval of each kind covers zero."""
    by_seed = scores(a) - scores(b)
    value, S, n = float(by_seed.mean()), len(by_seed), a.num_images
    table = twoway.pseudo_values(a, b)[..., 0]
    spread, straight = twoway.analysis(table), twoway.analysis(linearised(a) - linearised(b))
    first, second = scores(a).var(ddof=1) / S, scores(b).var(ddof=1) / S
    by_image = table.mean(0)
    squares = np.array([n * by_seed.var(ddof=1), S * by_image.var(ddof=1), 0])
    rest = table - table.mean(1, keepdims=True) - by_image + table.mean()
    squares[2] = -(rest**2).sum() / ((S - 1) * (n - 1))
    degrees = (squares**2 / [S - 1, n - 1, (S - 1) * (n - 1)]).sum()
    return {
        "two-way, jackknife": t_covers(value, spread.variance(), spread.degrees()),
        "two-way, linearised": t_covers(value, straight.variance(), straight.degrees()),
        "two-way, without max(0, .)": t_covers(value, squares.sum() / (S * n), max(1, squares.sum() ** 2 / degrees)),
        "paired t over seeds": t_covers(value, spread.between_seeds / S, S - 1),
        "Welch's t over seeds": t_covers(
            value, first + second, (first + second) ** 2 * (S - 1) / (first**2 + second**2)
        ),
        "jackknife over images": t_covers(value, by_image.var(ddof=1) / n, n - 1),
    }


def joint_bootstrap_covers(a: Counts, b: Counts, rng: np.random.Generator, resamples: int = 300) -> bool:
    """The pigeonhole bootstrap with images and seeds drawn jointly for both networks."""
    S, n = a.top.shape[:2]
    weights = rng.multinomial(n, np.full(n, 1 / n), resamples).astype(float)
    a_scores, b_scores = (bootstrap.with_mean(weights @ c.top, weights @ c.bottom)[..., 0] for c in (a, b))
    seeds = rng.multinomial(S - 1, np.full(S, 1 / S), resamples).T / (S - 1)
    low, high = np.percentile((seeds * (a_scores - b_scores)).sum(0), [2.5, 97.5])
    return bool(low <= 0 <= high)


def coverage(setting: Setting, trials: int, *, resampled: int = 0) -> dict[str, float]:
    """Share of the trials in which each interval covers the truth; the bootstrap in the first `resampled` ones only."""
    covered: Counter[str] = Counter()
    for trial in range(trials):
        rng = np.random.default_rng([trial, setting.num_seeds, setting.num_images])
        a, b = networks(setting, rng)
        covered.update(name for name, covers in candidates(a, b).items() if covers)
        if trial < resampled:
            covered["joint bootstrap"] += joint_bootstrap_covers(a, b, rng)
    return {name: count / (resampled if name == "joint bootstrap" else trials) for name, count in covered.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    results = {}
    for S, n in SIZES:
        for kind, sizes in KINDS.items():
            results[S, n, kind] = coverage(Setting(S, n, *sizes), trials, resampled=trials // 10)
    names = [*candidates(*networks(Setting(2, 5, 0, 0, 0), np.random.default_rng(0))), "joint bootstrap"]
    for (S, n, kind), shares in results.items():
        print(f"{S} seeds {n:3} images {kind:8}", *(f"{100 * shares[name]:5.1f}" for name in names))
    for name in names:
        shares = [100 * result[name] for result in results.values()]
        print(f"{name:28} {min(shares):5.1f} to {max(shares):5.1f} %")


if __name__ == "__main__":
    main()
