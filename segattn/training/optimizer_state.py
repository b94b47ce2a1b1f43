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


def check(model: nn.Module, optimizer: Any, state: Mapping[str, Tensor], *, where: str, may_be_empty: bool) -> None:
    """Raise unless `state` is complete and of this network and optimiser.

    Args:
        where: the checkpoint, for messages.
        may_be_empty: whether a state without tensors is one.

    Raises:
        ValueError: it is of another network or another optimiser, or incomplete.
    """
    adamw, known = is_adamw(optimizer), expected(model, optimizer)
    for name in state:
        if name not in known:
            raise ValueError(
                f"{where} has {name} among the optimiser's tensors, which AdamW does not have for this network"
                if adamw
                else f"{where} has the momentum of {name}, which this network does not have: another version wrote it"
            )
    if not state and not may_be_empty:
        raise ValueError(f"{where} has no {'state of AdamW' if adamw else 'momentum'}")
    for name, _ in model.named_parameters() if adamw else ():
        missing = [kind for kind in ADAMW if f"{kind}.{name}" not in state]
        if missing and len(missing) < len(ADAMW):
            raise ValueError(f"{where} has no {missing[0]}.{name}, but other tensors of AdamW for that parameter")


def load(model: nn.Module, optimizer: Any, state: Mapping[str, Tensor]) -> None:
    """Replace the optimiser's state by one that `check` has passed."""
    kinds = {f"{kind}.": kind for kind in ADAMW} if is_adamw(optimizer) else {"": "momentum_buffer"}
    optimizer.state.clear()
    for name, parameter in model.named_parameters():
        # In the parameter's memory format, as the optimiser creates it; a step count stays on the CPU.
        loaded = {
            kind: state[prefix + name].clone()
            if kind == "step"
            else torch.empty_like(parameter).copy_(state[prefix + name])
            for prefix, kind in kinds.items()
            if prefix + name in state
        }
        if loaded:
            optimizer.state[parameter] = loaded
