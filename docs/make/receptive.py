"""The effective receptive fields of the zoo's networks: docs/images/receptive_fields.png and the numbers of the heads' pages.

python -m docs.make.receptive [SOURCE]

SOURCE as in images.py. The numbers are kept in receptive.json beside this file, and docs/receptive_field.md has them between two
comments; `make docs` reads them from there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from docs.make.shown import IMAGES, shown
from segattn import checkpoint, zoo
from segattn.maps import figure, receptive_figure
from segattn.maps.receptive import ReceptiveField, receptive_field
from segattn.profile.markdown import markdown_table
from segattn.training.receptive_fields import DISTANCES, NUM_IMAGES, first_images

NAME = "receptive_fields.png"
DPI = 120
NUMBERS = Path(__file__).with_name("receptive.json")
PAGE = Path(__file__).parents[1] / "receptive_field.md"
BEGIN, END = "<!-- receptive fields: begin -->", "<!-- receptive fields: end -->"
HEADINGS = ["head", "half, px", "90 %, px", *(f"% beyond {distance} px" for distance in DISTANCES), "90 %, positions"]


def main(source: str = zoo.LOCAL) -> None:
    """Compute all fields; write the figure, the numbers and the table of the page.

    Raises:
        ValueError: as `shown`.
    """
    what = shown(source)
    images = [image for _, image in first_images(what.dataset, NUM_IMAGES)]
    fields = [receptive_field(checkpoint.load_model(network), images, name=name) for name, network in what.networks]
    title = f"Effective receptive fields: networks of {source}, {len(images)} scenes"
    (IMAGES / NAME).write_bytes(figure.png(receptive_figure.draw(fields, title=title), DPI)[0])
    numbers = {"source": source, "num_images": len(images), "heads": {field.name: _numbers(field) for field in fields}}
    NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(list(numbers['heads']))}\n\n{END}{after}", encoding="utf-8")


def read() -> dict[str, Any]:
    """`source`, `num_images`, and by head `half`, `most`, `beyond` and `most_positions`."""
    numbers: dict[str, Any] = json.loads(NUMBERS.read_text(encoding="utf-8"))
    return numbers


def table(names: list[str]) -> str:
    """A line for each of the heads that has numbers."""
    heads = read()["heads"]
    rows = [
        [
            f"`{name}`",
            str(heads[name]["half"]),
            str(heads[name]["most"]),
            *(f"{100 * share:.1f}" for share in heads[name]["beyond"]),
            "–" if heads[name]["most_positions"] is None else str(heads[name]["most_positions"]),
        ]
        for name in names
        if name in heads
    ]
    return markdown_table(HEADINGS, rows)


def _numbers(field: ReceptiveField) -> dict[str, Any]:
    return {
        "half": field.image.radius(0.5),
        "most": field.image.radius(0.9),
        "beyond": [round(field.image.beyond(distance), 6) for distance in DISTANCES],
        "most_positions": None if field.features is None else field.features.radius(0.9),
    }


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except ValueError as error:
        sys.exit(str(error))
