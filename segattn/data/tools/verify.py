"""The check of a data set before the first training step."""

from __future__ import annotations

import numpy as np

from segattn.data._dataset import Dataset
from segattn.data.files.pairs import PairReader
from segattn.data.tools.labels import Tally
from segattn.data.tools.threads import file_threads
from segattn.records.image_range import moments


def verify(dataset: Dataset, *, limit: int = 2000, threads: int | None = None) -> int:
    """Read samples of a split as training will, so that a bad file is reported now and not hours later.

    Pairing is checked when a data set is loaded; this decodes every image and mask and checks that they are readable, equal in
    size and within the classes. Of a split with more than `limit` samples it reads `limit` evenly spaced ones, of a
    generated split the first. What was read is kept in `dataset.contents`: the digest of each sample, by which a run knows later
    whether its data are still the same. What their labels hold is kept in `dataset.labels`; if that is fewer than two classes,
    all labels of the split are read until two are met. Mean and standard deviation of each image are kept in `dataset.moments`.

    Args:
        threads: number of readers; as many as processors if None.

    Returns:
        The number of samples checked.

    Raises:
        ValueError: the first bad sample in the order of the split; file and value are named. Files differ in their bands.
    """
    if limit < 1:
        raise ValueError(f"limit {limit}; give at least 1 sample to check")
    if not dataset.from_files:
        limit = 1
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).astype(int)).tolist()

    tally = Tally(dataset)

    def read(index: int) -> tuple[str, str, np.ndarray]:
        sample = dataset[index]
        tally.add(sample.label)
        return dataset.image_name(index), dataset.digest(index, sample), moments(sample.image)

    with file_threads(threads) as readers:
        samples = list(readers.map(read, indices))
    dataset.contents = {name: digest for name, digest, _ in samples}
    dataset.moments = {name: numbers for name, _, numbers in samples}
    if isinstance(dataset.reader, PairReader) and (fault := dataset.reader.remarks.different_bands()):
        raise ValueError(fault)
    dataset.labels = tally.finished(indices, threads)
    return len(indices)
