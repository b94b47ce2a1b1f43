"""What mmsegmentation's configuration says beyond the network's structure: how images enter, sliding windows, one logit.

A setting that changes the result is carried over or refused by name.
"""

from __future__ import annotations

import ast
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segattn.config import Evaluation
from segattn.convert.mmseg_cascade import as_one
from segattn.convert.mmseg_config import UNKNOWN, assignments, literal

_NORMS = {"BN", "BN2d", "SyncBN", "MMSyncBN", "naiveSyncBN"}
THRESHOLD = 0.3
"""mmsegmentation's, where a head of one logit names none."""


def settings(text: str | None) -> dict[str, Any]:
    """The top-level assignments of a configuration, names resolved; `UNKNOWN` stands for values that are no literals."""
    names: dict[str, Any] = {}
    for name, node in assignments(text or ""):
        names[name] = literal(node, names, keep=True)
    if isinstance(names.get("model"), dict):
        names["model"] = as_one(names["model"])
    return names


def bands_of(state: Mapping[str, Tensor]) -> int:
    """The bands of the images, from the shape of the first convolution; 3 if there is none, which is an error elsewhere."""
    weight = state.get("backbone.stem.0.weight", state.get("backbone.conv1.weight"))
    return weight.shape[1] if weight is not None and weight.ndim == 4 else 3


def input_of(text: str | None, bands: int = 3) -> dict[str, Any]:
    """`mean`, `std` and `channel_order` of `config.Model`, from `data_preprocessor` or, before version 1, the step `Normalize`.

    {} if the configuration says nothing about them. Images of other than three `bands` keep the order of their files.

    Raises:
        ValueError: a value that is no literal or impossible, several normalisations, or a setting that cannot be carried over.
    """
    names = settings(text)
    model = _section(names, "model")
    section = _section(model if "data_preprocessor" in model else names, "data_preprocessor")
    steps = _normalize_steps(text, names)
    if len(steps) > 1:
        listing = "; ".join(map(_said, steps))
        raise ValueError(f"the configuration normalises images in several ways: {listing}; only one can be converted")
    if not section:
        return _input("Normalize", steps[0], "to_rgb", bands, flipped=True) if steps else {}
    if section.get("type", "SegDataPreProcessor") != "SegDataPreProcessor":
        raise ValueError(
            f"data_preprocessor.type={_said(section['type'])} cannot be converted; only 'SegDataPreProcessor' can"
        )
    for name in ("rgb_to_bgr", "test_cfg"):
        if section.get(name):
            raise ValueError(f"data_preprocessor.{name}={_said(section[name])} cannot be converted; only None can")
    if steps and section.get("mean") is not None:
        raise ValueError("the configuration normalises images twice, in data_preprocessor and in a step Normalize")
    if steps:
        return _input("Normalize", steps[0], "to_rgb", bands, flipped=True)
    return _input("data_preprocessor", section, "bgr_to_rgb", bands, flipped=False)


def _input(where: str, section: Mapping[str, Any], order: str, bands: int, *, flipped: bool) -> dict[str, Any]:
    """Fields of `config.Model`. Images are read as BGR there, and mean and std are in the order of the network's channels."""
    rgb = section.get(order, flipped)
    if not isinstance(rgb, bool):
        raise ValueError(f"{where}.{order}={_said(rgb)} cannot be converted; only True or False can")
    if bands != 3 and section.get(order):
        raise ValueError(f"{where}.{order}=True cannot be converted for {bands} bands; it is for red, green and blue")
    rgb = rgb or bands != 3
    fields: dict[str, Any] = {"channel_order": "rgb" if rgb else "bgr"}
    for name, none in (("mean", 0.0), ("std", 1.0)):
        values: Any = (none,) * bands if section.get("mean") is None else section.get(name)
        numbers = isinstance(values, list | tuple) and len(values) == bands and all(map(_is_number, values))
        numbers = numbers and (bands == 3 or max(values) <= 255)
        some = "three" if bands == 3 else bands
        if not numbers or (name == "std" and min(values) <= 0):
            raise ValueError(
                f"{where}.{name}={_said(values)} cannot be converted; expected {some} numbers for 8-bit values"
            )
        scaled = tuple(round(value / 255, 12) for value in values)
        fields[name] = scaled if rgb else scaled[::-1]
    return fields


