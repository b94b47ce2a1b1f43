"""Generated scenes that isolate one claim each: the class of a query is decided by something far away, and by nothing else.

Scenes come in pairs, 0 and 1, 2 and 3, and so on. The two scenes of a pair differ only in the colours of what decides, which are
swapped, and the query's class is the other one. A network that cannot see so far predicts the same for both, and is right in
one of them: its accuracy is 50 % exactly, whatever it has learnt. Tasks:

* `reach`: a marker of a class at a distance, in a straight line or diagonally;
* `conjunction`: a marker of each class, one in the query's rows, one in its columns; the one in its rows decides;
* `noise`: a marker amid clutter of rising strength;
* `thin`: a line of 1 to 12 pixels' width, and a marker;
* `compare`: a region of each class, of which the larger one decides.

Scenes are 128 x 128 pixels; things are made of cells of 8 x 8. In training the things that decide have their class as label; in
validation only the query is labelled, in `thin` also the ground around it. Task, condition and pair are in a sample's name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

import numpy as np

from segattn.catalogue import unknown
from segattn.data._dataset import IGNORE, SPLITS, Dataset, MadeNames, Sample, checked_split
from segattn.data.probes.layout import BAND, SIDE, TASKS, Box, Condition, Layout, lay_out
from segattn.data.streets.canvas import Dice

_NUM_IMAGES = {"train": 4000, "val": 400, "test": 400}
_COLOURS = ((205, 65, 60), (60, 85, 205))
_QUERY, _GREEN, _GROUND = (205, 190, 75), (80, 165, 90), 112
_NOISE = 24


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    task: str = "reach",
    num_images: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a split of generated scenes; image i does not depend on `num_images`.

    >>> load("val", task="thin").image_name(3)
    'width-2-000001-b'

    Args:
        task: reach, conjunction, noise, thin or compare.
        num_images: 4000 for `train`, 400 for `val` and `test` if None; an even number, because scenes come in pairs.
        seed: another seed gives other scenes.

    Raises:
        ValueError: a folder is given, an unknown task, no pair of images, or a negative seed.
    """
    checked_split(split)
    if root is not None:
        raise ValueError(f"probes are generated and have no folder; leave out root ({root})")
    if task not in TASKS:
        raise unknown("task of the data set probes", task, list(TASKS))
    if num_images is not None and (num_images < 2 or num_images % 2):
        raise ValueError(f"num_images {num_images}; scenes come in pairs, give an even number of at least 2")
    if seed < 0:
        raise ValueError(f"seed {seed}; expected 0 or more")
    names = ("first", "second", "ground") if task == "thin" else ("first", "second")
    return Dataset(
        name="probes",
        split=split,
        class_names=names,
        palette=(*_COLOURS, (_GROUND,) * 3)[: len(names)],
        image_names=MadeNames(partial(_name, task), num_images or _NUM_IMAGES[split]),
        read=Generator(task, seed, split),
        from_files=False,
    )


def conditions(task: str) -> tuple[Condition, ...]:
    """What is varied in a task, in order; the pairs of a split take turns with them."""
    return TASKS[task][1]


def condition_of(name: str) -> str:
    """The condition that a sample's name states.

    >>> condition_of("straight-7-000012-a")
    'straight-7'
    """
    return name.rsplit("-", 2)[0]


@dataclass(frozen=True)
class Generator:
    """Draws sample `index`."""

    task: str
    seed: int
    split: str

    def layout(self, index: int) -> Layout:
        """Where things lie in the scene and in its twin."""
        return lay_out(self.task, _condition(self.task, index), self._dice(index))

    def classes(self, index: int) -> np.ndarray:
        """Class of each pixel of the query and of what decides, uint8 (H, W), and 255 elsewhere; in every split."""
        layout, label = self.layout(index), np.full((SIDE, SIDE), IGNORE, np.uint8)
        for box, which in (*layout.deciding, (layout.query, layout.answer)):
            _part(label, box)[...] = which ^ index % 2
        return label

    def __call__(self, index: int) -> Sample:
        layout, twin = self.layout(index), index % 2
        words = np.random.PCG64(np.random.SeedSequence(self._key(index, 1))).random_raw(SIDE * SIDE * 3 // 8)
        noise = words.astype("<u8").view(np.uint8).reshape(SIDE, SIDE, 3) % _NOISE
        image = np.full((SIDE, SIDE, 3), _GROUND, np.int64)
        for box, strength in layout.clutter:
            _part(image, box)[...] = _tinted(strength) if strength or self.task == "noise" else _GREEN
        for box, which in layout.deciding:
            _part(image, box)[...] = _COLOURS[which ^ twin]
        _part(image, layout.query)[...] = _QUERY
        image = (image + noise - _NOISE // 2).clip(0, 255).astype(np.uint8)
        return Sample(image, self._label(layout, index), _name(self.task, index))

    def _label(self, layout: Layout, index: int) -> np.ndarray:
        label = np.full((SIDE, SIDE), IGNORE, np.uint8)
        if self.task == "thin":
            line = layout.query
            around = Box(max(line.top - BAND, 0), max(line.left - BAND, 0), line.bottom + BAND, line.right + BAND)
            _part(label, around)[...] = 2
        if self.split == "train":
            classes = self.classes(index)
            return np.where(classes == IGNORE, label, classes)
        _part(label, layout.query)[...] = layout.answer ^ index % 2
        return label

    def _key(self, index: int, purpose: int) -> tuple[int, ...]:
        # + 1: a seed sequence ignores trailing zeros
        return (self.seed, list(TASKS).index(self.task) + 1, SPLITS.index(self.split) + 1, index // 2 + 1, purpose + 1)

    def _dice(self, index: int) -> Dice:
        return Dice(*self._key(index, 0))


def _part(array: np.ndarray, box: Box) -> np.ndarray:
    return array[box.top : box.bottom, box.left : box.right]


def _tinted(strength: int) -> list[int]:
    """Ground, tinted by so many percent of the first class's colour; of the second's if below 0."""
    colour = _COLOURS[0 if strength > 0 else 1]
    return [_GROUND + (channel - _GROUND) * abs(strength) // 100 for channel in colour]


def _condition(task: str, index: int) -> Condition:
    own = conditions(task)
    return own[index // 2 % len(own)]


def _name(task: str, index: int) -> str:
    return f"{_condition(task, index).name}-{index // 2:06d}-{'ab'[index % 2]}"
