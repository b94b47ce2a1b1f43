"""The picture of docs/attention_maps.md: one pixel, every network's main map and prediction.

python -m docs.make.attention [SOURCE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.make.shown import IMAGES, Shown, shown
from segattn.maps import figure
from segattn.training import looks

NAME = "attention_maps.png"
DPI = 130


def draw(what: Shown, target: Path) -> None:
    """Write the picture.

    Raises:
        ValueError: no network has maps.
    """
    results = looks.observe(what.networks, what.dataset, [what.pixel])[what.pixel]
    title = f"{what.pixel.class_name}: attention from pixel {what.pixel.pixel} of {what.pixel.image}"
    target.write_bytes(figure.png(figure.draw(results, title=title), DPI)[0])


if __name__ == "__main__":
    draw(shown(*sys.argv[1:2]), IMAGES / NAME)
