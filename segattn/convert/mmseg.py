"""State dicts of mmsegmentation's segmentors to ours and back: parameters renamed, nothing computed.

A segmentor there is `backbone.`, `decode_head.` and `auxiliary_head.`. Its ResNet has our parameter names; `HEADS` has one
table a head. Which head, backbone, widths and classes a checkpoint has follows from its keys and shapes. What leaves no trace
there (`align_corners`, dilation, DNL's temperature, ...) is read from the configuration that mmsegmentation stores beside the
weights, see `mmseg_config`, and otherwise assumed to be mmsegmentation's default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from segattn import checkpoint
from segattn import config as configuration
from segattn.backbones.resnet import DEPTHS, Bottleneck
from segattn.convert import mmseg_config
from segattn.model import SegmentationModel

State = Mapping[str, Tensor]
Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class HeadTable:
    """How one head's parts are called there."""

    mark: str
    """Beginning of a key that no other head has."""
    names: Mapping[str, str]
    """Our prefix -> theirs, below `head.` and `decode_head.`."""
    options: Callable[[Shapes], dict[str, int]]
    """Our head's options from the shapes below `decode_head.`."""
    scales: tuple[str, ...] = ()
    """Their scalar factors: `NAME.scale` of shape () now, `NAME` of shape (1,) in older checkpoints."""


def _sandwich_options(shapes: Shapes) -> dict[str, int]:
    return {"channels": shapes["convs.0.conv.weight"][0]}


