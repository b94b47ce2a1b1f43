"""Converts state dicts of mmsegmentation's segmentors to ours and back: parameters are renamed, nothing is computed.

A segmentor there consists of `backbone.`, `decode_head.` and `auxiliary_head.`. Its ResNet has our parameter names; `mmseg_keys`
has one table per head. The one exception is a classifier of one logit, which becomes one of two. Keys and shapes tell the head,
backbone, widths and classes. What they do not tell (`align_corners`, dilation, DNL's temperature, ...) is read from the
configuration that mmsegmentation stores with the weights, see `mmseg_config`, and how images enter in `mmseg_settings`; without
one, the values that all its configurations of these heads share are assumed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from segattn import config as configuration
from segattn.backbones import archive
from segattn.backbones.resnet import DEPTHS, Bottleneck
from segattn.convert import mmseg_config, mmseg_settings
from segattn.convert.mmseg_keys import HEADS, Shapes, length, their_name
from segattn.model import SegmentationModel, build_model

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Converted:
    """A checkpoint as a network of ours."""

    state: dict[str, Tensor]
    network: configuration.Model
    num_classes: int
    assumed: dict[str, Any] = field(default_factory=dict)
    """Settings that neither the keys nor the stored configuration tell, with the values assumed."""
    evaluation: configuration.Evaluation = field(default_factory=configuration.Evaluation)
    """The sliding window that the configuration tests with, or the whole image."""
    notices: tuple[str, ...] = ()
    """What was assumed or changed beyond names, in sentences."""

    def build(self) -> SegmentationModel:
        """The network with these weights, in eval mode."""
        model = build_model(self.network, self.num_classes)
        model.load_state_dict(self.state)
        return model.eval()


def from_mmseg(
    state: State,
    *,
    config: str | None = None,
    head: str | None = None,
    num_classes: int | None = None,
    align_corners: bool | None = None,
    keep_auxiliary: bool = True,
) -> Converted:
    """Rename an mmsegmentation segmentor's state dict to ours.

    Args:
        config: text of the configuration that it was trained with; it is parsed for literals and never executed.
        head, num_classes: the expected ones; others are an error.
        align_corners: how logits are upsampled; replaces what `config` says.
        keep_auxiliary: False drops the auxiliary head, which only training uses.

    Raises:
        ValueError: an unexpected head or class count, a head that we do not have, missing or unexpected keys (listed), other
            shapes, values that are not tensors, or a setting that our network cannot express.
    """
    state = _current_keys(_checked_tensors(state))
    if not keep_auxiliary:
        state = {key: value for key, value in state.items() if not key.startswith("auxiliary_head.")}
    mmseg_settings.refuse_others(config)
    bands = mmseg_settings.bands_of(state)
    entry, notices = mmseg_settings.input_of(config, bands), []
    if not entry and bands != 3:
        notices.append(
            f"No mean and standard deviation of the {bands} bands are stored; assumed 0.5 and 0.25 of the white level"
        )
    elif not entry:
        notices.append("No mean, standard deviation and channel order are stored; assumed ImageNet's and RGB")
    if mmseg_settings.has_one_logit(state):
        threshold = mmseg_settings.threshold_of(config)
        how = "assumed, mmsegmentation's default" if threshold is None else "as in the configuration"
        threshold = mmseg_settings.THRESHOLD if threshold is None else threshold
        state = mmseg_settings.with_two_logits(state, threshold)
        notices.append(f"One logit z became two, (0, z), with the threshold {threshold:g} ({how}) in the bias")
    stored_head = _find_head(state)
    if head is not None and head != stored_head:
        raise ValueError(f"the checkpoint's decode head is {stored_head}, not {head}")
    shapes = {key: value.shape for key, value in state.items()}
    network, classes = _describe(shapes, stored_head)
    if classes == 1:
        raise ValueError(f"{stored_head} with one logit cannot be converted: its regions would be others with two")
    if num_classes is not None and num_classes != classes:
        raise ValueError(f"the checkpoint has {classes} classes, not {num_classes}")
    network, assumed = mmseg_config.complete(config, network, align_corners=align_corners)
    network = dataclasses.replace(network, in_channels=bands, **entry)
    with torch.device("meta"):
        ours = build_model(network, classes).state_dict()
    names = {name: their_name(name, HEADS[stored_head]) for name in ours}
    expected = {names[name]: value for name, value in ours.items()}
    _check_fit({name: value.shape for name, value in expected.items()}, state)
    if fault := archive.fault_of(state, expected):
        raise ValueError(f"the checkpoint does not fit: {fault}")
    zero = torch.zeros((), dtype=torch.long)  # num_batches_tracked, which old checkpoints lack
    converted, evaluation = {name: state.get(names[name], zero) for name in ours}, mmseg_settings.evaluation_of(config)
    return Converted(converted, network, classes, assumed, evaluation, tuple(notices))


def to_mmseg(state: State, head: str, *, old_keys: bool = False) -> dict[str, Tensor]:
    """Rename a state dict of ours with the head `head` to mmsegmentation's names.

    `old_keys` writes scalar factors as `NAME` of shape (1,), as older checkpoints of mmsegmentation have them, instead of
    `NAME.scale` of shape ().

    Raises:
        ValueError: mmsegmentation has no such head, or a parameter has no counterpart there.
    """
    if head not in HEADS:
        raise ValueError(f"mmsegmentation has no counterpart of head {head!r}; it has {', '.join(sorted(HEADS))}")
    table = HEADS[head]
    renamed = {their_name(name, table): value for name, value in _checked_tensors(state).items()}
    if old_keys:
        for scale in table.scales:
            renamed[f"decode_head.{scale}"] = renamed.pop(f"decode_head.{scale}.scale").reshape(1)
    return renamed


def _checked_tensors(state: State) -> State:
    if not isinstance(state, Mapping) or not state:
        raise ValueError("not a state dict: expected parameter names with tensors")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"the state dict holds {key!r}: {type(value).__name__}; it should hold tensors only")
    return state


def _current_keys(state: State) -> dict[str, Tensor]:
    """Without the `module.` of data-parallel wrappers, and scalar factors under their present names."""
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    old = {f"decode_head.{scale}" for table in HEADS.values() for scale in table.scales}
    return {
        f"{key}.scale" if key in old else key: value.reshape(()) if key in old and value.shape == (1,) else value
        for key, value in state.items()
    }


def _find_head(state: State) -> str:
    parts = {key.removeprefix("decode_head.") for key in state if key.startswith("decode_head.")}
    for name, table in HEADS.items():
        if any(part.startswith(table.mark) for part in parts):
            for key, other in table.others.items():
                if any(key in part for part in parts):
                    raise ValueError(
                        f"the decode head has {key.strip('.')} beside {table.mark.strip('.')}, so it is {other}, not {name}, "
                        f"and cannot be converted; these can: {', '.join(sorted(HEADS))}"
                    )
            return name
    known = ", ".join(sorted(HEADS))
    if not parts:
        raise ValueError(f"no keys under decode_head.: not an mmsegmentation segmentor with one of {known}")
    modules = sorted({part.split(".")[0] for part in parts})
    raise ValueError(f"the decode head (of {', '.join(modules)}) cannot be converted; these can: {known}")


def _describe(shapes: Shapes, head: str) -> tuple[configuration.Model, int]:
    """Backbone, head and options, and the number of classes, from keys and shapes."""
    below = {key.removeprefix("decode_head."): shape for key, shape in shapes.items() if key.startswith("decode_head.")}
    deep = any(key.startswith("backbone.stem.") for key in shapes)
    depths = tuple(
        len({key.split(".")[2] for key in shapes if key.startswith(f"backbone.layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    block_is_bottleneck = "backbone.layer1.0.conv3.weight" in shapes
    backbone = next(
        (name for name, (block, d) in DEPTHS.items() if d == depths and (block is Bottleneck) == block_is_bottleneck),
        None,
    )
    if backbone is None:
        raise ValueError(
            f"the backbone has {depths} blocks per stage and cannot be converted; these can: {', '.join(DEPTHS)}, with the v1c "
            "or the plain stem"
        )
    width = length(shapes, "backbone.layer1.0.conv1.weight")
    stem = length(shapes, "backbone.stem.6.weight" if deep else "backbone.conv1.weight")
    options: dict[str, Any] = {"stem": "deep" if deep else "plain"}
    options |= ({"width": width} if width != 64 else {}) | ({"stem_channels": stem} if stem != width else {})
    network = configuration.Model(
        head=head,
        backbone=backbone,
        align_corners=False,
        auxiliary_weight=0.4 if any(key.startswith(("auxiliary_head.", "decode_head.0.")) for key in shapes) else 0.0,
        head_options=HEADS[head].options(below),
        backbone_options=options,
    )
    return network, length(shapes, f"decode_head.{HEADS[head].classifier}.weight")


def _check_fit(expected: Shapes, state: State) -> None:
    """Compare names and shapes, and list all that differ."""
    missing = [key for key in expected if key not in state and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in state and state[key].shape != shape
    ]
    misfits = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    if any(misfits.values()):
        lists = "".join(f"\n  {what}: {', '.join(sorted(keys))}" for what, keys in misfits.items() if keys)
        hint = ""
        if any(key.startswith("auxiliary_head.") for key in unexpected + shapes):
            hint = "\nOnly training uses the auxiliary head: keep_auxiliary=False (--no-keep-auxiliary) drops it."
        raise ValueError(f"the checkpoint does not fit:{lists}{hint}")
