"""Student's t in plain Python: intervals of a mean, two means compared (Welch's t, paired t), Holm's correction.

The distribution function is 1 - I_x(df/2, 1/2) / 2 with x = df / (df + t^2), I the regularised incomplete beta function, by
its continued fraction (Abramowitz and Stegun, 26.5.8, evaluated by Lentz's method).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A difference of two means."""

    value: float
    low: float | None
    """Lower end of the 95 % interval; None where the values are too few to estimate it."""
    high: float | None
    p: float | None
    """Two-sided p value; None where there is no interval."""


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Interval of the mean, mean ± t s / sqrt(n); None for fewer than two values."""
    spread = deviation(values)
    if spread is None:
        return None
    half = quantile(0.5 + level / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Difference:
    """Mean of `a` minus mean of `b`, with Welch's interval and p value (variances not assumed equal)."""
    value = mean(a) - mean(b)
    spread_a, spread_b = deviation(a), deviation(b)
    if spread_a is None or spread_b is None:
        return Difference(value, None, None, None)
    share_a, share_b = spread_a**2 / len(a), spread_b**2 / len(b)
    variance = share_a + share_b
    df = variance**2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1)) if variance else math.inf
    return of_error(value, math.sqrt(variance), df, level)


def paired(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Difference:
    """Mean of the differences `a[s] - b[s]`, with the paired t interval and p value (S - 1 degrees of freedom).

    Raises:
        ValueError: `a` and `b` of different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values come in pairs, not {len(a)} and {len(b)}; use difference() for unpaired ones")
    differences = [first - second for first, second in zip(a, b, strict=True)]
    spread = deviation(differences)
    if spread is None:
        return Difference(mean(differences), None, None, None)
    return of_error(mean(differences), spread / math.sqrt(len(differences)), len(differences) - 1, level)


def of_error(value: float, error: float, df: float, level: float = 0.95) -> Difference:
    """The t interval and p value of a difference with the standard error `error` on `df` degrees of freedom."""
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.0)
    half = quantile(0.5 + level / 2, df) * error
    return Difference(value, value - half, value + half, 2 * (1 - distribution(abs(value) / error, df)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for the number of comparisons (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def distribution(t: float, df: float) -> float:
    """P(T <= t) for Student's t with `df` degrees of freedom (any positive real)."""
    tail = _incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2
    return 1 - tail if t >= 0 else tail


def quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, for p in [0.5, 1), by bisection.

    >>> round(quantile(0.975, 2), 4)
    4.3027
    """
    low, high = 0.0, 1.0
    while distribution(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if distribution(middle, df) < p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), regularised."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(400):
        m = step // 2
        if step == 0:
            numerator = 1.0
        elif step % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + numerator * d)
        c = 1 + numerator / c
        fraction *= c * d
        if step and abs(1 - c * d) < 1e-15:
            break
    return front * (fraction - 1)
