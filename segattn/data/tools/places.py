"""Pictures of a folder by kind and place: which names of folders and files mean images, masks and splits."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

IMAGE_FOLDERS = (
    *("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "rgb", "photos", "pictures", "frames", "input"),
    *("inputs", "original", "originals", "x"),
)
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "gtfine", "gtcoarse", "gt"),
    *("groundtruth", "ground_truth", "seg", "segmentation", "segmentations", "masks_machine", "targets", "target", "y"),
)
MASK_ENDINGS = (
    *(
        "_gtFine_labelIds",
        "_gtFine_labelTrainIds",
        "_labelIds",
        "_labelTrainIds",
        "_mask",
        "_masks",
        "_label",
        "_labels",
    ),
    *("_gt", "_seg", "_segmentation", "_annotation", "_groundtruth", "_L", "-mask", "-label", ".mask", ".jpg", ".png"),
)
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_BESIDE = ("annot", "_annot", "_labels", "_masks", "_mask", "_label", "_gt")
"""What follows the name of a split in a folder of masks beside that of its images: `trainannot`."""


@dataclass(frozen=True)
class Place:
    """Pictures of one kind."""

    folder: str
    """With {split} in place of a split's folder; empty for the root."""
    files: Sequence[PurePosixPath]

    @property
    def stems(self) -> set[str]:
        return {file.stem for file in self.files}

    def endings(self, allowed: Sequence[str]) -> list[str]:
        """File endings, most frequent first."""
        counted = Counter(file.suffix for file in self.files if file.suffix.lower() in allowed)
        return [ending for ending, _ in counted.most_common()]


def place_of(file: PurePosixPath) -> tuple[str, str]:
    """Kind and folder of a file. What lies below the folder's last telling name belongs to the names of files."""
    parts, kind, last = [], "image", 0
    for number, part in enumerate(file.parts[:-1], 1):
        split = SPLIT_OF.get(part.lower())
        beside = next(
            (end for end in _BESIDE if part.lower().removesuffix(end) in SPLIT_OF and part.lower().endswith(end)), ""
        )
        if split is not None:
            last = number
        elif beside:
            kind, last = "mask", number
            parts.append("{split}" + part[-len(beside) :])
            continue
        elif part.lower() in MASK_FOLDERS:
            kind, last = "mask", number
        elif part.lower() in IMAGE_FOLDERS:
            kind, last = "image", number
        parts.append("{split}" if split is not None else part)
    kept = parts[:last]
    named = [part.lower() in (*IMAGE_FOLDERS, *MASK_FOLDERS) for part in kept]
    first = named.index(True) if True in named else len(kept)
    return kind, "/".join("*" if number < first and "{split}" not in part else part for number, part in enumerate(kept))


def common_end(names: set[str]) -> str:
    """The end that all names share, from a sign that parts words."""
    columns = zip(*(name[::-1] for name in names), strict=False)
    shared = itertools.takewhile(lambda signs: len(set(signs)) == 1, columns) if len(names) > 1 else ()
    end = "".join(signs[0] for signs in shared)[::-1]
    places = [end.find(sign) for sign in "_-." if sign in end]
    return end[min(places) :] if places else ""


def with_split(file: PurePosixPath) -> PurePosixPath:
    """The path with {split} in place of a split's folder."""
    parts = ["{split}" if part.lower() in SPLIT_OF else part for part in file.parts[:-1]]
    return PurePosixPath(*parts, file.name)
