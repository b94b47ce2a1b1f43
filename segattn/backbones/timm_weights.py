"""Weights of timm's networks, from a file or under timm's own names, in the names of a backbone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from segattn.backbones.without_torchvision import import_timm
from segattn.catalogue import first_line

PREFIX = "timm:"
PYRAMID = "pyramid."
"""What no file of timm has: it starts at random."""


def fitted(backbone: Any, weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Weights in the names of a `timm:` backbone.

    Files of timm hold a whole network for classification. timm's own function adapts them (positions to another grid, other
    people's names); layers that the backbone does not have are left out, and its pyramid keeps its random weights.

    Raises:
        ValueError: timm cannot adapt them, or they hold another number of later stages than the network that the backbone is a
            part of.
    """
    own: dict[str, Tensor] = backbone.state_dict()
    if all(name.startswith(("network.", PYRAMID)) for name in weights):
        return {**_without_later(backbone, weights, where), **_pyramid_of(own, weights)}
    whole: nn.Module = backbone.whole()
    known = {_plain(name) for name in whole.state_dict()}
    adapt = getattr(sys.modules[type(whole).__module__], "checkpoint_filter_fn", None)
    try:
        adapted: dict[str, Tensor] = dict(adapt(dict(weights), whole) if adapt is not None else weights)
    except (KeyError, RuntimeError, AttributeError, ValueError, IndexError, AssertionError) as error:
        raise ValueError(
            f"pretrained backbone {where} does not fit timm:{backbone.name}: timm cannot adapt it ({first_line(error)})"
        ) from error
    names = {_plain(name): name for name in [*own, *backbone.later]}
    renamed = {names.get(_plain(name), name): value for name, value in adapted.items()}
    needed = _without_later(backbone, renamed, where)
    return {
        **{name: value for name, value in needed.items() if name in own or _plain(name) not in known},
        **_pyramid_of(own, weights),
    }


def _without_later(backbone: Any, weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Weights without those of later stages, which are all there or none: else the file is of another network."""
    # Many files are without the counts of batches.
    later = {name for name in backbone.later if not name.endswith("num_batches_tracked")}
    absent = sorted(later - weights.keys())
    if absent and len(absent) < len(later):
        raise ValueError(
            f"pretrained backbone {where} does not fit timm:{backbone.name}: it lacks {absent[0]} of a later stage, and has "
            "others of these stages; is it of a smaller network?"
        )
    return {name: value for name, value in weights.items() if name not in backbone.later}


def note_random_part(backbone: Any, weights: Mapping[str, Tensor]) -> str:
    """` (its pyramid at random)` where these weights hold none for it; the backbone keeps this as `random_part`."""
    own = any(name.startswith(PYRAMID) for name in backbone.state_dict())
    at_random = own and not any(name.startswith(PYRAMID) for name in weights)
    backbone.random_part = "its pyramid" if at_random else ""
    return f" ({backbone.random_part} at random)" if at_random else ""


def advice(backbone: nn.Module) -> str:
    """What to try where weights do not fit a backbone."""
    if (name := getattr(backbone, "name", None)) is not None:
        return f"The file should be of timm:{name}."
    return "A plain-stem file (torchvision) needs backbone option stem='plain'."


def _pyramid_of(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in own.items() if name.startswith(PYRAMID) and name not in weights}


def _plain(name: str) -> str:
    """A name without what a backbone puts before it, and with the underscores of timm's `features_only`."""
    return name.removeprefix("network.").removeprefix("model.").removeprefix("body.").replace(".", "_")


def downloaded(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights that timm publishes as NAME or NAME.TAG, from its cache or downloaded, and how images enter that network.

    Raises:
        ValueError: no timm, no such weights, or no way to get them; the message says how to go on offline.
    """
    try:
        timm = import_timm()
    except ImportError as error:
        raise ValueError(
            f"pretrained weights timm:{name} need the extra: pip install 'segattn[timm]' ({error})"
        ) from error
    published = timm.list_pretrained()
    if name not in published and name not in {entry.partition(".")[0] for entry in published}:
        tags = [entry for entry in published if entry.partition(".")[0] == name.partition(".")[0]]
        near = f"timm has {', '.join(tags[:6])}" if tags else "segattn backbones PATTERN lists networks"
        raise ValueError(f"timm publishes no weights timm:{name}; {near}")
    try:
        network: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # of the hub's client, the connection or the file
        raise ValueError(
            f"pretrained weights timm:{name}: cannot be downloaded ({first_line(error)}). Offline, get the file elsewhere and "
            "give its path (--model.pretrained FILE)"
        ) from None
    settings: Any = network.pretrained_cfg
    return network.state_dict(), {"mean": list(settings["mean"]), "std": list(settings["std"]), "channel_order": "rgb"}
