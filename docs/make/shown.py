"""What the pictures of README.md and docs/ show: which networks, and one scene with one pixel, chosen by rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segattn import checkpoint, config, records, zoo
from segattn.cli.maps import choose
from segattn.data import Dataset
from segattn.data.splits import open_split
from segattn.evaluation.telling import TellingPixel, telling_pixels

IMAGES = Path(__file__).parents[1] / "images"


@dataclass(frozen=True)
class Shown:
    """Networks, and the pixel of a validation scene from which they are shown."""

    networks: list[tuple[str, zoo.Source]]
    """Names for captions, and where each network is."""
    dataset: Dataset
    pixel: TellingPixel
    """Of the largest vehicle if there is one, of the rarest class otherwise."""

    @property
    def image(self) -> np.ndarray:
        """The scene, uint8 (H, W, 3)."""
        return self.dataset[self.pixel.index].image


def shown(source: str = zoo.LOCAL) -> Shown:
    """The controlled networks of a trunk of the zoo, or the networks of a study's folder; of a study, those of its lowest seed.

    Raises:
        ValueError: no such networks; networks of other data than generated scenes, of which no picture may be committed; no
            telling pixel.
    """
    models = checkpoint.find_models(source)
    controlled = [each for each in models if isinstance(each, zoo.Entry) and each.mode == "controlled"]
    networks = choose(controlled or [Path(source)], ("all",), None)
    section = config.from_dict(checkpoint.read_config(networks[0][1])["experiment"]).data
    if section.name != "streets":
        raise ValueError(
            f"{source}: networks of {section.name}; only pictures of generated scenes (streets) are committed"
        )
    dataset = open_split(section, section.val_split, section.val_images)
    pixels = telling_pixels(dataset)
    if not pixels:
        raise ValueError(f"{source}: no telling pixel in the {len(dataset)} scenes of its validation split")
    return Shown(networks, dataset, pixels[-1])


def mean_iou(source: zoo.Source) -> float:
    """As its record or the zoo has it, in [0, 1]."""
    if isinstance(source, zoo.Entry):
        return source.mean_iou
    score: float = records.read(source / "record.json").scores.mean_iou
    return score
