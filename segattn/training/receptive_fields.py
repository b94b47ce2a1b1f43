"""The effective receptive fields of a study's networks: the figure, and the numbers for its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segattn import checkpoint, config, records
from segattn.checkpoint import Source
from segattn.data import Dataset
from segattn.data.splits import load_split
from segattn.device import resolve_device
from segattn.maps.receptive import ReceptiveField, receptive_field

NUM_IMAGES = 8
"""The first ones of the validation split."""
DISTANCES = (32, 64, 128, 256)
"""Pixels beyond which the share of the gradient is recorded."""
PICTURE = "receptive-field.png"


def draw(
    networks: Sequence[tuple[str, Source]],
    dataset: Dataset,
    folder: Path,
    *,
    max_side: int,
    dpi: int,
    device: str = "auto",
    allow_modules: Sequence[str] = (),
    on_notice: Callable[[str], object] = print,
) -> records.Fields | None:
    """Write the figure of all networks into `folder`; paths are relative to its parent. None if no network can be drawn.

    Args:
        networks: what the figure calls each network, and where it is; one that fails is left out, and this is told.
        max_side: larger images are scaled down to this many pixels first; distances are of what the networks see.

    Raises:
        ValueError: a network or a sample cannot be read.
        OSError: the figure cannot be written.
    """
    from segattn.maps import figure, receptive_figure  # matplotlib: a third of a second

    names, images = zip(*first_images(dataset, NUM_IMAGES), strict=True)
    fields = []
    for name, source in networks:
        model = checkpoint.load_model(source, device=resolve_device(device), allow_modules=allow_modules)
        try:
            fields.append(receptive_field(model, images, name=name, max_side=max_side))
        except (ValueError, RuntimeError) as error:  # of a head of one's own, or no memory left
            on_notice(f"Effective receptive field: {name} is left out. {error}")
    if not fields:
        return None
    records.write_bytes(figure.png(receptive_figure.draw(fields), dpi)[0], folder / PICTURE)
    return records.Fields(
        picture=f"{folder.name}/{PICTURE}",
        images=list(names),
        distances=list(DISTANCES),
        networks=list(map(_record, fields)),
    )


def first_images(dataset: Dataset, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and images of the first `count` samples, or of all."""
    for index in range(min(count, len(dataset))):
        sample = dataset[index]
        yield sample.name, sample.image


def open_validation(experiment: dict[str, Any], count: int, allow_modules: Sequence[str] = ()) -> Dataset:
    """The first `count` images of the validation split of an experiment as a run or the zoo has it.

    Raises:
        ValueError: the data are not there, or a module of one's own that is not among `allow_modules`.
    """
    section = config.from_dict(experiment, allow_modules=allow_modules).data
    return load_split(section, section.val_split, count)


def _record(field: ReceptiveField) -> records.Field:
    image, features = field.image, field.features
    return records.Field(
        network=field.name,
        half=image.radius(0.5),
        most=image.radius(0.9),
        beyond=[image.beyond(distance) for distance in DISTANCES],
        half_positions=features.radius(0.5) if features else None,
        most_positions=features.radius(0.9) if features else None,
    )
