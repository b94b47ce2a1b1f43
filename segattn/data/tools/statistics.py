"""Mean and standard deviation of each band over all pixels of a split, exact: from histograms of its 8-bit values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segattn.data._dataset import Dataset
from segattn.data.tools.threads import file_threads


@dataclass(frozen=True)
class Statistics:
    """Of the bands of a split, in the order in which a network takes them; values from 0 (black) to 1 (white)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    clipped: tuple[float, ...]
    """Share of the pixels that are black or white: of more than 8 bits, also those beyond the range of values."""
    num_images: int
    num_pixels: int

    @property
    def options(self) -> str:
        """The options of `segattn train` that set them."""
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        channels = "" if len(self.mean) == 3 else f"--model.in-channels {len(self.mean)} "
        return f"{channels}--model.mean {mean} --model.std {std}"


def band_statistics(
    dataset: Dataset, on_progress: Callable[[int, int], object] = lambda done, total: None
) -> Statistics:
    """Read every image of a split once, on all processors.

    Raises:
        ValueError: an image cannot be read, images differ in their number of bands, or a band has one value everywhere.
    """
    counts: np.ndarray | None = None
    first = ""
    with file_threads() as readers:
        for done, (name, histogram) in enumerate(readers.map(lambda at: _histogram(dataset, at), range(len(dataset)))):
            counts, first = (np.zeros_like(histogram), name) if counts is None else (counts, first)
            if histogram.shape != counts.shape:
                raise ValueError(
                    f"bands differ between images: {first} has {len(counts)}, {name} has {len(histogram)}; save all images of a "
                    "data set with the same bands"
                )
            counts += histogram
            on_progress(done + 1, len(dataset))
    if counts is None:
        raise ValueError(f"{dataset.name} {dataset.split} has no images")
    values, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ values / total
    std = np.sqrt(((values - mean[:, None]) ** 2 * counts).sum(axis=1) / total)
    if (constant := np.flatnonzero(std == 0)).size:
        raise ValueError(
            f"band {constant[0] + 1} of {dataset.name} {dataset.split} is {mean[constant[0]]:.4g} everywhere; leave it out with "
            "the data option bands, or give a value_range that it varies in"
        )
    present = [np.flatnonzero(row) / 255 for row in counts]
    return Statistics(
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        lowest=tuple(float(row[0]) for row in present),
        highest=tuple(float(row[-1]) for row in present),
        clipped=tuple(((counts[:, 0] + counts[:, 255]) / total).tolist()),
        num_images=len(dataset),
        num_pixels=int(total[0]),
    )


def _histogram(dataset: Dataset, index: int) -> tuple[str, np.ndarray]:
    """Name of a sample, and how often each value occurs in each band, int64 (bands, 256)."""
    sample = dataset[index]
    planes = np.moveaxis(sample.image, 2, 0)
    return sample.name, np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes])
