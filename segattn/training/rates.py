"""What an optimiser really does to each part of a network, in words, read from its parameter groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from segattn.config import Optimization
from segattn.training import layers

MOST_LINES = 6
"""Of the backbone's layers in the table; more are joined to ranges."""
_TERMINAL = 79
"""Signs of a line that is not wrapped."""


@dataclass
class _Part:
    """Parameters that are one line of the table."""

    name: str
    rates: set[float] = field(default_factory=set)
    decays: dict[float, int] = field(default_factory=dict)
    """Number of parameters by weight decay."""


def table(model: nn.Module, optimizer: Any, optimization: Optimization) -> str:
    """One line for each part of the network: trained parameters, learning rate before warm-up and decay, weight decay.

    Empty for SGD with a single group, whose rate is the experiment's `lr`.
    """
    groups = optimizer.param_groups
    if optimization.optimizer == "sgd" and len(groups) == 1:
        return ""
    group_of = {id(parameter): group for group in groups for parameter in group["params"]}
    layer = layers.layers(model.backbone) if optimization.layer_decay != 1 else {}  # type: ignore[arg-type]
    parts: dict[str, _Part] = {}
    for name, parameter in model.named_parameters():
        group = group_of.get(id(parameter))
        if group is not None:
            label = _label(name, layer)
            part = parts.setdefault(label, _Part(label))
            part.rates.add(optimization.lr * group["lr_factor"])
            decay = group["weight_decay"]
            part.decays[decay] = part.decays.get(decay, 0) + parameter.numel()
    rows = [_row(part) for part in sorted(parts.values(), key=lambda part: _order(part.name))]
    lines = _aligned(rows)
    if max(map(len, lines)) > _TERMINAL:  # only a backbone has layers
        lines = _aligned([(label.replace("backbone, layer", "layer"), *cells) for label, *cells in rows])
    title = {"sgd": "SGD", "adamw": "AdamW"}[optimization.optimizer]
    return "\n".join([f"{title}: parameters, learning rate at its highest, weight decay", *lines])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {label:<{widths[0]}}  {count:>{widths[1]}}  {rate:<{widths[2]}}  {decay}".rstrip()
        for label, count, rate, decay in rows
    ]


def _label(name: str, layer: dict[str, int]) -> str:
    """The line that a parameter belongs to."""
    part, _, inside = name.partition(".")
    if part != "backbone" or not layer:
        return part
    if inside not in layer:
        return "backbone, new"
    L = 1 + max(layer.values())
    size = -(-L // MOST_LINES)
    first = layer[inside] // size * size
    last = min(first + size, L) - 1
    return f"backbone, layer {first}" if first == last else f"backbone, layers {first} to {last}"


def _order(label: str) -> tuple[int, int]:
    place = ["backbone", "auxiliary", "head"]
    part = label.partition(",")[0]
    digits = [int(word) for word in label.split() if word.isdigit()]
    return (place.index(part) if part in place else len(place)), digits[0] if digits else 10**6


def _row(part: _Part) -> tuple[str, str, str, str]:
    count, decays = sum(part.decays.values()), sorted(part.decays, reverse=True)
    decay = f"{decays[0]:g}"
    if len(decays) > 1:
        decay += f" ({part.decays[decays[-1]]:,} with {decays[-1]:g})"
    return part.name, f"{count:,}", _range(part.rates), decay


def _range(rates: Iterable[float]) -> str:
    low, high = min(rates), max(rates)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
