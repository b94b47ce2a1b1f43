"""Writes the class list of an own folder from its masks: what values or colours they hold, and names that are known for these."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segattn import records
from segattn.data import camvid, cityscapes, voc
from segattn.data._dataset import IGNORE
from segattn.data.files.bands import spanned
from segattn.data.files.class_lists import FILES, Colour, default_colour
from segattn.data.files.decode import decoded_mask
from segattn.data.files.masks import Mark, histogram
from segattn.data.files.pairs import Pair
from segattn.data.files.palette import voc_colour
from segattn.data.files.pixels import Reading
from segattn.data.files.samples import similar
from segattn.data.tools import image_options
from segattn.data.tools.survey import Survey, survey
from segattn.data.tools.threads import file_threads

MOST_MASKS = 200
"""Masks that are read."""
_MOST_MARKS = 254
_GREY = "grey values saved as RGB"
_BACKGROUND: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Started:
    """What `start` has seen and written."""

    survey: Survey
    classes: Path
    """The class list."""
    written: bool
    """False if it was there."""
    entries: list[dict[str, Any]]
    """Its classes, if it was written."""
    num_masks: int
    """Masks that were read."""
    kinds: Counter[str]
    """Masks of each kind, in words."""
    ignored: int
    """Pixels of value 255 among them."""
    options: dict[str, Any]
    """Options of `folder`: those of the layout, and what the sizes of images and masks need."""
    size: tuple[int, int]
    """Smallest height and smallest width of the images that were read."""
    bands: int
    """Number of bands of an image."""
    span: tuple[float, float] | None
    """Smallest and largest value of the images that were read, where `options` has a value_range for them."""


@dataclass(frozen=True)
class _Seen:
    marks: Counter[Mark]
    kind: str
    palette: tuple[int, ...]
    size: tuple[int, int]
    """Height and width of the mask."""
    image: image_options.Looked


def start(base: Path, *, force: bool = False) -> Started:
    """Look at a folder, and write its `classes.json` unless there is a class list; `force` overwrites `classes.json`.

    Raises:
        ValueError: as of `survey`; masks that hold too many colours, or both colours and values.
    """
    looked = survey(base)
    present = next((base / name for name in FILES if (base / name).is_file()), None)
    pairs = [pair for split in looked.pairs.values() for pair in split if pair.label is not None]
    chosen = [
        pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, min(MOST_MASKS, len(pairs))).astype(int))
    ]
    how = image_options.to_look(chosen[0].image, looked.options.get("bands", ()))
    with file_threads() as readers:
        seen = list(readers.map(partial(_look, how=how), chosen))
    images = [each.image for each in seen]
    options = looked.options | image_options.options_of(images, how) | _sizes(chosen, seen)
    heights, widths = zip(*(image.size for image in images), strict=True)
    marks = sum((each.marks for each in seen), Counter[Mark]())
    kinds = Counter(each.kind for each in seen)
    ignored = marks[IGNORE] if set(marks) - {0, IGNORE} else 0
    entries: list[dict[str, Any]] = []
    if present is None or force:
        ids = str(options.get("masks", "")).endswith("labelIds.png") and all(
            mark in cityscapes.CLASS_OF_ID for mark in marks
        )
        entries = _of_ids() if ids else _entries(marks, kinds, seen)
        others = [value for value, index in cityscapes.CLASS_OF_ID.items() if index == IGNORE] if ids else []
        if (
            present is not None
            and present.name != "classes.json"
            and present.name in FILES[: FILES.index("classes.json")]
        ):
            raise ValueError(f"{present} comes before classes.json; remove or rename it to have a new list written")
        present = base / "classes.json"
        text = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
        whole = f'{{"classes": [\n{text}\n], "ignore": {others}}}\n' if others else f"[\n{text}\n]\n"
        records.write_bytes(whole.encode(), present)
    size = (min(heights), min(widths))
    span = spanned([image.span for image in images])
    return Started(
        looked, present, bool(entries), entries, len(chosen), kinds, ignored, options, size, images[0].bands, span
    )


def _look(pair: Pair, how: Reading) -> _Seen:
    assert pair.label is not None
    mask = decoded_mask(pair.label)
    if mask.mode in ("RGBA", "LA", "PA"):
        mask = mask.convert({"RGBA": "RGB", "LA": "L", "PA": "P"}[mask.mode])
    palette = tuple(mask.getpalette() or ()) if mask.mode == "P" else ()
    stored, kind = np.asarray(mask), "palette indices" if palette else "one-channel values"
    if stored.dtype == bool:
        stored = stored.astype(np.uint8)
    if stored.ndim == 3:
        grey = bool((stored == stored[:, :, :1]).all())
        stored, kind = (stored[:, :, 0], _GREY) if grey else (stored, "RGB colours")
    marks = histogram(stored, coloured=stored.ndim == 3)
    if len(marks) > _MOST_MARKS:
        raise ValueError(
            f"{pair.label}: {len(marks)} {'colours' if stored.ndim == 3 else 'values'}, too many for classes; such masks come "
            "from a lossy format or from smoothing, or they are photos: export them as PNG, without smoothing"
        )
    return _Seen(marks, kind, palette, (stored.shape[0], stored.shape[1]), image_options.look(pair.image, how))


def _sizes(pairs: Sequence[Pair], seen: Sequence[_Seen]) -> dict[str, Any]:
    """The option that masks of another size need.

    Raises:
        ValueError: a mask of another shape than its image.
    """
    sizes = [(pair, (each.image.size, each.size)) for pair, each in zip(pairs, seen, strict=True)]
    other = [(pair, both) for pair, both in sizes if both[0] != both[1]]
    for pair, (image, mask) in other:
        if similar(image, mask):
            continue
        if image == mask[::-1]:
            return {"exif": "ignore"}
        raise ValueError(
            f"{pair.image} is {image[1]}x{image[0]} and its mask {pair.label} {mask[1]}x{mask[0]}: another shape; "
            "is it the right mask?"
        )
    return {"resize_masks": "nearest"} if other else {}


def _entries(marks: Mapping[Mark, int], kinds: Counter[str], seen: Sequence[_Seen]) -> list[dict[str, Any]]:
    """The classes: of colours, or of values."""
    colours = {mark for mark in marks if isinstance(mark, tuple)}
    if colours:
        greys = {
            (mark, mark, mark) for each in seen if each.kind == _GREY for mark in each.marks if isinstance(mark, int)
        }
        if plain := sum(kinds.values()) - kinds["RGB colours"] - kinds[_GREY]:
            raise ValueError(
                f"{kinds['RGB colours']} masks hold colours and {plain} hold values in one channel; convert them to one kind"
            )
        return _of_colours(colours | greys)
    values = sorted(mark for mark in marks if isinstance(mark, int))
    palette = next((each.palette for each in seen if each.palette), ())
    if set(values) == {0, IGNORE}:
        return _listed([(0, "background", _BACKGROUND), (IGNORE, "foreground", default_colour(1))])
    values = [value for value in values if value != IGNORE]
    if len(values) == 1:
        values = sorted({0, *values}) if values != [0] else [0, 1]
    return _of_values(values, palette)


def _of_ids() -> list[dict[str, Any]]:
    """Cityscapes' classes with their ids."""
    ids = {index: value for value, index in cityscapes.CLASS_OF_ID.items()}
    named = enumerate(zip(cityscapes.CLASS_NAMES, cityscapes.PALETTE, strict=True))
    return _listed([(ids[index], name, colour) for index, (name, colour) in named])


