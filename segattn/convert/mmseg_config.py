"""Reads what an mmsegmentation configuration says about a network, without running it, and writes such a configuration.

Checkpoints contain its text, Python code that mmsegmentation runs; here only `dict(...)`, displays and literals are parsed.
"""

from __future__ import annotations

import ast
import dataclasses
import pprint
from collections.abc import Mapping
from typing import Any

from segattn import config as configuration
from segattn import heads
from segattn.backbones.resnet import DEPTHS, LAYOUTS
from segattn.convert.mmseg_cascade import as_one, sections
from segattn.data.transforms import Normalization

_TYPES = {
    "fcn": "FCNHead",
    "non_local": "NLHead",
    "ccnet": "CCHead",
    "danet": "DAHead",
    "dnlnet": "DNLHead",
    "emanet": "EMAHead",
    "isanet": "ISAHead",
    "psp": "PSPHead",
    "aspp": "ASPPHead",
    "ocr": "OCRHead",
}
_OPTIONS: dict[
    str, dict[str, tuple[str, Any]]
] = {  # head -> their setting that no shape shows -> (our option, their default)
    "non_local": {"mode": ("pairwise", "embedded_gaussian")},
    "dnlnet": {"temperature": ("temperature", 0.05), "use_scale": ("scale", True)},
    "ccnet": {"recurrence": ("recurrence", 2)},
    "isanet": {"down_factor": ("partition", (8, 8))},
    "emanet": {"num_stages": ("num_rounds", 3), "momentum": ("momentum", 0.1)},
    "psp": {"pool_scales": ("bins", (1, 2, 3, 6))},
    "aspp": {"dilations": ("dilations", (1, 6, 12, 18))},
}
_CUSTOMARY: dict[str, Any] = {"dilations": (1, 12, 24, 36)}  # shared by their configurations, but no default
# Settings for which our networks have one value only: of the backbone, of every head, of one head.
_FIXED: dict[str, dict[str, Any]] = {
    "backbone": {"style": "pytorch", "multi_grid": None, "avg_down": False},
    "decode_head": {"kernel_size": 3, "dilation": 1, "input_transform": None},
    **{"non_local": {"use_scale": True}, "dnlnet": {"mode": "embedded_gaussian"}, "ocr": {"scale": 1}},
}
# Options that keys and shapes carry, or that change no result.
_CARRIED = {"channels", "dropout", "implementation", "num_bases", "concat_input"}


def read(text: str) -> dict[str, Any]:
    """The `model` of a configuration as dicts and literals; values that are not literals are left out. {} if there is no `model`.

    Names of numbers, texts and lists that the configuration assigns before are literals too.

    >>> read("ac = True; model = dict(type='EncoderDecoder', decode_head=dict(align_corners=ac, norm_cfg=norm_cfg))")
    {'type': 'EncoderDecoder', 'decode_head': {'align_corners': True}}
    """
    names: dict[str, Any] = {}
    for name, node in assignments(text):
        if name == "model":
            model = literal(node, {name: value for name, value in names.items() if _is_flat(value)})
            return as_one(model) if isinstance(model, dict) else {}
        names[name] = literal(node, names)
    return {}


def _is_flat(value: object) -> bool:
    """Whether it is a number, a text or a list of them: names of nested values could be written out without end."""
    parts = value if isinstance(value, list | tuple) else [value]
    return all(part is None or isinstance(part, str | int | float) for part in parts)


def assignments(text: str) -> list[tuple[str, ast.expr]]:
    """Name and value of each assignment at the top level, none of a text that is not Python."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):  # very old checkpoints have a file name before the text
        return []
    targets = [(node.targets, node.value) for node in body if isinstance(node, ast.Assign)]
    return [(ast.unparse(names[0]), value) for names, value in targets if len(names) == 1]


UNKNOWN = object()  # stands for a value that is no literal


def literal(node: ast.expr, names: Mapping[str, Any], *, keep: bool = False) -> Any:
    """The value of literals, displays, `dict(...)` and `names`; `UNKNOWN` for anything else.

    Entries of a dict whose value is unknown are left out unless `keep`.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        entries = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else key for key in node.keys]
        entries = [(key, value) for key, value in zip(keys, node.values, strict=True) if not isinstance(key, ast.AST)]  # type: ignore[misc]
    elif isinstance(node, ast.List | ast.Tuple):
        values = [literal(element, names, keep=keep) for element in node.elts]
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        return tuple(values) if isinstance(node, ast.Tuple) else values
    elif isinstance(node, ast.Name):
        return names.get(node.id, UNKNOWN)
    else:
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN
    pairs: dict[Any, Any] = {}
    for key, part in entries:
        value = literal(part, names, keep=keep)
        if key is not None and (keep or value is not UNKNOWN):
            pairs[key] = value
        elif key is None and isinstance(value, dict):  # **value
            pairs |= value
    return pairs


