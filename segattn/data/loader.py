"""Batches for training and evaluation: which sample comes when is a pure function of seed and position.

Position p of the endless training stream is sample p mod n of a permutation that seed and epoch (p div n) fix, augmented
with a generator that seed and p fix; with rare class sampling seed and p fix the sample too. Iteration i of batch size b
holds positions b*i to b*i + b - 1, whoever computes them: so a resumed run, any number of workers and any number of
processes see the same batches.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segattn.config import Augmentation
from segattn.data._dataset import Dataset
from segattn.data._workers import leave_signals_to_the_parent
from segattn.data.items import Images, Item, Items, augmented
from segattn.data.rare_classes import RareClasses
from segattn.data.transforms import Normalization


class Batch(TypedDict):
    """Samples of one size: with `image`, or with `features` instead."""

    image: NotRequired[Tensor]
    """float32 (B, C, H, W), normalised."""
    features: NotRequired[list[Tensor]]
    """The four maps (B, C_i, H_i, W_i) of a frozen backbone; those that no head reads have no channels."""
    label: Tensor | None
    """int64 (B, H, W); None in a split without labels."""
    names: list[str]
    indices: list[int]
    """Index of each sample in the data set."""


class TrainingStream:
    """The endless stream of augmented batches of a labelled split.

    Args:
        batch_size: samples of one iteration over all processes.
        rank: this process takes the `rank`-th of `world_size` equal shares of each batch; in rank order they make up
            the batch of a single process.
        num_workers: worker processes, 0 computes inline; no influence on what comes out.
        items: the samples to draw from, prepared; by default each sample of `dataset`, augmented anew for each position.
        network: what declares how images enter it, such as an experiment's `model`; see `transforms.Normalization.of`.
        rare: draws the samples, in place of permutations, by the classes that they hold; so are crops, unless `items` are given.

    Raises:
        ValueError: an empty split, images of other bands than the network takes, a batch that does not divide, a rank out of
            range, a negative seed.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        pin_memory: bool = False,
        items: Items | None = None,
        network: object = None,
        rare: RareClasses | None = None,
    ) -> None:
        _check_share(rank, world_size)
        if len(dataset) == 0:
            raise ValueError(f"{dataset.name} {dataset.split} is empty; training needs at least one image")
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(f"batch_size {batch_size} cannot be shared by {world_size} processes; give a multiple")
        if seed < 0:
            raise ValueError(f"seed {seed}; expected 0 or more")
        self.dataset = dataset
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.items = items
        self.rare = rare
        self.normalization = Normalization.of(network)
        if items is None:
            _check_bands(dataset, self.normalization)

    def sample_index(self, position: int) -> int:
        """Which sample of the data set, or which of `items`, stands at a position of the stream."""
        return self.drawn(position)[1]

    def drawn(self, position: int) -> tuple[int | None, int]:
        """The class that a position of the stream is drawn for, if any, and its `sample_index`."""
        if self.rare is not None:
            return self.rare.draw(self.seed, position)
        size = len(self.dataset if self.items is None else self.items)
        epoch, offset = divmod(position, size)
        return None, int(_permutation(self.seed, epoch, size)[offset])

    def positions(self, iteration: int) -> range:
        """Positions of the stream that this process computes in an iteration."""
        share = self.batch_size // self.world_size
        start = iteration * self.batch_size + self.rank * share
        return range(start, start + share)

    def batches(self, start_iteration: int = 0, stop_iteration: int | None = None) -> Iterator[Batch]:
        """Batches of iterations `start_iteration` up to `stop_iteration`, endless if None."""
        iteration = start_iteration
        plan = _Plan(self, start_iteration, stop_iteration)
        if self.num_workers:
            yield from DataLoader(
                _Positions(self),  # type: ignore[arg-type]
                batch_sampler=plan,
                num_workers=self.num_workers,
                collate_fn=_collate,
                pin_memory=self.pin_memory,
                generator=torch.Generator(),  # leaves the global one alone, or a resumed run would differ
                worker_init_fn=leave_signals_to_the_parent,
            )
            return
        items = _Positions(self)
        while stop_iteration is None or iteration < stop_iteration:
            yield _collate([items[position] for position in self.positions(iteration)])
            iteration += 1


