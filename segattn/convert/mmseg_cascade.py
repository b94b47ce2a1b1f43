"""OCR in mmsegmentation: a cascade of two decode heads, an FCN on stage 3 and `OCRHead`, which reads the FCN's logits.

Here they are one head. Its configuration is read as if it had one decode head and an auxiliary one, and written as a cascade.
"""

from __future__ import annotations

import reprlib
from typing import Any

AUXILIARY_WEIGHT = 0.4
"""Of the first prediction in the loss: `loss_weights` of our head."""
_FIRST = {
    "in_index": 2,
    "num_convs": 1,
    "concat_input": False,
    "kernel_size": 3,
    "dilation": 1,
    "input_transform": None,
}
# What they are there if the configuration does not say so, where that is not what we have.
_DEFAULTS = {"in_index": -1, "num_convs": 2, "concat_input": True}


def as_one(model: dict[str, Any]) -> dict[str, Any]:
    """The `model` of a configuration with OCR's two decode heads as `decode_head` and `auxiliary_head`; any other as it is.

    Raises:
        ValueError: the two heads have a setting that our head cannot express.
    """
    parts = model.get("decode_head")
    if not isinstance(parts, list | tuple) or not all(isinstance(part, dict) for part in parts):
        return model
    if [part.get("type") for part in parts] != ["FCNHead", "OCRHead"]:
        return model
    first, second = parts
    for setting, fixed in _FIRST.items():
        if (value := first.get(setting, _DEFAULTS.get(setting, fixed))) != fixed:
            _refuse(f"decode_head[0].{setting}", value, fixed)
    width = second.get("channels")
    half = None if not isinstance(width, int) else width // 2
    for where, value in (("[0].channels", first.get("channels")), ("[1].ocr_channels", second.get("ocr_channels"))):
        if half is not None and value != half:
            _refuse(f"decode_head{where}", value, half)
    for setting, default in (("dropout_ratio", 0.1), ("align_corners", False)):
        if (value := first.get(setting, default)) != (same := second.get(setting, default)):
            _refuse(f"decode_head[0].{setting}", value, same)
    one = {**model, "decode_head": second, "auxiliary_head": first}
    if one.get("type") == "CascadeEncoderDecoder":
        one["type"] = "EncoderDecoder"
    return one


def sections(head: str, decode: dict[str, Any], auxiliary: dict[str, Any], weight: float) -> dict[str, Any]:
    """The entries of a configuration's `model` for these heads: a cascade for OCR, two heads otherwise.

    `weight` is the auxiliary head's in the loss; without it there is none.
    """
    if head != "ocr":
        return {
            "type": "EncoderDecoder",
            "decode_head": decode,
            **({"auxiliary_head": auxiliary} if weight > 0 else {}),
        }
    first = {
        **auxiliary,
        "channels": decode["ocr_channels"],
        "dropout_ratio": decode["dropout_ratio"],
        "loss_decode": {**auxiliary["loss_decode"], "loss_weight": AUXILIARY_WEIGHT},
    }
    return {"type": "CascadeEncoderDecoder", "num_stages": 2, "decode_head": [first, decode]}


def _refuse(where: str, value: object, allowed: object) -> None:
    raise ValueError(f"{where}={reprlib.repr(value)[:80]} cannot be converted; only {allowed!r} can")
