"""Rare class sampling (Hoyer et al.: *DAFormer*, arXiv 2111.14887): a class is drawn, rare ones most often, then a sample.

    P(c) = exp((1 - f_c) / T) / sum_k exp((1 - f_k) / T)

where f_c is the share of class c in the labelled pixels and T the temperature: as it falls, more is drawn for the rarest class;
with a high one all classes are drawn alike. The sample is drawn evenly from those that hold the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 0.003
"""Share of the labelled pixels from which on an image or crop counts as holding a class."""


def holds(counts: np.ndarray) -> np.ndarray:
    """Whether images with these numbers of pixels (..., K) hold each class: bool (..., K)."""
    present: np.ndarray = (counts > 0) & (counts >= LEAST * counts.sum(axis=-1, keepdims=True))
    return present


@dataclass(frozen=True)
class RareClasses:
    """Draws a class and a sample for each position of a stream, as a pure function of seed and position."""

    bounds: np.ndarray
    """(K,): probability of each class, added up; a class that no label holds has none."""
    samples: tuple[np.ndarray, ...]
    """Indices of the samples that hold each class; where none holds enough of it, of all in which it occurs."""

    @staticmethod
    def of(counts: np.ndarray, temperature: float) -> RareClasses:
        """From the numbers of pixels (N, K) in the labels of N samples.

        Raises:
            ValueError: no pixel is labelled.

        >>> counts = np.array([[90, 10, 0], [100, 0, 0]])
        >>> RareClasses.of(counts, 1.0).bounds.round(3).tolist(), RareClasses.of(counts, 0.1).bounds.round(3).tolist()
        ([0.289, 1.0, 1.0], [0.0, 1.0, 1.0])
        """
        pixels = counts.sum(axis=0, dtype=np.int64)
        if not pixels.any():
            raise ValueError("no pixel is labelled; rare class sampling needs labels")
        rarity = np.where(pixels > 0, (1 - pixels / pixels.sum()) / temperature, -np.inf)
        weights = np.exp(rarity - rarity.max())
        bounds = np.cumsum(weights / weights.sum())
        held = holds(counts)
        held = np.where(held.any(axis=0), held, counts > 0)
        return RareClasses(bounds / bounds[-1], tuple(np.flatnonzero(column) for column in held.T))

    def draw(self, seed: int, position: int) -> tuple[int, int]:
        """A class, and the index of a sample that holds it."""
        rng = np.random.default_rng((seed, position, 3))
        drawn = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        return drawn, int(rng.choice(self.samples[drawn]))