def complete(
    text: str | None, network: configuration.Model, *, align_corners: bool | None = None
) -> tuple[configuration.Model, dict[str, Any]]:
    """`network` completed by the configuration, and the settings that were assumed, with their values.

    A configuration that names its backbone and head is complete: a setting that it lacks has the default of mmsegmentation's
    classes. Otherwise the values that all its configurations of these heads share are assumed, and returned.

    Raises:
        ValueError: a setting that our network cannot express.
    """
    model = read(text) if text else {}
    named = {name: model.get(name, {}) for name in ("backbone", "decode_head")}
    for name, section in named.items():
        if not isinstance(section, dict):
            raise ValueError(f"model.{name} of the configuration has several parts; only one can be converted")
        only = _FIXED[name] | (_FIXED.get(network.head, {}) if name == "decode_head" else {})
        for setting, fixed in only.items():
            if section.get(setting, fixed) != fixed:
                raise ValueError(f"{name}.{setting}={section[setting]!r} cannot be converted; only {fixed!r} can")
    body, head = named.values()
    whole, assumed = "type" in body and "type" in head, {}

    def take(section: dict[str, Any], setting: str, default: Any, customary: Any) -> Any:
        if setting not in section and not whole:
            assumed[setting] = customary
        return section.get(setting, default if whole else customary)

    strides, dilations = (
        tuple(take(body, n, LAYOUTS[32][i], LAYOUTS[8][i])) for i, n in enumerate(("strides", "dilations"))
    )
    stride = next((stride for stride, layout in LAYOUTS.items() if layout == (strides, dilations)), None)
    if stride is None:
        raise ValueError(f"backbone.strides={strides} with dilations={dilations} cannot be converted")
    contract = take(body, "contract_dilation", False, True)
    options = {
        ours: take(head, setting, default, _CUSTOMARY.get(setting, default))
        for setting, (ours, default) in _OPTIONS.get(network.head, {}).items()
    }
    options["dropout"] = head.get("dropout_ratio", 0.1)
    if align_corners is None:
        align_corners = take(head, "align_corners", False, False)
    if _resizes(network.head):
        options["align_corners"] = align_corners
    network = dataclasses.replace(
        network,
        output_stride=stride,
        auxiliary_weight=_auxiliary_weight(model, network.auxiliary_weight),
        align_corners=align_corners,
        head_options=network.head_options | options,
        backbone_options=network.backbone_options | {"contract_dilation": contract},
    )
    return network, assumed


def _resizes(head: str) -> bool:
    """Whether the head resizes maps of its own, as the upsampling of logits does there: its option `align_corners`."""
    return "align_corners" in heads.options(head)


def _auxiliary_weight(model: dict[str, Any], kept: float) -> float:
    """The auxiliary head's weight in the loss, if it is kept and the configuration has one."""
    loss = model.get("auxiliary_head", {})
    for name in ("loss_decode", "loss_weight"):
        loss = loss.get(name) if isinstance(loss, dict) else None
    return float(loss) if kept > 0 and isinstance(loss, float | int) and loss > 0 else kept


