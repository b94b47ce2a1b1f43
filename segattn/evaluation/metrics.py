"""Accuracy of semantic segmentation from one confusion matrix over the whole data set, and Boundary IoU.

With `M` the matrix of pixel counts (row = label, column = prediction) and k a class:

    IoU_k      = M_kk / (sum_j M_kj + sum_i M_ik - M_kk)        nan where class k is in neither labels nor predictions
    accuracy_k = M_kk / sum_j M_kj                              nan where class k is not in the labels (recall)
    mIoU       = mean of IoU_k,  mean accuracy = mean of accuracy_k, both without nan
    pixel accuracy = sum_k M_kk / sum_ij M_ij

Boundary IoU: Cheng, Girshick, Dollar, Berg, Kirillov, *Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation*, CVPR 2021, arXiv 2103.16562.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEFINITION = (
    "One confusion matrix over all pixels of the split; pixels whose label is the ignore label are not counted, "
    "whatever the prediction. IoU of a class = true positives / (true positives + false positives + false "
    "negatives). mIoU = mean IoU over the classes that occur in the labels or in the predictions of the split; "
    "a class that is predicted but never labelled has an IoU of 0. Mean accuracy = mean recall over the classes that occur "
    "in the labels. Pixel accuracy = share of counted pixels that are predicted correctly. Scores are not averaged over images."
)

BOUNDARY_DEFINITION = (
    "Boundary IoU (Cheng et al., CVPR 2021, arXiv 2103.16562): IoU of the boundary bands in label and prediction. The band of "
    "a class contains its pixels that are at most 2 % of the image diagonal away from its boundary. Intersections and unions "
    "are summed over the images; the IoU is averaged over the classes as in mIoU. Ignored pixels are in no band, and a border "
    "with ignored pixels is not a boundary."
)

_MOST_ROWS = (
    1024  # labels below this, ignored ones too, are counted first; rows of invalid values are checked afterwards
)


class ConfusionMatrix:
    """Pixel counts by label (row) and prediction (column).

    >>> matrix = ConfusionMatrix(num_classes=2)
    >>> _ = matrix.update(np.array([[0, 1, 1]]), np.array([[0, 0, 255]]))
    >>> matrix.matrix.tolist(), matrix.mean_iou(), matrix.mean_accuracy()
    ([[1, 1], [0, 0]], 0.25, 0.5)
    """

    matrix: Tensor
    """int64 (K, K) on the CPU."""

    def __init__(self, num_classes: int, ignore_index: int = 255):
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a confusion matrix needs at least 1 class")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    @classmethod
    def from_matrix(cls, matrix: Any, ignore_index: int = 255) -> ConfusionMatrix:
        """Wrap pixel counts (K, K) that were summed elsewhere: a tensor, an array or nested lists.

        Raises:
            ValueError: not a square matrix of integers that are at least 0.
        """
        counts = _integers(matrix, "matrix").cpu()
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError(f"matrix has shape {tuple(counts.shape)}; a confusion matrix is square, (K, K)")
        if bool((counts < 0).any()):
            raise ValueError(f"matrix holds {int(counts.min())}; pixel counts are at least 0")
        result = cls(counts.shape[0], ignore_index)
        result.matrix = counts.clone()
        return result

    def update(self, prediction: Tensor | np.ndarray, label: Tensor | np.ndarray) -> Tensor:
        """Count the pixels of one image or batch; returns their own matrix (K, K), for scores per image.

        Both are class indices of the same shape and any integer type. Predictions are not checked where the label is
        `ignore_index`.

        Raises:
            ValueError: shapes differ, a type is not integer, or a counted label or prediction is outside the classes;
                then nothing is counted.
        """
        K = self.num_classes
        prediction, label = _pair(prediction, label)
        ignored = self.ignore_index
        if not (_within(prediction, K) and _within(label, _MOST_ROWS)):
            counted = label != ignored
            _check_range(label, counted, K, "label", self.ignore_index)
            _check_range(prediction, counted, K, "prediction")
            ignored = K
            label, prediction = label.where(counted, K), prediction.where(counted, 0)
        counts = torch.bincount((label * K).add_(prediction).flatten(), minlength=K * K).cpu()
        counts = torch.nn.functional.pad(counts, (0, -len(counts) % K)).view(-1, K)  # one row per label value
        if 0 <= ignored < len(counts):
            counts[ignored] = 0
        if bool(counts[K:].any()):
            _check_range(label, label != ignored, K, "label", self.ignore_index)
        counts = counts[:K].clone()
        self.matrix += counts
        return counts

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Add the counts of another matrix (of another process or part of the data) to this one.

        Raises:
            ValueError: the class counts or ignore labels differ.
        """
        if (self.num_classes, self.ignore_index) != (other.num_classes, other.ignore_index):
            raise ValueError(
                f"cannot merge a matrix of {other.num_classes} classes (ignore label {other.ignore_index}) into one of "
                f"{self.num_classes} classes (ignore label {self.ignore_index})"
            )
        self.matrix += other.matrix
        return self

    def iou(self) -> Tensor:
        """IoU per class, float64 (K,) in [0, 1]; nan where the class is in neither labels nor predictions."""
        intersection = self.matrix.diagonal()
        return intersection.double() / (self.matrix.sum(0) + self.matrix.sum(1) - intersection)  # 0 / 0 is nan

    def class_accuracy(self) -> Tensor:
        """Recall per class, float64 (K,) in [0, 1]; nan where the class is not in the labels."""
        return self.matrix.diagonal().double() / self.matrix.sum(1)

    def mean_iou(self) -> float:
        """Mean of `iou()` over the classes that have one; nan if none has."""
        return float(self.iou().nanmean())

    def mean_accuracy(self) -> float:
        """Mean of `class_accuracy()` over the classes that have one; nan if none has."""
        return float(self.class_accuracy().nanmean())

    def pixel_accuracy(self) -> float:
        """Share of counted pixels that are predicted correctly; nan if no pixel was counted."""
        return float(self.matrix.diagonal().sum().double() / self.matrix.sum())


