"""Single samples as a network takes them: whole images, or augmented copies."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segattn.config import Augmentation
from segattn.data._dataset import Dataset, Scene
from segattn.data.transforms import Normalization, augment, augmented_label, to_tensor

Item = tuple[Tensor | list[Tensor], Tensor | None, str, int]
"""One sample: the image float32 (C, H, W), or the feature maps (C_i, H_i, W_i) of a frozen backbone instead; label (H, W); name;
index in the data set."""


class Items(Protocol):
    """A sequence of samples."""

    def __len__(self) -> int: ...
    def __getitem__(self, item: int, /) -> Item: ...


class LabelledItems(Items, Protocol):
    """Samples to train on, whose labels can be read without their images."""

    def label(self, item: int, /) -> np.ndarray: ...


class Images:
    """A data set as a sequence of whole samples in tensors."""

    def __init__(self, dataset: Dataset, network: object = None) -> None:
        self.dataset, self.normalization = dataset, Normalization.of(network)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        sample = self.dataset[index]
        label = None if sample.label is None else torch.from_numpy(sample.label).long()
        return to_tensor(sample.image, self.normalization), label, sample.name, index


class AugmentedCopies:
    """A fixed number of augmented copies of each sample: copy c of sample i is item `copies * i + c`, drawn from (seed, i, c)."""

    def __init__(
        self, dataset: Dataset, augmentation: Augmentation, *, copies: int, seed: int, network: object = None
    ) -> None:
        self.dataset, self.augmentation, self.copies, self.seed = dataset, augmentation, copies, seed
        self.normalization = Normalization.of(network)
        self._scene: tuple[int, Scene] | None = None

    def __len__(self) -> int:
        return len(self.dataset) * self.copies

    def __getitem__(self, item: int) -> Item:
        index, copy = divmod(item, self.copies)
        return augmented(self.dataset, index, (self.seed, index, copy, 2), self.augmentation, self.normalization)

    def label(self, item: int) -> np.ndarray:
        """The label of an item alone, uint8 (H, W); copies of one sample in a row read it once."""
        index, copy = divmod(item, self.copies)
        if self._scene is None or self._scene[0] != index:
            self._scene = index, self.dataset.lazily(index)
        rng = np.random.default_rng((self.seed, index, copy, 2))
        return augmented_label(self._scene[1], rng, self.augmentation)


def augmented(
    dataset: Dataset,
    index: int,
    words: tuple[int, ...],
    augmentation: Augmentation,
    normalization: Normalization,
    wanted: int | None = None,
) -> Item:
    """A sample augmented with the generator that `words` seed."""
    sample = dataset.lazily(index)
    image, label = augment(sample, np.random.default_rng(words), augmentation, normalization.colour, wanted=wanted)
    return to_tensor(image, normalization), torch.from_numpy(label).long(), sample.name, index
