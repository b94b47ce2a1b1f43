"""The range of a split's images, for the network that is trained on them, and a comparison of a split with that range."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from segattn.data._dataset import Dataset
from segattn.data.files.pixels import AS_SHOWN, Reading
from segattn.records.image_range import ImageRange, Outside, image_range, moments

GENERATED = 32
"""Images of a split that is not read from files, of which `verify` reads only the first."""


def range_of(dataset: Dataset) -> ImageRange | None:
    """The range of the images that `verify` read, or of evenly spaced ones of a generated split; no image is read twice.

    None of an empty split, and where images have different numbers of bands.
    """
    how = _how(dataset)
    numbers = list(_moments(dataset).values())
    return image_range(numbers, value_range=how.value_range, bands=how.bands, resize_bands=how.resize_bands)


def outside(trained: ImageRange | None, dataset: Dataset) -> str:
    """What is unusual about a split for a network of training images in that range, in one line; often empty."""
    compared = Outside(trained)
    for name, numbers in () if trained is None else _moments(dataset).items():
        compared.add(os.path.basename(name), numbers)
    return compared.sentence()


def _moments(dataset: Dataset) -> Mapping[str, np.ndarray]:
    if dataset.moments is not None and (dataset.from_files or len(dataset.moments) == len(dataset)):
        return dataset.moments
    if dataset.sampled_moments is None:  # a study asks after each of its runs
        indices = np.unique(np.linspace(0, len(dataset) - 1, min(GENERATED, len(dataset))).astype(int)).tolist()
        dataset.sampled_moments = {dataset.image_name(index): moments(dataset[index].image) for index in indices}
    return dataset.sampled_moments


def _how(dataset: Dataset) -> Reading:
    how = getattr(dataset.reader, "how", None)
    return how if isinstance(how, Reading) else AS_SHOWN
