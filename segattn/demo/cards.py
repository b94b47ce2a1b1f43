"""The page's results as HTML: a card a network with its maps, prediction, answers at the pixels and cost.

All maps of a network are in its card, small as they are on the feature map; the page shows one, and lays it over the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.colors import Normalize

from segattn.cost import Cost
from segattn.demo import drawing
from segattn.demo.explorer import Point, Points, Seen
from segattn.demo.pictures import EXAMPLES, Picture, example
from segattn.demo.truth import Truth, truth_of
from segattn.maps.look import AttentionMaps
from segattn.maps.panels import concentration
from segattn.maps.types import AttentionMap


@cache
def _templates() -> Environment:
    loader = PackageLoader("segattn.demo", "assets")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def results(seen: Sequence[Seen], picture: Picture) -> str:
    """A card a network; names and classes come from files and are escaped."""
    norm = drawing.scale_of(result for each in seen for result in each.at)
    height, width = picture.size
    truth = truth_of(picture, seen[0].network.class_names)
    return _templates().get_template("cards.html").render(
        cards=[_card(each, norm, truth) for each in seen],
        truth=None if truth is None else _truth(truth, seen[0]),
        count=len(seen[0].at),
        photo=drawing.data_uri(picture.shown, photo=True),
        ratio=f"{width} / {height}",
        width=width,
        height=height,
        bar=drawing.colour_bar(),
        ticks=[(round(100 * at, 2), text) for at, text in drawing.ticks(norm)],
        legend=legend(seen),
        marks=drawing.MARKS,
    )  # fmt: skip


def stage(picture: Picture, points: Points) -> str:
    """The picture with its marks."""
    height, width = picture.size
    return _templates().get_template("stage.html").render(
        name=picture.name,
        photo=drawing.data_uri(picture.shown, photo=True),
        width=width,
        height=height,
        first=points.first,
        second=points.second,
        marks=drawing.MARKS,
    )  # fmt: skip


def examples(pictures: Sequence[Picture] | None = None) -> str:
    """Pictures to choose from; generated scenes unless given."""
    small = [(index, example(index, 160)) for index in EXAMPLES] if pictures is None else list(enumerate(pictures))
    scenes = [(index, picture.name, drawing.data_uri(picture.shown, photo=True)) for index, picture in small]
    return _templates().get_template("examples.html").render(examples=scenes)


def legend(seen: Sequence[Seen]) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of the classes that any network predicts, largest area first."""
    names, palette = seen[0].network.class_names, seen[0].network.palette
    counts = np.zeros(len(names), np.int64)
    for each in seen:
        counts += np.bincount(each.at[0].prediction.ravel(), minlength=len(names))
    return [(names[index], palette[index]) for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]


def cost_rows(cost: Cost) -> list[tuple[str, str, str, str]]:
    """Lines of the cost table: mechanism, head, network.

    >>> from segattn.cost import network_cost
    >>> cost_rows(network_cost("ccnet", input_size=(769, 769)))[0]
    ('GFLOPs', '16.538', '460.694', '1,280.438')
    """
    parts = (cost.mechanism, cost.head_total, cost.network)
    flops, parameters = ([f"{number:,.3f}" for number in row] for row in zip(
        *((part.flops / 1e9, part.parameters / 1e6) for part in parts), strict=True
    ))  # fmt: skip
    return [("GFLOPs", *flops), ("M parameters", *parameters)]  # type: ignore[list-item]


def caption(attention: AttentionMap) -> tuple[str, str]:
    """What stands below a map, and the grid that it lies on: empty if it lies on none."""
    shape = "×".join(map(str, attention.values.shape))
    if attention.kind == "bases":
        return f"shares of {shape} bases", ""
    if attention.kind == "channels":
        return f"{shape} channels", ""
    share = 100 * concentration(attention.values)
    return (f"half on {share:.0f} %" if share >= 9.5 else f"half on {share:.1g} %"), shape


def milliseconds(seconds: float) -> str:
    """
    >>> milliseconds(0.0042), milliseconds(0.042), milliseconds(4.2)
    ('4.2', '42', '4,200')
    """
    return f"{1000 * seconds:,.1f}" if seconds < 0.01 else f"{1000 * seconds:,.0f}"


def _truth(truth: Truth, seen: Seen) -> dict[str, Any]:
    """The label as a card."""
    at = [(number, result.spot, truth.at(result.spot)) for number, result in enumerate(seen.at)]
    names, palette = seen.network.class_names, seen.network.palette
    return {
        "label": drawing.classes_uri(truth.classes, palette),
        "spots": [_percent(spot, truth.classes.shape) for _, spot, _ in at],
        "answers": [
            (number, "not labelled", (128, 128, 128)) if index is None else (number, names[index], palette[index])
            for number, _, index in at
        ],
    }


def _card(seen: Seen, norm: Normalize, truth: Truth | None) -> dict[str, Any]:
    first = seen.at[0]
    known = {} if truth is None else {
        "right": f"{100 * truth.share_right(first.prediction):.1f}",
        "errors": drawing.errors_uri(truth.wrong(first.prediction)),
    }  # fmt: skip
    return {
        **known,
        "milliseconds": milliseconds(seen.seconds),
        "name": seen.network.name,
        "names": list(first.maps),
        "main": first.main,
        "views": [_view(number, result, norm, truth) for number, result in enumerate(seen.at)],
        "prediction": drawing.prediction_uri(first),
        "cost": cost_rows(seen.cost),
    }


def _view(number: int, result: AttentionMaps, norm: Normalize, truth: Truth | None) -> dict[str, Any]:
    label = None if truth is None else truth.at(result.spot)
    return {
        "wrong": label is not None and label != result.class_index,
        "number": number,
        "spot": _percent(result.spot, result.image.shape[:2]),
        "maps": [_map(result, attention, norm) for attention in result.maps.values()],
        "class_name": result.class_name,
        "colour": tuple(result.palette[result.class_index]),
        "confidence": f"{100 * result.confidence:.0f}",
    }


def _map(result: AttentionMaps, attention: AttentionMap, norm: Normalize) -> dict[str, Any]:
    text, grid = caption(attention)
    described: dict[str, Any] = {"name": attention.name, "kind": attention.kind, "caption": text, "grid": grid}
    if attention.kind == "bases":
        top = max(float(attention.values.max()), 1e-12)
        return {**described, "bars": [round(float(100 * share / top), 2) for share in attention.values]}
    described["src"] = drawing.data_uri(drawing.coloured(attention.values, norm))
    if attention.kind != "channels":
        sides = zip(("left", "top", "width", "height"), drawing.placed(result, attention), strict=True)
        described["place"] = ";".join(f"{side}:{100 * share:.4f}%" for side, share in sides)
    return described


def _percent(spot: Point, size: Sequence[int]) -> tuple[float, float]:
    return round(100 * (spot[0] + 0.5) / size[1], 3), round(100 * (spot[1] + 0.5) / size[0], 3)
