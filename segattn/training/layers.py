"""The layer of each parameter of a backbone, for layer-wise decay of the learning rate:

    factor of layer l = decay^(L - l),     l = 0, ..., L - 1 from the image to the head; the head has factor 1

In our ResNets layer 0 is the stem, and each residual block is one layer, so that L is 1 + the number of blocks. In timm networks
the layers are those of timm's own `group_matcher`: stem and positions, then each block, a downsampling with the block after it,
the last norm with the block before it. A parameter that is not part of the timm network, such as a pyramid over a plain
transformer, is trained from random weights and has factor 1, as the head does.

timm's `param_groups_layer_decay` computes the same factors but leaves them in the groups as `lr_scale`, which torch's optimisers
do not read; `optimization.set_learning_rate` applies them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from typing import Any

import torch
from torch import nn


def layers(backbone: nn.Module) -> dict[str, int]:
    """The layer of each parameter by its name in the backbone, from 0 without gaps; new parameters are left out.

    Raises:
        ValueError: the backbone is neither one of our ResNets nor a timm network whose layers timm knows.
    """
    names = [name for name, _ in backbone.named_parameters()]
    network = _timm_network(backbone)
    if network is not None:
        from timm.models import group_parameters

        full, own_name = network
        table: dict[str, int] = group_parameters(full, full.group_matcher(coarse=False), reverse=True)
        numbered = {name: table[own] for name in names if (own := own_name(name)) in table}
    else:
        blocks = {name: re.match(r"layer(\d+)\.(\d+)\.", name) for name in names}
        numbered = {name: 100 * int(match[1]) + int(match[2]) if match else 0 for name, match in blocks.items()}
    present = sorted(set(numbered.values()))
    if len(present) < 2:
        raise ValueError(
            f"optimization.layer_decay needs a backbone with layers, and {type(backbone).__name__} has none that are known; "
            "use a ResNet or a timm network, or set layer_decay to 1"
        )
    return {name: present.index(number) for name, number in numbered.items()}


def factors(backbone: nn.Module, decay: float) -> dict[str, float]:
    """The factor on the learning rate of each parameter that belongs to a layer; `decay` is above 0, at most 1.

    Raises:
        ValueError: as `layers`, if `decay` is not 1.
    """
    if decay == 1:
        return {}
    layer = layers(backbone)
    L = 1 + max(layer.values())
    return {name: decay ** (L - number) for name, number in layer.items()}


def exempt(backbone: nn.Module) -> set[str]:
    """Parameters that a timm network exempts from weight decay: positions, tokens, tables of relative positions."""
    network = _timm_network(backbone)
    if network is None:
        return set()
    full, own_name = network
    patterns = full.no_weight_decay() if hasattr(full, "no_weight_decay") else ()
    names = [name for name, _ in backbone.named_parameters()]
    return {name for name in names if any(fnmatch(own_name(name), pattern) for pattern in patterns)}


def _timm_network(backbone: nn.Module) -> tuple[Any, Callable[[str], str]] | None:
    """A timm network that knows its layers, and the function from names in the backbone to names in it; None without timm.

    timm's pyramids of some families (`features_only`) are other classes with flattened names, such as `layers_0.blocks`. For them
    it is the plain network, without memory for its weights.
    """
    for path, module in backbone.named_modules():
        if hasattr(module, "group_matcher"):
            return module, partial(_inside, path)
    for path, module in backbone.named_modules():
        described = getattr(module, "pretrained_cfg", None)
        if described and "architecture" in described:
            import timm

            with torch.device("meta"):
                plain = timm.create_model(described["architecture"])
            return plain, _unflattened(plain, path)
    return None


def _inside(path: str, name: str) -> str:
    """The name of a parameter within the module at `path`."""
    return name.removeprefix(f"{path}.") if path else name


def _unflattened(plain: nn.Module, path: str) -> Callable[[str], str]:
    """From `layers_0.blocks` to `layers.0.blocks`: timm joins the names of a top-level sequence and of its members."""
    joined = {
        f"{name}_{member}": f"{name}.{member}"
        for name, module in plain.named_children()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for member, _ in module.named_children()
    }

    def own_name(name: str) -> str:
        first, dot, rest = _inside(path, name).partition(".")
        return f"{joined.get(first, first)}{dot}{rest}"

    return own_name