def evaluation_of(text: str | None) -> Evaluation:
    """The sliding window of `model.test_cfg`, or the whole image.

    Raises:
        ValueError: another mode, or a window without sizes.
    """
    section = _section(_section(settings(text), "model"), "test_cfg")
    mode = section.get("mode", "whole")
    if mode == "whole":
        return Evaluation()
    sizes = [_pair(section.get(name)) for name in ("crop_size", "stride")]
    if mode != "slide" or None in sizes:
        said = ", ".join(f"{name}={_said(value)}" for name, value in section.items())
        raise ValueError(
            f"test_cfg of {said} cannot be converted; only mode='whole', or 'slide' with crop_size and stride can"
        )
    return Evaluation(mode="slide", crop_size=sizes[0], stride=sizes[1])


def refuse_others(text: str | None) -> None:
    """Raise ValueError for a setting that changes the result, leaves no trace in the weights and has no counterpart here."""
    model = _section(settings(text), "model")
    if (kind := model.get("type", "EncoderDecoder")) not in ("EncoderDecoder", UNKNOWN):
        raise ValueError(f"model.type={_said(kind)} cannot be converted; only 'EncoderDecoder' can")
    if model.get("neck") not in (None, UNKNOWN):
        raise ValueError("model.neck cannot be converted; the head has to read the backbone's maps")
    for part in ("backbone", "decode_head"):
        section = _section(model, part)
        norm, act = _section(section, "norm_cfg"), section.get("act_cfg", {"type": "ReLU"})
        if (kind := norm.get("type", "BN")) not in _NORMS:
            raise ValueError(f"{part}.norm_cfg.type={_said(kind)} cannot be converted; only batch norm can")
        if (eps := norm.get("eps", 1e-5)) != 1e-5:
            raise ValueError(f"{part}.norm_cfg.eps={_said(eps)} cannot be converted; only 1e-05 can")
        if act is not UNKNOWN and (not isinstance(act, dict) or act.get("type") != "ReLU"):
            raise ValueError(f"{part}.act_cfg={_said(act)} cannot be converted; only ReLU can")
        for name in ("conv_cfg", "dcn", "plugins"):
            if section.get(name) not in (None, UNKNOWN, {"type": "Conv2d"}):
                raise ValueError(f"{part}.{name}={_said(section[name])} cannot be converted; only None can")
    if (at := _section(model, "decode_head").get("in_index", -1)) not in (-1, 3, UNKNOWN):
        raise ValueError(f"decode_head.in_index={_said(at)} cannot be converted; only the last map, -1 or 3, can")


# One logit -------------------------------------------------------------------------------------------------------------------
def has_one_logit(state: Mapping[str, Tensor]) -> bool:
    """Whether the decode head gives one logit z, whose class is 1 where sigmoid(z) is above a threshold."""
    weight = state.get("decode_head.conv_seg.weight")
    return weight is not None and weight.ndim == 4 and len(weight) == 1


def with_two_logits(state: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """The classifiers of one logit z give two, (0, z): argmax is the label, and the threshold goes into the bias.

    sigmoid(z) > t exactly where z - log(t / (1 - t)) > 0.
    """
    cut = math.log(threshold / (1 - threshold))
    two = dict(state)
    for name, value in state.items():
        if name.endswith(("conv_seg.weight", "conv_seg.bias")) and value.ndim and len(value) == 1:
            shift = cut if name == "decode_head.conv_seg.bias" else 0.0
            two[name] = torch.cat([torch.zeros_like(value), value - shift])
    return two


def threshold_of(text: str | None) -> float | None:
    """The threshold of a head of one logit; None if the configuration names none.

    Raises:
        ValueError: it is no number between 0 and 1.
    """
    value = _section(_section(settings(text), "model"), "decode_head").get("threshold")
    if value is None:
        return None
    if not _is_number(value) or not 0 < value < 1:
        raise ValueError(f"decode_head.threshold={_said(value)} cannot be converted; only a number between 0 and 1 can")
    return float(value)


def _normalize_steps(text: str | None, names: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`mean`, `std` and `to_rgb` of each different step `Normalize`, and of `img_norm_cfg`."""
    nodes = [node for _, value in assignments(text or "") for node in ast.walk(value)]
    values = [literal(node, names, keep=True) for node in nodes if isinstance(node, ast.Call | ast.Dict)]
    steps = [value for value in values if isinstance(value, dict) and value.get("type") == "Normalize"]
    steps += [_section(names, "img_norm_cfg")] if _section(names, "img_norm_cfg") else []
    different: list[dict[str, Any]] = []
    for step in steps:
        entry = {name: step[name] for name in ("mean", "std", "to_rgb") if name in step}
        if entry not in different:
            different.append(entry)
    return different


def _section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(each) is int and each > 0 for each in value):
        return value[0], value[1]
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _said(value: object) -> str:
    return "(an expression)" if value is UNKNOWN else reprlib.repr(value)[:80]
