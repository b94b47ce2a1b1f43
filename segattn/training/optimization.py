"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segattn.config import Optimization
from segattn.model import SegmentationModel


def learning_rate(iteration: int, optimization: Optimization) -> float:
    """Learning rate of an iteration: linear warm-up, then min_lr + (lr - min_lr) (1 - iteration/iterations)^power."""
    decay = (1 - iteration / optimization.iterations) ** optimization.poly_power
    lowest = min(optimization.min_lr, optimization.lr)
    rate = lowest + (optimization.lr - lowest) * decay
    return rate * min(1.0, (iteration + 1) / (optimization.warmup + 1))


def set_learning_rate(optimizer: Any, iteration: int, optimization: Optimization) -> float:
    """Set the learning rate of every parameter group of `sgd` for an iteration; returns the backbone's."""
    rate = learning_rate(iteration, optimization)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
    return rate


def sgd(model: SegmentationModel, optimization: Optimization) -> torch.optim.SGD:
    """SGD with one parameter group for each pair of learning-rate factor and weight decay; frozen parameters are left out.

    A head's `no_weight_decay` lists parameters by prefix of their name within the head (DNLNet's queries and keys).
    """
    declared = model.declared("no_weight_decay") if isinstance(model, SegmentationModel) else ()
    undecayed = tuple(f"head.{prefix}." for prefix in declared)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = 1.0 if name.startswith("backbone.") else optimization.head_lr_factor
            plain = (parameter.ndim < 2 and not optimization.decay_norm_and_bias) or name.startswith(undecayed)
            groups.setdefault((factor, 0.0 if plain else optimization.weight_decay), []).append(parameter)
    return torch.optim.SGD(
        [{"params": group, "lr_factor": factor, "weight_decay": decay} for (factor, decay), group in groups.items()],
        lr=optimization.lr,
        momentum=optimization.momentum,
    )
