"""Rare class sampling (Hoyer et al.: *DAFormer*, arXiv 2111.14887): a class is drawn, rare ones most often, then a sample.

    P(c) = exp((1 - f_c) / T) / sum_k exp((1 - f_k) / T)

where f_c is the share of class c in the labelled pixels and T the temperature: the lower it is, the more often the rarest class
is drawn; with a high one all classes are drawn alike. The sample is drawn uniformly from those that hold the class.

Differences: a sample holds a class from a share of its pixels on, not from a number of them, so that images of any size can be
used; ignored pixels count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 0.003
"""Share of the labelled pixels from which on an image or crop holds a class."""
OCCURS, HOLDS = 1, 2


def presence(counts: np.ndarray) -> np.ndarray:
    """Of labels with these numbers of pixels (..., K): HOLDS for each class that they hold, OCCURS for fewer pixels, 0 for none.

    >>> presence(np.array([990, 8, 2, 0])).tolist()
    [2, 2, 1, 0]
    """
    occurs = counts > 0
    held = occurs & (counts >= LEAST * counts.sum(axis=-1, keepdims=True))
    return (OCCURS * occurs + (HOLDS - OCCURS) * held).astype(np.uint8)


@dataclass(frozen=True)
class RareClasses:
    """Draws a class and a sample for each position of a stream, as a pure function of seed and position."""

    bounds: np.ndarray
    """(K,): cumulative probabilities of the classes; one that no label has is never drawn."""
    samples: tuple[np.ndarray, ...]
    """Indices of the samples that hold each class; where none holds enough of it, of all in which it occurs."""

    @staticmethod
    def of(pixels: np.ndarray, present: np.ndarray, temperature: float) -> RareClasses:
        """From the pixels (K,) of each class in all labels, and `presence` (N, K) in each of them.

        Raises:
            ValueError: no pixel is labelled, or a temperature that is not above 0.

        >>> counts = np.array([[90, 10, 0], [100, 0, 0]])
        >>> [RareClasses.of(counts.sum(axis=0), presence(counts), T).bounds.round(3).tolist() for T in (1.0, 0.1)]
        [[0.289, 1.0, 1.0], [0.0, 1.0, 1.0]]
        """
        if not temperature > 0:
            raise ValueError(f"rare_class_sampling={temperature} should be above 0, or 0 to turn it off (usual: 0.01)")
        if not pixels.any():
            raise ValueError("no pixel is labelled; rare class sampling needs labels")
        rarity = np.where(pixels > 0, -pixels / pixels.sum(), -np.inf)
        with np.errstate(over="ignore"):  # of the lowest temperatures
            bounds = np.cumsum(np.exp((rarity - rarity.max()) / temperature))
        least = np.where((present == HOLDS).any(axis=0), HOLDS, OCCURS)
        return RareClasses(bounds / bounds[-1], tuple(np.flatnonzero(column) for column in (present >= least).T))

    def draw(self, seed: int, position: int) -> tuple[int, int]:
        """A class, and the index of a sample that holds it."""
        rng = np.random.default_rng((seed, position, 3))
        drawn = int(np.searchsorted(self.bounds, rng.random(), side="right"))
        return drawn, int(rng.choice(self.samples[drawn]))