def _reduction(projection: str) -> Callable[[Shapes], dict[str, int]]:
    """Channels, and by which factor `projection` reduces them."""

    def options(shapes: Shapes) -> dict[str, int]:
        channels, projected = shapes["convs.0.conv.weight"][0], shapes[f"{projection}.weight"][0]
        return {"channels": channels, "reduction": channels // projected}

    return options


_SANDWICH = {
    "sandwich.reduce": "convs.0",
    "sandwich.refine": "convs.1",
    "sandwich.fuse": "conv_cat",
    "sandwich.classify.conv": "conv_seg",
}

HEADS: dict[str, HeadTable] = {
    "non_local": HeadTable(
        mark="nl_block.",
        names=_SANDWICH
        | {
            "attention.query": "nl_block.theta.conv",
            "attention.key": "nl_block.phi.conv",
            "attention.value": "nl_block.g.conv",
            "attention.project": "nl_block.conv_out.conv",
            "attention.bn": "nl_block.conv_out.bn",
        },
        options=_reduction("nl_block.g.conv"),
    ),
    "ccnet": HeadTable(
        mark="cca.",
        names=_SANDWICH
        | {
            "attention.query": "cca.query_conv",
            "attention.key": "cca.key_conv",
            "attention.value": "cca.value_conv",
            "attention.gamma": "cca.gamma.scale",
        },
        options=_reduction("cca.query_conv"),
        scales=("cca.gamma",),
    ),
    "danet": HeadTable(
        mark="pam.",
        names={
            "position_in": "pam_in_conv",
            "attention.position.query": "pam.query_project",
            "attention.position.key": "pam.key_project",
            "attention.position.value": "pam.value_project",
            "attention.position.gamma": "pam.gamma.scale",
            "position_out": "pam_out_conv",
            "classify_position.conv": "pam_conv_seg",
            "channel_in": "cam_in_conv",
            "attention.channel.beta": "cam.gamma.scale",
            "channel_out": "cam_out_conv",
            "classify_channel.conv": "cam_conv_seg",
            "classify.conv": "conv_seg",
        },
        options=lambda shapes: {"channels": shapes["pam_in_conv.conv.weight"][0]},
        scales=("pam.gamma", "cam.gamma"),
    ),
    "emanet": HeadTable(
        mark="ema_module.",
        names={
            "reduce": "ema_in_conv",
            "attention.embed": "ema_mid_conv.conv",
            "attention.bases": "ema_module.bases",
            "attention.project": "ema_out_conv.conv",
            "attention.bn": "ema_out_conv.bn",
            "refine": "bottleneck",
            "fuse": "conv_cat",
            "classify.conv": "conv_seg",
        },
        options=lambda shapes: dict(
            zip(("channels", "num_bases"), shapes["ema_module.bases"][1:], strict=True),
        ),
    ),
    "fcn": HeadTable(mark="convs.", names=_SANDWICH, options=_sandwich_options),  # last: the others have convs., too
}

_AUXILIARY = {"auxiliary.reduce": "auxiliary_head.convs.0", "auxiliary.classify.conv": "auxiliary_head.conv_seg"}


@dataclass(frozen=True)
class Converted:
    """A checkpoint as a network of ours."""

    state: dict[str, Tensor]
    network: configuration.Model
    num_classes: int
    assumed: dict[str, Any] = field(default_factory=dict)
    """Settings that neither the keys nor the stored configuration tell, with the values taken."""

    def build(self) -> SegmentationModel:
        """The network with these weights, in eval mode."""
        model = checkpoint.build_model(self.network, self.num_classes)
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
        config: text of the configuration that it was trained with; never run, only literals are read.
        head, num_classes: what is expected; anything else is an error.
        align_corners: how logits are upsampled; replaces what `config` says.
        keep_auxiliary: False leaves the auxiliary head out, which only training uses.

    Raises:
        ValueError: another head or class count than expected, no head that we have, missing or unexpected keys (listed),
            other shapes, anything but tensors, or a setting that ours cannot express.
    """
    state = _current_keys(_checked_tensors(state))
    if not keep_auxiliary:
        state = {key: value for key, value in state.items() if not key.startswith("auxiliary_head.")}
    found = _find_head(state)
    if head is not None and head != found:
        raise ValueError(f"the checkpoint's decode head is {found}, not {head}")
    shapes = {key: value.shape for key, value in state.items()}
    try:
        network, classes = _describe(shapes, found)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"the checkpoint of a {found} network is incomplete: no usable {error}") from None
    if num_classes is not None and num_classes != classes:
        raise ValueError(f"the checkpoint has {classes} classes, not {num_classes}")
    network, assumed = mmseg_config.complete(config, network, align_corners=align_corners)
    with torch.device("meta"):
        ours = checkpoint.build_model(network, classes).state_dict()
    names = {name: _their_name(name, HEADS[found]) for name in ours}
    _check_fit({names[name]: value.shape for name, value in ours.items()}, state)
    zero = torch.zeros((), dtype=torch.long)  # counts batches; old checkpoints lack some
    return Converted({name: state.get(names[name], zero) for name in ours}, network, classes, assumed)


def to_mmseg(state: State, head: str, *, old_keys: bool = False) -> dict[str, Tensor]:
    """Rename a state dict of ours with the head `head` to mmsegmentation's names.

    `old_keys` writes scalar factors as `NAME` of shape (1,), as mmsegmentation did before version 0.6, instead of
    `NAME.scale` of shape ().

    Raises:
        ValueError: mmsegmentation has no such head, or a parameter has no counterpart there.
    """
    if head not in HEADS:
        raise ValueError(f"mmsegmentation has no counterpart of head {head!r}; it has {', '.join(sorted(HEADS))}")
    table = HEADS[head]
    theirs = {_their_name(name, table): value for name, value in _checked_tensors(state).items()}
    if old_keys:
        for scale in table.scales:
            theirs[f"decode_head.{scale}"] = theirs.pop(f"decode_head.{scale}.scale").reshape(1)
    return theirs


def _their_name(name: str, table: HeadTable) -> str:
    """Our parameter's name there."""
    if name.startswith("backbone."):
        return name
    for ours, theirs in (_AUXILIARY | {f"head.{a}": f"decode_head.{b}" for a, b in table.names.items()}).items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name[len(ours) :]
    raise ValueError(f"parameter {name} has no counterpart in mmsegmentation; only faithful heads have")


def _checked_tensors(state: State) -> State:
    if not isinstance(state, Mapping) or not state:
        raise ValueError("no state dict: expected parameter names with tensors")
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
            return name
    known = ", ".join(sorted(HEADS))
    if not parts:
        raise ValueError(f"no keys under decode_head.: not an mmsegmentation segmentor with one of {known}")
    modules = sorted({part.split(".")[0] for part in parts})
    raise ValueError(f"the decode head (of {', '.join(modules)}) is none that can be converted: {known}")


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
            f"the backbone has {depths} blocks a stage: none that can be converted ({', '.join(DEPTHS)}, v1c or plain stem)"
        )
    width = shapes["backbone.layer1.0.conv1.weight"][0]
    stem = shapes["backbone.stem.6.weight" if deep else "backbone.conv1.weight"][0]
    options: dict[str, Any] = {"stem": "deep" if deep else "plain"}
    options |= ({"width": width} if width != 64 else {}) | ({"stem_channels": stem} if stem != width else {})
    network = configuration.Model(
        head=head,
        backbone=backbone,
        align_corners=False,
        auxiliary_weight=0.4 if any(key.startswith("auxiliary_head.") for key in shapes) else 0.0,
        head_options=HEADS[head].options(below),
        backbone_options=options,
    )
    return network, below["conv_seg.weight"][0]


def _check_fit(expected: Shapes, given: State) -> None:
    """Compare names and shapes, and list all that differ."""
    missing = [key for key in expected if key not in given and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in given if key not in expected]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(shape)}"
        for key, shape in expected.items()
        if key in given and given[key].shape != shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    if any(found.values()):
        lists = "".join(f"\n  {what}: {', '.join(sorted(keys))}" for what, keys in found.items() if keys)
        hint = ""
        if any(key.startswith("auxiliary_head.") for key in unexpected + shapes):
            hint = (
                "\nThe auxiliary head serves training only: keep_auxiliary=False (--no-keep-auxiliary) leaves it out."
            )
        raise ValueError(f"the checkpoint does not fit:{lists}{hint}")
