"""The counts of each image that a run wrote beside its record: the basis of comparisons image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segattn import records
from segattn.evaluation import strata
from segattn.records.files import StoredArray
from segattn.report.shared.bootstrap import Counts
from segattn.report.shared.sources import inside


@dataclass(frozen=True)
class Images:
    """Counts of one run: n images, K classes, all pixels that are not ignored."""

    names: tuple[str, ...]
    labelled: np.ndarray
    """Pixels of each class, (n, K)."""
    predicted: np.ndarray
    """Pixels predicted as each class, (n, K)."""
    right: np.ndarray
    """Pixels of each class predicted as such, (n, K)."""
    boundary: np.ndarray | None
    """Intersection and union of the boundary bands, (n, 2, K)."""
    strata: np.ndarray | None
    """Labelled pixels and those predicted right, (n, 2, K, sizes, widths)."""
    without: Counts | None = None
    """Intersections and unions without the mechanism, (1, n, K)."""

    def mean_iou(self) -> np.ndarray:
        """Of each image, the mean IoU over the classes labelled in it, float64 (n,); nan for one without labels."""
        union = self.labelled + self.predicted - self.right
        present = self.labelled > 0
        iou = np.where(present, self.right / np.maximum(union, 1), 0)
        count = present.sum(1)
        return np.divide(iou.sum(1), count, out=np.full(len(iou), np.nan), where=count > 0)


def read(folder: Path, file: str, num_classes: int, *, details: bool = True) -> Images:
    """The counts in `file`, a path relative to the run's folder; without `details`, labelled, predicted and right pixels only.

    Raises:
        ValueError: the file is missing, outside the run's folder, unreadable, or of another number of classes or images.
    """
    path = inside(folder, file)
    if path is None:
        raise ValueError(f"{folder / file}: counts of images are read from inside the run's folder {folder} only")
    try:
        with records.open_arrays(path) as arrays:
            return _of_arrays(path, arrays, num_classes, details=details)
    except FileNotFoundError:
        raise ValueError(
            f"{path}: no such file, which the run wrote beside its record; restore it or run it again"
        ) from None
    except (OSError, KeyError) as error:
        raise ValueError(f"{path}: not readable as counts of images ({error})") from None


def _of_arrays(path: Path, arrays: Mapping[str, StoredArray], num_classes: int, *, details: bool) -> Images:
    names = tuple(map(str, arrays["names"].read().ravel()))
    n, K = len(names), num_classes
    shapes = {"confusion": (n, K, K), "confusion_without": (n, K, K), "boundary": (n, 2, K),
              "strata": (n, 2, K, len(strata.SIZES), len(strata.WIDTHS))}  # fmt: skip

    def checked(key: str) -> Iterator[np.ndarray]:
        array = arrays[key]
        fits = array.shape == shapes[key] and array.dtype.kind in "iu"
        for block in array.blocks() if fits else ():
            if (block < 0).any():
                fits = False
                break
            yield block
        if not fits:
            raise ValueError(f"{path}: {key} should be counts of shape {shapes[key]}, not {array.dtype} {array.shape}")

    def whole(key: str) -> np.ndarray | None:
        return np.concatenate(list(checked(key))) if key in arrays else None

    labelled, predicted, right = _sums(checked("confusion"))
    if not details:
        return Images(names, labelled, predicted, right, None, None)
    without = None
    if "confusion_without" in arrays:
        pixels, chosen, top = _sums(checked("confusion_without"))
        without = Counts(top[None], (pixels + chosen - top)[None])
    return Images(names, labelled, predicted, right, whole("boundary"), whole("strata"), without)


def _sums(confusions: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of matrices (n, K, K) in blocks: labelled, predicted and right pixels, (n, K) each, in 32 bits where they fit."""
    parts = [(block.sum(2), block.sum(1), block.diagonal(axis1=1, axis2=2)) for block in confusions]
    sums = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    most = max(int(array.max(initial=0)) for array in sums)
    labelled, predicted, right = (array.astype(np.int32 if 2 * most < 2**31 else np.int64) for array in sums)
    return labelled, predicted, right


def check_same(a: Images, b: Images, name_a: str, name_b: str) -> None:
    """Networks are compared image by image on the same images with the same labels.

    Raises:
        ValueError: naming an image that only one of the two has, or whose labels differ.
    """
    if a.names != b.names:
        only = [(name, name_a) for name in a.names if name not in set(b.names)]
        only += [(name, name_b) for name in b.names if name not in set(a.names)]
        which = f"{only[0][0]!r} is only in {only[0][1]}" if only else "the order differs"
        raise ValueError(
            f"{name_a} was scored on {len(a.names)} images and {name_b} on {len(b.names)}, not the same ones ({which});"
            " score both on the same split"
        )
    if not np.array_equal(a.labelled, b.labelled):
        index = int((a.labelled != b.labelled).any(1).argmax())
        raise ValueError(
            f"the labels of image {a.names[index]!r} differ between {name_a} and {name_b}: another data set or another size;"
            " score both on the same labels"
        )


def counts(runs: list[Images]) -> Counts:
    """Intersections and unions of the classes, for the seeds of one network."""
    return Counts(
        np.stack([run.right for run in runs]), np.stack([run.labelled + run.predicted - run.right for run in runs])
    )


def boundary_counts(runs: list[Images]) -> Counts | None:
    """The same for the boundary bands; None where a run has not recorded them."""
    arrays = [run.boundary for run in runs if run.boundary is not None]
    if len(arrays) < len(runs):
        return None
    return Counts(np.stack([array[:, 0] for array in arrays]), np.stack([array[:, 1] for array in arrays]))


def stratum_counts(runs: list[Images], kind: str, index: int) -> Counts | None:
    """The same for one stratum of `kind`, `size` or `width`; None where a run has not recorded them."""
    tops, bottoms = [], []
    for run in runs:
        if run.strata is None:
            return None
        pixels, right = run.strata.sum(4 if kind == "size" else 3).swapaxes(0, 1)  # (n, K, strata) each
        tops.append(right[..., index])
        bottoms.append(strata.unions(pixels, run.predicted - run.right)[..., index])
    return Counts(np.stack(tops), np.stack(bottoms))