def _of_colours(colours: set[Colour]) -> list[dict[str, Any]]:
    known = _named(colours)
    order = sorted(
        colours, key=lambda colour: (colour != _BACKGROUND, list(known).index(colour) if colour in known else 0, colour)
    )
    entries = []
    for number, colour in enumerate(order):
        usual = "background" if colour == _BACKGROUND else f"class_{number}"
        entries.append({"name": known.get(colour, usual), "colour": list(colour)})
    return entries


def _named(colours: set[Colour]) -> dict[Colour, str]:
    """Names of colours, from the first data set that has them all; black may be none of its classes."""
    for names, palette in ((camvid.CLASS_NAMES, camvid.PALETTE), (cityscapes.CLASS_NAMES, cityscapes.PALETTE)):
        known = dict(zip(palette, names, strict=True))
        if colours - {_BACKGROUND} <= known.keys():
            return known
    known = {voc_colour(index): name for index, name in enumerate(voc.CLASS_NAMES)}
    return known if colours <= known.keys() and len(colours) > 1 else {}


def _of_values(values: Sequence[int], palette: Sequence[int]) -> list[dict[str, Any]]:
    colours = {value: _colour(value, palette) for value in values}
    names = _names_of_values(values, palette)
    return _listed([(value, names.get(value, f"class_{value}"), colours[value]) for value in values])


def _listed(classes: Sequence[tuple[int, str, Colour]]) -> list[dict[str, Any]]:
    """Entries; values are written where they are not the indices of the classes."""
    plain = [value for value, _, _ in classes] == list(range(len(classes)))
    return [
        {"name": name, "colour": list(colour)} | ({} if plain else {"value": value}) for value, name, colour in classes
    ]


def _names_of_values(values: Sequence[int], palette: Sequence[int]) -> dict[int, str]:
    voc_like = bool(palette) and all(_colour(value, palette) == voc_colour(value) for value in values)
    if voc_like and max(values) < len(voc.CLASS_NAMES):
        return dict(enumerate(voc.CLASS_NAMES))
    return {0: "background"} if len(values) == 2 and values[0] == 0 else {}


def _colour(value: int, palette: Sequence[int]) -> Colour:
    if len(palette) >= 3 * value + 3:
        return palette[3 * value], palette[3 * value + 1], palette[3 * value + 2]
    return default_colour(value)