class _Plan:
    """The positions of each iteration, in the form that DataLoader takes."""

    def __init__(self, stream: TrainingStream, start: int, stop: int | None) -> None:
        self.stream, self.start, self.stop = stream, start, stop

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start
        while self.stop is None or iteration < self.stop:
            yield list(self.stream.positions(iteration))
            iteration += 1


class _Positions:
    """The stream as a sequence of single augmented samples."""

    def __init__(self, stream: TrainingStream) -> None:
        self.stream = stream

    def __getitem__(self, position: int) -> Item:
        stream = self.stream
        wanted, index = stream.drawn(position)
        if stream.items is not None:
            return stream.items[index]
        words, augmentation = (stream.seed, position), stream.augmentation
        return augmented(stream.dataset, index, words, augmentation, stream.normalization, wanted)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 1)).permutation(size)  # three words: no position's generator


class EvaluationStream:
    """Whole images of a split, each exactly once over all processes, unaugmented.

    Args:
        batch_size: neighbours of one size come together up to this number.
        limit: only the first so many samples of the split, all if None.
        items: one for each sample of the split, used instead of reading it.
        network: as of `TrainingStream`.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        limit: int | None = None,
        items: Items | None = None,
        network: object = None,
    ) -> None:
        _check_share(rank, world_size)
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}; expected at least 1")
        if limit is not None and limit < 1:
            raise ValueError(f"limit {limit}; expected at least 1 image")
        self.dataset = dataset
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.indices = range(len(dataset))[:limit][rank::world_size]
        if items is None and len(dataset):
            _check_bands(dataset, Normalization.of(network))
        self.items: Items = Images(dataset, network) if items is None else items

    def __len__(self) -> int:
        """Images (not batches) that this process evaluates."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[Item] = []
        for item in self._items():
            if waiting and (len(waiting) == self.batch_size or _size(item) != _size(waiting[0])):
                yield _collate(waiting)
                waiting = []
            waiting.append(item)
        if waiting:
            yield _collate(waiting)

    def _items(self) -> Iterator[Item]:
        if not self.num_workers:
            return (self.items[index] for index in self.indices)
        loader: DataLoader[Item] = DataLoader(
            self.items,  # type: ignore[arg-type]
            batch_size=None,
            sampler=self.indices,
            num_workers=self.num_workers,
            generator=torch.Generator(),
            worker_init_fn=leave_signals_to_the_parent,
        )
        return iter(loader)


def _collate(items: list[Item]) -> Batch:
    inputs, labels, names, indices = zip(*items, strict=True)
    label = None if labels[0] is None else _stacked(labels)
    batch: Batch = {"label": label, "names": list(names), "indices": list(indices)}
    if isinstance(inputs[0], Tensor):
        return {"image": _stacked(inputs), **batch}
    return {"features": [_stacked(maps) for maps in zip(*inputs, strict=True)], **batch}


def _size(item: Item) -> tuple[int, ...]:
    """Of the image; of the label where there are feature maps instead."""
    sized = item[0] if isinstance(item[0], Tensor) else item[1]
    assert sized is not None
    return tuple(sized.shape[-2:])


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """One more dimension in front; a single tensor is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))


def _check_bands(dataset: Dataset, normalization: Normalization) -> None:
    """Raise ValueError, before workers start, if the first image has other bands than the network takes."""
    top = dataset.lazily(0).top_left(1, 1)
    bands = top.shape[2] if isinstance(top, np.ndarray) else len(top.getbands())
    normalization.check(bands, f"image {dataset.image_name(0)} of {dataset.name} {dataset.split}")


def _check_share(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size} processes; expected 0 to {world_size - 1}")
