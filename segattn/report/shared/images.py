"""The counts of each image that a run wrote beside its record: the basis of comparisons image by image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segattn import records
from segattn.evaluation import strata
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


def read(folder: Path, file: str, num_classes: int) -> Images:
    """The counts in `file`, a path relative to the run's folder.

    Raises:
        ValueError: the file is missing, outside the run's folder, unreadable, or of another number of classes or images.
    """
    path = inside(folder, file)
    if path is None:
        raise ValueError(f"{folder / file}: counts of images are read from inside the run's folder {folder} only")
    try:
        arrays = records.read_arrays(path)
        confusion, names = arrays["confusion"], tuple(map(str, arrays["names"].ravel()))
        boundary, by_stratum, cut = (arrays.get(key) for key in ("boundary", "strata", "confusion_without"))
    except FileNotFoundError:
        raise ValueError(
            f"{path}: no such file, which the run wrote beside its record; restore it or run it again"
        ) from None
    except (OSError, KeyError) as error:
        raise ValueError(f"{path}: not readable as counts of images ({error})") from None
    n, K = len(names), num_classes
    expected = {"confusion": (confusion, (n, K, K)), "confusion_without": (cut, (n, K, K)), "boundary": (boundary, (n, 2, K)),
                "strata": (by_stratum, (n, 2, K, len(strata.SIZES), len(strata.WIDTHS)))}  # fmt: skip
    for key, (array, shape) in expected.items():
        if array is not None and (array.shape != shape or array.dtype.kind not in "iu" or (array < 0).any()):
            raise ValueError(f"{path}: {key} should be counts of shape {shape}, not {array.dtype} {array.shape}")
    right = confusion.diagonal(axis1=1, axis2=2).copy()
    without = None
    if cut is not None:
        top = cut.diagonal(axis1=1, axis2=2)
        without = Counts(top[None].copy(), (cut.sum(2) + cut.sum(1) - top)[None])
    return Images(names, confusion.sum(2), confusion.sum(1), right, boundary, by_stratum, without)


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
