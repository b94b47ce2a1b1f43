"""An optimiser's state as named tensors, for checkpoints: SGD's momentum, AdamW's averages and step counts.

SGD's momentum has the name of its parameter, as since version 0.1.0; each tensor of AdamW has the name of what it is before that:
`exp_avg.`, `exp_avg_sq.` or `step.` (one number).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

ADAMW = ("exp_avg", "exp_avg_sq", "step")


def is_adamw(optimizer: Any) -> bool:
    """Whether the optimiser is AdamW; the other one is SGD."""
    return "betas" in optimizer.param_groups[0]


def tensors(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """The state by name; empty before the first step."""
    named: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for kind, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                named[name if kind == "momentum_buffer" else f"{kind}.{name}"] = value
    return named


def expected(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """For every name that `tensors` may give, a tensor of the shape and type that it has."""
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    if not is_adamw(optimizer):
        return parameters
    step = torch.empty((), dtype=torch.float32)
    return {f"{kind}.{name}": step if kind == "step" else value for name, value in parameters.items() for kind in ADAMW}


def created(optimizer: Any, parameter: Tensor) -> dict[str, Tensor]:
    """What the first step creates for a parameter, without values."""
    if is_adamw(optimizer):
        averages = {kind: torch.empty_like(parameter) for kind in ADAMW[:2]}
        return averages | {"step": torch.ones(())}
    return {"momentum_buffer": torch.empty_like(parameter)} if optimizer.param_groups[0]["momentum"] else {}


def load(model: nn.Module, optimizer: Any, state: Mapping[str, Tensor], *, where: str, may_be_empty: bool) -> None:
    """Replace the optimiser's state by what `tensors` gave.

    Args:
        where: the checkpoint, for messages.
        may_be_empty: whether a state without tensors is one.

    Raises:
        ValueError: it is of another network or another optimiser, or incomplete.
    """
    known, kinds = expected(model, optimizer), ADAMW if is_adamw(optimizer) else ("momentum_buffer",)
    called = "state of AdamW" if is_adamw(optimizer) else "momentum"
    for name in state:
        if name not in known:
            raise ValueError(
                f"{where} has the momentum of {name}, which this network does not have: another version wrote it"
                if not is_adamw(optimizer)
                else f"{where} has {name} among the optimiser's tensors, which AdamW does not have for this network"
            )
    if not state and not may_be_empty:
        raise ValueError(f"{where} has no {called}")
    loaded: dict[nn.Parameter, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        saved = {kind: state.get(name if kind == "momentum_buffer" else f"{kind}.{name}") for kind in kinds}
        if all(value is None for value in saved.values()):
            continue
        if missing := [kind for kind, value in saved.items() if value is None]:
            raise ValueError(f"{where} has no {missing[0]}.{name}, but other tensors of that parameter's {called}")
        # In the parameter's memory format, as the optimiser creates it; a step count stays on the CPU.
        loaded[parameter] = {
            kind: value.clone() if kind == "step" else torch.empty_like(parameter).copy_(value)
            for kind, value in saved.items()
            if value is not None
        }
    optimizer.state.clear()
    for parameter, entry in loaded.items():
        optimizer.state[parameter] = entry