def write(network: configuration.Model, num_classes: int, evaluation: configuration.Evaluation | None = None) -> str:
    """The text of mmsegmentation's configuration of a network: `model = {...}`, with the sliding window of `evaluation`.

    Raises:
        ValueError: mmsegmentation cannot express an option of the network.
    """
    if network.backbone not in DEPTHS or network.head not in _TYPES:
        raise ValueError(f"mmsegmentation has no counterpart of {network.backbone} with {network.head}")
    if network.backbone_options.get("multi_grid") is not None:
        raise ValueError("backbone option multi_grid cannot be converted")
    window = evaluation.window if evaluation is not None and evaluation.mode == "slide" else None
    block, _ = DEPTHS[network.backbone]
    width = network.backbone_options.get("width", 64)
    norm = {"type": "SyncBN", "requires_grad": True}
    strides, dilations = LAYOUTS[network.output_stride]
    backbone = {
        "type": "ResNet" if network.backbone_options.get("stem") == "plain" else "ResNetV1c",
        "in_channels": network.in_channels,
        "depth": int(network.backbone.removeprefix("resnet")),
        "base_channels": width,
        "stem_channels": network.backbone_options.get("stem_channels") or width,
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "dilations": dilations,
        "strides": strides,
        "norm_cfg": norm,
        "norm_eval": False,
        "style": "pytorch",
        "contract_dilation": network.backbone_options.get("contract_dilation", True),
    }
    shared = {"num_classes": num_classes, "norm_cfg": norm, "align_corners": network.align_corners}
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
    decode = {
        "in_channels": 8 * width * block.expansion,
        "in_index": 3,
        **_head(network),
        **shared,
        "loss_decode": loss,
    }
    auxiliary = {
        "type": "FCNHead",
        "in_channels": 4 * width * block.expansion,
        "in_index": 2,
        "channels": 256,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": 0.1,
        **shared,
        "loss_decode": {**loss, "loss_weight": network.auxiliary_weight},
    }
    model = {
        **sections(network.head, decode, auxiliary, network.auxiliary_weight),
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            **_preprocessor(network),
            "pad_val": 0,
            "seg_pad_val": 255,
        },
        "backbone": backbone,
        "train_cfg": {},
        "test_cfg": {"mode": "whole"}
        if window is None
        else {"mode": "slide", "crop_size": window[0], "stride": window[1]},
    }
    return f"model = {pprint.pformat(model, sort_dicts=False)}\n"


def _preprocessor(network: configuration.Model) -> dict[str, Any]:
    """How images enter: mean and std of 8-bit values in the order of the network's channels; images are read as BGR there."""
    step, entry = 1 if network.channel_order == "rgb" else -1, Normalization.of(network)
    entries = (("mean", entry.mean), ("std", entry.std))
    numbers = {name: [round(255 * value, 6) for value in values[::step]] for name, values in entries}
    return {**numbers, "bgr_to_rgb": network.channel_order == "rgb" and network.in_channels == 3}


def _head(network: configuration.Model) -> dict[str, Any]:
    """The decode head's own settings."""
    defaults = {name: option.default for name, option in heads.options(network.head).items()}
    options = _OPTIONS.get(network.head, {})
    expressible = _CARRIED | {ours for ours, _ in options.values()}
    if network.head == "non_local":
        expressible |= {"reduction"}
    if _resizes(network.head):
        own_corners = network.head_options.get("align_corners", defaults["align_corners"])
        if own_corners != network.align_corners:
            raise ValueError(
                f"mmsegmentation's {network.head} resizes as it upsamples; head option align_corners={own_corners} and "
                f"model.align_corners={network.align_corners} cannot both be kept"
            )
        expressible |= {"align_corners"}
    for option, value in network.head_options.items():
        if option not in expressible and value != defaults[option]:
            raise ValueError(f"mmsegmentation's {network.head} has no counterpart of {option}={value!r}")
    chosen = defaults | network.head_options
    channels = chosen["channels"]
    own: dict[str, Any] = {
        "danet": {"pam_channels": channels // 8},
        "isanet": {"isa_channels": channels // 2},
        "emanet": {"ema_channels": channels, "channels": channels // 2, **_named(chosen, "num_bases", "concat_input")},
        "non_local": _named(chosen, "reduction"),
        "ocr": {"ocr_channels": channels // 2},
    }.get(network.head, {})
    settings = {
        setting: default if chosen[option] is None else chosen[option] for setting, (option, default) in options.items()
    }
    return {"type": _TYPES[network.head], "channels": channels, "dropout_ratio": chosen["dropout"], **settings, **own}


def _named(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}
