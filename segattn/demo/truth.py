"""Where the label of a picture is known: what a network's prediction has wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segattn.demo.explorer import Point
from segattn.demo.pictures import IGNORED, Picture


@dataclass(frozen=True, eq=False)
class Truth:
    """A picture's label in the classes of a network."""

    classes: np.ndarray
    """uint8 (H, W); 255 where the label is ignored or has a class that the network does not know."""

    def wrong(self, prediction: np.ndarray) -> np.ndarray:
        """bool (H, W): where a prediction, int (H, W), is another class than the label."""
        return (self.classes != IGNORED) & (prediction != self.classes)

    def share_right(self, prediction: np.ndarray) -> float:
        """Share of the labelled pixels that a prediction has right."""
        return 1 - float(self.wrong(prediction).sum() / (self.classes != IGNORED).sum())

    def at(self, point: Point) -> int | None:
        """The class at (x, y); None where it is not known."""
        found = int(self.classes[point[1], point[0]])
        return None if found == IGNORED else found


def truth_of(picture: Picture, class_names: Sequence[str]) -> Truth | None:
    """The picture's label in these classes, matched by name; None if it has none, or nothing in it is one of them.

    >>> image, label = np.zeros((1, 3, 3), np.uint8), np.array([[0, 1, 255]], np.uint8)
    >>> truth_of(Picture("a", image, label, ("road", "car")), ["car", "road", "sky"]).classes.tolist()
    [[1, 0, 255]]
    """
    if picture.label is None:
        return None
    place = {name: index for index, name in enumerate(class_names)}
    table = np.full(256, IGNORED, np.uint8)
    table[: len(picture.label_names)] = [place.get(name, IGNORED) for name in picture.label_names]
    classes = table[picture.label]
    return Truth(classes) if (classes != IGNORED).any() else None
