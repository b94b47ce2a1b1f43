"""The optimiser, with a learning rate for each part of the network, and the schedule of the learning rate.

    rate(i) = warmup(i) (min_lr + (lr - min_lr) s(i / iterations)),    s(t) = (1 - t)^power   or   (1 + cos(pi t)) / 2
    warmup(i) = r + (1 - r) i / W  for i < W = `warmup`, then 1;       r = `warmup_ratio`, by default 1 / (W + 1)

In iteration i = 0, 1, ... a parameter learns at rate(i) times its factor: `head_lr_factor` for head and auxiliary head, that of
its layer for the backbone (`segattn.training.layers`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from segattn.config import Optimization
from segattn.model import SegmentationModel
from segattn.training import layers
from segattn.training.parts import lr_factor, parts_of


def learning_rate(iteration: int, optimization: Optimization) -> float:
    """Learning rate of an iteration, counted from 0, for a parameter with factor 1."""
    done = iteration / optimization.iterations
    if optimization.schedule == "cosine":
        decay = (1 + math.cos(math.pi * done)) / 2
    else:
        decay = (1 - done) ** optimization.poly_power
    lowest = min(optimization.min_lr, optimization.lr)
    rate = lowest + (optimization.lr - lowest) * decay
    if optimization.warmup_ratio is None:
        return rate * min(1.0, (iteration + 1) / (optimization.warmup + 1))
    risen = min(1.0, iteration / optimization.warmup) if optimization.warmup else 1.0
    return rate * (optimization.warmup_ratio + (1 - optimization.warmup_ratio) * risen)


def set_learning_rate(optimizer: Any, iteration: int, optimization: Optimization) -> float:
    """Set the learning rate of every group of `optimizer_of` for an iteration; returns that of a group with factor 1."""
    rate = learning_rate(iteration, optimization)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
    return rate


def optimizer_of(model: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    """SGD or AdamW with a group for each pair of learning-rate factor and weight decay; frozen parameters are left out.

    A head's `no_weight_decay` lists parameters by prefix of their name within the head (DNLNet's queries and keys).

    Raises:
        ValueError: layer-wise decay for a backbone whose layers are not known.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    factors, undecayed = lr_factors(model, optimization), _undecayed(model, optimization)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in undecayed else optimization.weight_decay
            groups.setdefault((factors[name], decay), []).append(parameter)
    described: list[Any] = [
        {"params": group, "lr": optimization.lr * factor, "lr_factor": factor, "weight_decay": decay}
        for (factor, decay), group in groups.items()
    ]
    if optimization.optimizer == "adamw":
        return torch.optim.AdamW(described, lr=optimization.lr, betas=optimization.betas)
    return torch.optim.SGD(described, lr=optimization.lr, momentum=optimization.momentum)


def lr_factors(model: nn.Module, optimization: Optimization) -> dict[str, float]:
    """The factor on the learning rate of each parameter, by name: its part's times its layer's."""
    parts, decayed = parts_of(model, optimization), {}
    if (backbone := getattr(model, "backbone", None)) is not None:
        decayed = {
            f"backbone.{name}": factor for name, factor in layers.factors(backbone, optimization.layer_decay).items()
        }
    return {name: lr_factor(name, parts, optimization) * decayed.get(name, 1.0) for name, _ in model.named_parameters()}


def _undecayed(model: nn.Module, optimization: Optimization) -> set[str]:
    """Names of the parameters without weight decay."""
    declared = model.declared("no_weight_decay") if isinstance(model, SegmentationModel) else ()
    prefixes = tuple(f"head.{prefix}." for prefix in declared)
    names = {name for name, _ in model.named_parameters() if name.startswith(prefixes)}
    if not optimization.decay_norm_and_bias:
        names |= {name for name, parameter in model.named_parameters() if parameter.ndim < 2}
        if isinstance(model, SegmentationModel):
            names |= {f"backbone.{name}" for name in layers.exempt(model.backbone)}
    return names
