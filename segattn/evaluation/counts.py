"""Counts of each image, kept sparse: of K x K pairs of label and prediction, few occur in one image.

The counts of COCO-Stuff's training split, 118,287 x 171 x 171 numbers, take 27.7 GB as one array, and 0.1 GB here.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.lib import format as npy

_BLOCK_BYTES = 2**24


class ImageCounts:
    """Counts of `num_images` images, each an array of `shape`; those of an image are 0 until they are set.

    >>> counts = ImageCounts(2, (2, 2))
    >>> counts.set(1, np.array([[5, 0], [0, 7]]))
    >>> counts[0:2].tolist(), counts.total().tolist()
    ([[[0, 0], [0, 0]], [[5, 0], [0, 7]]], [[5, 0], [0, 7]])
    """

    def __init__(self, num_images: int, shape: tuple[int, ...]) -> None:
        self.num_images, self.image_shape = num_images, shape
        self.entries: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """Of each image: flat positions of the counts that are not 0, and these counts, both in the narrowest type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all counts as one array."""
        return (self.num_images, *self.image_shape)

    def __len__(self) -> int:
        return self.num_images

    def set(self, index: int, counts: np.ndarray) -> None:
        """Store the counts of an image, integers that are at least 0, of shape `image_shape`."""
        flat = np.asarray(counts).reshape(math.prod(self.image_shape))
        (positions,) = np.nonzero(flat)
        values = flat[positions]
        narrow = np.min_scalar_type(int(values.max(initial=0)))
        self.entries[index] = (positions.astype(np.min_scalar_type(flat.size)), values.astype(narrow))

    def __getitem__(self, images: slice) -> np.ndarray:
        """The counts of consecutive images, int64 (n, *image_shape)."""
        chosen = range(self.num_images)[images]
        block = np.zeros((len(chosen), math.prod(self.image_shape)), np.int64)
        for row, index in enumerate(chosen):
            if index in self.entries:
                positions, values = self.entries[index]
                block[row, positions] = values
        return block.reshape(len(chosen), *self.image_shape)

    def total(self) -> np.ndarray:
        """The sum over all images, int64 of `image_shape`."""
        flat = np.zeros(math.prod(self.image_shape), np.int64)
        for positions, values in self.entries.values():
            flat[positions] += values.astype(np.int64)
        return flat.reshape(self.image_shape)

    def blocks(self) -> Iterator[np.ndarray]:
        """All counts in order, int64 (n, *image_shape), a few images at a time."""
        step = max(1, _BLOCK_BYTES // (8 * max(1, math.prod(self.image_shape))))
        for start in range(0, self.num_images, step):
            yield self[start : start + step]


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray | ImageCounts]) -> None:
    """Write an .npz file as `numpy.savez_compressed` writes it; counts of images become int64 arrays, a block at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
                if isinstance(array, np.ndarray):
                    npy.write_array(stream, array, allow_pickle=False)
                    continue
                header = {"descr": np.dtype(np.int64).str, "fortran_order": False, "shape": array.shape}
                npy.write_array_header_1_0(stream, header)
                for block in array.blocks():
                    stream.write(block.tobytes())
