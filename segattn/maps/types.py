"""The maps of one pixel, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

Kind = Literal["positions", "half_grid", "channels", "bases"]
"""`positions`: on the feature map's grid; `half_grid`: on half of it; `channels`: C x C, how much each channel (row) takes from
each (column); `bases`: one number for each basis."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One map of a pixel."""

    name: str
    kind: Kind
    values: np.ndarray
    """float32: (h, w) for `positions` and `half_grid`, (C, C) for `channels`, (K,) for `bases`."""

    def __repr__(self) -> str:
        between = f"{self.values.min():.3g} to {self.values.max():.3g}" if self.values.size else "empty"
        return f"<map {self.name} of {self.kind}: {'x'.join(map(str, self.values.shape))}, {between}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """What one network does with one pixel of an image."""

    name: str
    """The network's, by default its head's."""
    image: np.ndarray
    """uint8 (H, W, 3), as the network saw it."""
    pixel: tuple[int, int]
    """(x, y) as asked for, in pixels of the image that was given."""
    spot: tuple[int, int]
    """(x, y) in pixels of `image`; differs from `pixel` only with `max_side`."""
    position: tuple[int, int]
    """(row, column) on the feature map's grid."""
    grid: tuple[int, int]
    """Height and width of the feature map."""
    maps: dict[str, AttentionMap]
    main: str
    """Name of the map that shows the mechanism best: the one drawn where there is room for one."""
    prediction: np.ndarray
    """int64 (H, W), class indices."""
    class_index: int
    """The class under the pixel."""
    confidence: float
    """Its softmax probability there."""
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    align_corners: bool

    @property
    def class_name(self) -> str:
        return self.class_names[self.class_index]

    def __repr__(self) -> str:
        maps = ", ".join(
            f"{name} {'x'.join(map(str, attention.values.shape))}" for name, attention in self.maps.items()
        )
        return f"<{self.name} at {self.pixel}: {self.class_name} {100 * self.confidence:.0f} %; maps {maps}>"
