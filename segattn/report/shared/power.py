"""How many seeds, or images, a difference needs to be detected.

The test is the two-way t of `twoway`. With a true difference d, standard error e and df degrees of freedom its t follows the
noncentral t distribution, (Z + d / e) / W with Z normal and df W^2 chi-squared with df degrees of freedom (Johnson, Kotz and
Balakrishnan, *Continuous Univariate Distributions 2*, chapter 31). So with the critical value c

    power = mean over W of Phi(d / e - c W) + Phi(-d / e - c W)
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from segattn.report.shared import student
from segattn.report.shared.twoway import Spread

POWER = 0.8
"""Wanted chance to detect the difference."""
LEVEL = 0.05
"""Two-sided level of the test."""
MOST_SEEDS = 1000
"""Numbers of seeds above this are not told apart."""


def power(difference: float, error: float, df: float) -> float:
    """Chance that a two-sided t test at the 5 % level detects a true `difference` with standard error `error`.

    >>> round(power(1.0, 0.5, 1e6), 3)  # Phi(2 - 1.96) + Phi(-2 - 1.96)
    0.516
    """
    if error == 0:
        return 1.0 if difference else LEVEL
    df = min(df, 1e6)
    width = 12 / math.sqrt(2 * df)
    w = np.linspace(max(1e-6, 1 - width), 1 + width, 2001)
    density = np.exp((df - 1) * np.log(w) - df * (w**2 - 1) / 2)
    critical, shift = student.quantile(1 - LEVEL / 2, df), abs(difference) / error
    detected = _normal(shift - critical * w) + _normal(-shift - critical * w)
    return float((density * detected).sum() / density.sum())


def seeds_needed(spread: Spread, difference: float) -> float:
    """Fewest seeds (at least 2) that detect `difference` with 80 % power on the same images; math.inf: no number does.

    Numbers above 1,000 are given as 1,001.
    """

    def enough(num_seeds: float) -> bool:
        return power(difference, math.sqrt(spread.variance(num_seeds)), spread.degrees(num_seeds)) >= POWER

    if not enough(math.inf):
        return math.inf
    return _fewest(enough, MOST_SEEDS)


def images_needed(spread: Spread, difference: float) -> int:
    """Fewest images that detect `difference` with 80 % power if there are as many seeds as one likes.

    Raises:
        ValueError: the spread says nothing about images.
    """
    if spread.num_images is None:
        raise ValueError("the number of images needed is unknown: the choice of images was not measured")
    single = spread.between_images * spread.num_images

    def enough(num_images: float) -> bool:
        of_images = dataclasses.replace(spread, between_images=single / num_images, num_images=int(num_images))
        return power(difference, math.sqrt(of_images.variance(math.inf)), of_images.degrees(math.inf)) >= POWER

    most = 2
    while not enough(most):
        most *= 2
    return _fewest(enough, most)


def _fewest(enough, most: int) -> int:  # type: ignore[no-untyped-def]
    """The smallest number from 2 to `most` that is enough, by bisection; `most` + 1 where none is."""
    low, high = 2, most + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _normal(x: np.ndarray) -> np.ndarray:
    """The normal distribution function."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
