"""Names of parameters in mmsegmentation: one table per head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class HeadTable:
    """Names of one head's parts in mmsegmentation."""

    mark: str
    """Prefix of a key that no other of these heads has."""
    names: Mapping[str, str]
    """Our prefix -> mmsegmentation's, below `head.` and `decode_head.`."""
    options: Callable[[Shapes], dict[str, Any]]
    """Our head's options from the shapes below `decode_head.`."""
    scales: tuple[str, ...] = ()
    """mmsegmentation's scalar factors: `NAME.scale` of shape () now, `NAME` of shape (1,) in older checkpoints."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Part of a key -> the head of mmsegmentation that has it and the mark too, but is another network."""
    classifier: str = "conv_seg"
    """The last convolution there: its outputs are the classes."""


def length(shapes: Shapes, name: str, dim: int = 0) -> int:
    """Length of a parameter along `dim`.

    Raises:
        ValueError: it is missing or has no such dim.
    """
    shape = shapes.get(name, torch.Size())
    if len(shape) <= dim:
        raise ValueError(f"the checkpoint is incomplete: {name} is {'of shape ()' if name in shapes else 'missing'}")
    return shape[dim]


def _sandwich_options(shapes: Shapes) -> dict[str, Any]:
    return {"channels": length(shapes, "convs.0.conv.weight")}


def _emanet_options(shapes: Shapes) -> dict[str, Any]:
    channels, num_bases = length(shapes, "ema_module.bases", 1), length(shapes, "ema_module.bases", 2)
    concat_input = any(name.startswith("conv_cat.") for name in shapes)
    return {"channels": channels, "num_bases": num_bases, "concat_input": concat_input}


def _reduction(projection: str) -> Callable[[Shapes], dict[str, Any]]:
    """The options `channels` and `reduction`, the factor by which `projection` reduces the channels."""

    def options(shapes: Shapes) -> dict[str, Any]:
        channels, projected = length(shapes, "convs.0.conv.weight"), length(shapes, f"{projection}.weight")
        return {"channels": channels, "reduction": channels // max(projected, 1)}

    return options


def _self_attention(ours: str, theirs: str) -> dict[str, str]:
    """One of ISANet's two self-attentions."""
    return {
        f"attention.{ours}.query": f"{theirs}.query_project",
        f"attention.{ours}.key": f"{theirs}.key_project",
        f"attention.{ours}.value": f"{theirs}.value_project",
        f"attention.{ours}.project": f"{theirs}.output_project",
    }


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
    "dnlnet": HeadTable(
        mark="dnl_block.",
        names=_SANDWICH
        | {
            "attention.query": "dnl_block.theta.conv",
            "attention.key": "dnl_block.phi.conv",
            "attention.value": "dnl_block.g.conv",
            "attention.unary": "dnl_block.conv_mask",
            "attention.project": "dnl_block.conv_out.conv",
            "attention.bn": "dnl_block.conv_out.bn",
        },
        options=_sandwich_options,
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
        options=lambda shapes: {"channels": length(shapes, "pam_in_conv.conv.weight")},
        scales=("pam.gamma", "cam.gamma"),
    ),
    "emanet": HeadTable(
        mark="ema_",
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
        options=_emanet_options,
    ),
    "isanet": HeadTable(
        mark="global_relation.",
        names={"reduce": "in_conv", "fuse": "out_conv", "classify.conv": "conv_seg"}
        | _self_attention("long", "global_relation")
        | _self_attention("short", "local_relation"),
        options=lambda shapes: {"channels": length(shapes, "in_conv.conv.weight")},
    ),
    "psp": HeadTable(
        mark="psp_modules.",
        names={f"context.attention.levels.{level}": f"psp_modules.{level}.1" for level in range(10)}
        | {"context.fuse": "bottleneck", "classify.conv": "conv_seg"},
        options=lambda shapes: {"channels": length(shapes, "bottleneck.conv.weight")},
        others={"lateral_convs.": "UPerNet"},
    ),
    "aspp": HeadTable(
        mark="aspp_modules.",
        names={"context.attention.pool": "image_pool.1", "context.attention.branches": "aspp_modules"}
        | {"context.fuse": "bottleneck", "classify.conv": "conv_seg"},
        options=lambda shapes: {"channels": length(shapes, "bottleneck.conv.weight")},
        others={"c1_bottleneck.": "DeepLabV3+", "depthwise_conv.": "DeepLabV3+"},
    ),
    "ocr": HeadTable(
        mark="1.object_context_block.",
        names={
            "context.prior.reduce": "0.convs.0",
            "context.prior.classify.conv": "0.conv_seg",
            "reduce": "1.bottleneck",
            "context.attention.query": "1.object_context_block.query_project",
            "context.attention.key": "1.object_context_block.key_project",
            "context.attention.value": "1.object_context_block.value_project",
            "context.attention.project": "1.object_context_block.out_project",
            "context.attention.fuse": "1.object_context_block.bottleneck",
            "classify.conv": "1.conv_seg",
        },
        options=lambda shapes: {"channels": length(shapes, "1.bottleneck.conv.weight")},
        classifier="1.conv_seg",
    ),
    "fcn": HeadTable(
        mark="convs.", names=_SANDWICH, options=_sandwich_options
    ),  # last: the other heads have convs. too
}

AUXILIARY = {"auxiliary.reduce": "auxiliary_head.convs.0", "auxiliary.classify.conv": "auxiliary_head.conv_seg"}


def their_name(name: str, table: HeadTable) -> str:
    """The name in mmsegmentation of our parameter `name`."""
    if name.startswith("backbone."):
        return name
    for prefix, counterpart in (AUXILIARY | {f"head.{a}": f"decode_head.{b}" for a, b in table.names.items()}).items():
        if name == prefix or name.startswith(f"{prefix}."):
            return counterpart + name[len(prefix) :]
    raise ValueError(
        f"parameter {name} has no counterpart in mmsegmentation; only parameters of faithful heads have one"
    )
