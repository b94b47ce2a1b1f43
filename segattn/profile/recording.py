"""The distinct calls of a forward pass, each as a module that can be run again on its own."""

from __future__ import annotations

import copy
import dis
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name

from segattn.profile.flops import UncountedOperator, count
from segattn.profile.formulas import tensors_in

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@"}
_LAYERS = ("convolution", "linear", "addmm", "addmv")


@dataclass(frozen=True)
class Call:
    """Calls that are alike: the same layer or function on tensors of the same shapes."""

    kind: str
    module: nn.Module
    inputs: tuple[Any, ...]
    calls: int = 0
    macs: int = 0
    """Multiply-adds of one call, by our ledger; so is `other`."""
    other: int = 0
    bias: int = 0
    """Additions of a bias."""
    outputs: int = 0
    """Elements of what it returns."""
    parameters: int = 0


def record(module: nn.Module, *inputs: Any) -> tuple[Call, ...]:
    """The calls of `module(*inputs)`, on `meta`, that have a cost.

    A call is that of a layer of torch.nn, or of a torch function outside such layers. Views and copies are left out.
    """
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        module(*inputs)
    return tuple(call for call in map(_counted, recorder.calls.values()) if call.macs or call.other)


class FunctionCall(nn.Module):
    """A function call as a module: tensors are its inputs, other arguments are stored."""

    def __init__(self, name: str, operator: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.name, self.operator = name, operator
        self.args, self.kwargs = _without_tensors(args), _without_tensors(kwargs)

    def forward(self, *tensors: Tensor) -> Any:
        queue = iter(tensors)
        args, kwargs = _with_tensors(self.args, queue), _with_tensors(self.kwargs, queue)
        if self.operator is not None:
            return _APPLY[self.operator](*args)
        return self.function()(*args, **kwargs)

    def function(self) -> Callable[..., Any]:
        """Looked up by name at each call: some counters replace torch's functions by their own."""
        member: Any = torch
        for part in self.name.removeprefix("torch.").removeprefix("functional.").split("."):
            member = getattr(member, part)
        return member


_APPLY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "@": lambda a, b: a @ b,
}


class _Recorder(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[Any, Call] = {}
        self.layers: list[nn.Module] = []  # the running layers of torch.nn; functions called inside belong to them

    def __enter__(self) -> _Recorder:
        self.hooks = [
            register_module_forward_pre_hook(self._enter_layer),
            register_module_forward_hook(self._leave_layer, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for hook in self.hooks:
            hook.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = resolve_name(func)
        tensors = _tensors(args) + _tensors(kwargs)
        if not self.layers and tensors and name is not None and not name.endswith("__"):
            operator = _OPERATORS.get(name.rpartition(".")[2]) if _is_operator(sys._getframe(1)) else None
            call = FunctionCall(name, operator, args, kwargs)
            key = (name, operator, _signature(args), _signature(kwargs))
            self._add(key, operator or name.rpartition(".")[2], call, tuple(tensors))
        return func(*args, **kwargs)

    def _enter_layer(self, module: nn.Module, inputs: Any) -> None:
        if not _is_layer(module):
            return
        if not self.layers:
            key = (type(module), module.extra_repr(), _signature(inputs))
            self._add(key, type(module).__name__, module, inputs)
        self.layers.append(module)

    def _leave_layer(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self.layers and self.layers[-1] is module:
            self.layers.pop()

    def _add(self, key: Any, kind: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        with torch._C.DisableTorchFunction():
            call = self.calls.get(key) or Call(kind, module, tuple(map(_blank, inputs)))
        self.calls[key] = replace(call, calls=call.calls + 1)


def _counted(call: Call) -> Call:
    """The call with our figures; without them if it cannot be run again on its own."""
    module = copy.deepcopy(call.module)
    try:
        ledger = count(module, *call.inputs)
    except UncountedOperator:
        raise
    except Exception:  # such as a function that needs its surroundings; other counters skip it
        return call
    total = ledger.total()
    with torch.no_grad():
        outputs = sum(tensor.numel() for tensor in tensors_in(module(*call.inputs)))
    bias = sum(row.other for row in ledger.rows if row.operator in _LAYERS)
    return replace(call, macs=total.macs, other=total.other, bias=bias, outputs=outputs, parameters=total.parameters)


def _is_layer(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(module, _CONTAINERS)


def _is_operator(frame: Any) -> bool:
    """Whether the running instruction applies an operator, such as `a @ b`, rather than calling a function."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("BINARY_OP")


# Arguments: tensors among everything else ------------------------------------------------------------------------------
class _Slot:
    """Placeholder for a tensor."""


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for entry in value for tensor in _tensors(entry)]
    return []


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Slot()
    return _mapped(value, _without_tensors)


def _with_tensors(value: Any, queue: Any) -> Any:
    if isinstance(value, _Slot):
        return next(queue)
    return _mapped(value, lambda entry: _with_tensors(entry, queue))


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: function(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields") and not isinstance(value, torch.Size):
        return type(value)(function(entry) for entry in value)
    return value


def _blank(value: Any) -> Any:
    """A tensor of the same shape on `meta`; the recorded one may be large and in use."""
    if isinstance(value, Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return _mapped(value, _blank)


def _signature(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.dtype)
    if isinstance(value, dict):
        return tuple((name, _signature(entry)) for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_signature(entry) for entry in value)
    return repr(value)