def boundary_counts(
    prediction: Tensor | np.ndarray,
    label: Tensor | np.ndarray,
    num_classes: int,
    *,
    ignore_index: int = 255,
    dilation_ratio: float = 0.02,
) -> tuple[Tensor, Tensor]:
    """Intersection and union, int64 (K,) each, of the classes' boundary bands in one image (H, W), to sum over images.

    The band of a class contains its pixels within d pixels (along both axes) of a pixel that is of another class or outside
    the image; d = dilation_ratio times the image diagonal, rounded, at least 1. The authors' code does the same: it erodes d
    times by 3x3 with zero padding. Ours, because the paper has no ignored pixels: they are in no band, and a border between a
    class and ignored pixels is not a boundary, because the object may continue there.

    Raises:
        ValueError: as `ConfusionMatrix.update`; not (H, W) maps; a dilation ratio that is not positive.
    """
    K = num_classes
    prediction, label = _pair(prediction, label)
    if label.ndim != 2:
        raise ValueError(f"label has shape {tuple(label.shape)}; boundary IoU takes one image (H, W) at a time")
    if not dilation_ratio > 0:
        raise ValueError(
            f"dilation_ratio is {dilation_ratio}; it must be a positive share of the image diagonal, such as 0.02"
        )
    counted = label != ignore_index
    _check_range(label, counted, K, "label", ignore_index)
    _check_range(prediction, counted, K, "prediction")
    H, W = label.shape
    distance = max(1, round(dilation_ratio * float(np.hypot(H, W))))
    in_label = counted & _near_boundary(label, counted, distance)
    in_prediction = counted & _near_boundary(prediction, counted, distance)
    agree = in_label & in_prediction & (label == prediction)
    intersection = torch.bincount(label[agree], minlength=K)
    total = torch.bincount(label[in_label], minlength=K) + torch.bincount(prediction[in_prediction], minlength=K)
    return intersection.cpu(), (total - intersection).cpu()


def boundary_iou(
    prediction: Tensor | np.ndarray,
    label: Tensor | np.ndarray,
    num_classes: int,
    *,
    ignore_index: int = 255,
    dilation_ratio: float = 0.02,
) -> Tensor:
    """Boundary IoU per class of one image (H, W), float64 (K,) in [0, 1]; nan where neither map has the class.

    For a data set, sum `boundary_counts` over its images and divide once, as mIoU does. Definition and errors: as there.
    """
    intersection, union = boundary_counts(
        prediction, label, num_classes, ignore_index=ignore_index, dilation_ratio=dilation_ratio
    )
    return intersection.double() / union


def _near_boundary(classes: Tensor, counted: Tensor, distance: int) -> Tensor:
    """Whether the window of `distance` around each pixel holds another class or leaves the image; bool (H, W)."""
    # All classes at once: a window holds one class if its largest and its smallest class index are the pixel's own. Ignored
    # pixels have the smallest value for the maximum and the largest for the minimum, so they never decide.
    far = torch.iinfo(torch.int32).max
    low = classes.to(torch.int32).masked_fill(~counted, -far)
    high = classes.to(torch.int32).masked_fill(~counted, far)
    around = (distance,) * 4
    largest = _window_maximum(torch.nn.functional.pad(low, around, value=far), 2 * distance + 1)
    smallest = -_window_maximum(-torch.nn.functional.pad(high, around, value=far), 2 * distance + 1)
    return (largest != classes) | (smallest != classes)


def _window_maximum(values: Tensor, size: int) -> Tensor:
    """Maximum over each size x size window, (H - size + 1, W - size + 1), in O(log size) passes."""
    for dim in (0, 1):
        width = 1
        while width < size:
            step = min(width, size - width)
            length = values.shape[dim] - step
            values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
            width += step
    return values


def _pair(prediction: Any, label: Any) -> tuple[Tensor, Tensor]:
    prediction, label = _integers(prediction, "prediction"), _integers(label, "label")
    if prediction.shape != label.shape:
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)} and label {tuple(label.shape)}; they must be equal, "
            "one class index per pixel (for logits (B, K, H, W) give logits.argmax(1))"
        )
    return prediction.to(label.device), label


def _integers(values: Tensor | np.ndarray | Sequence[Any], name: str) -> Tensor:
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name} is of type {array.dtype}; integers are needed (class indices, not logits)")
        return torch.from_numpy(array.astype(np.int64))  # a copy, so read-only arrays work
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name} is of type {values.dtype}; integers are needed (class indices, not logits)")
    return values.long()


def _within(values: Tensor, end: int) -> bool:
    """Whether all values are in 0 to end - 1; False if there are none."""
    if values.numel() == 0:
        return False
    low, high = values.aminmax()
    return bool((low >= 0) & (high < end))


def _check_range(values: Tensor, counted: Tensor, num_classes: int, name: str, ignore_index: int | None = None) -> None:
    outside = counted & ((values < 0) | (values >= num_classes))
    if bool(outside.any()):
        wrong, pixels = values[outside].unique(return_counts=True)
        listed = ", ".join(
            f"{value} ({count} px)" for value, count in zip(wrong[:5].tolist(), pixels.tolist(), strict=False)
        )
        also = "" if ignore_index is None else f" and {ignore_index} (ignored)"
        more = f" and {len(wrong) - 5} more values" if len(wrong) > 5 else ""
        raise ValueError(
            f"{name} holds {listed}{more}, outside the {num_classes} classes; allowed are 0 to {num_classes - 1}{also}"
        )
