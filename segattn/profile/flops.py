"""Counts the cost of a forward pass, operator by operator; on the `meta` device nothing is computed or allocated.

    >>> with torch.device("meta"):
    ...     net, image = nn.Conv2d(3, 5, 7, bias=False), torch.empty(1, 3, 17, 19)
    >>> count(net, image).total()
    Totals(parameters=735, macs=105105, study=211640, other=0, activations=715, activation_bytes=2860, bytes=9676)

The conventions are those of formulas.py. Operators are seen as the model calls them, above torch's choice of kernel: linear,
convolution, batch_norm and scaled_dot_product_attention are one row each on every device, so that CPU, GPU and `meta` give
the same ledger. torch's own counter sees 0 for attention on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from segattn.profile.formulas import Work, bytes_of, tensors_in
from segattn.profile.ledger import Ledger, Parameter, Row, Totals
from segattn.profile.operators import find, register

__all__ = ["Ledger", "Row", "Totals", "UncountedOperator", "Work", "count", "register"]


class UncountedOperator(ValueError):
    """An operator has no formula, so any total would be silently too small."""


def count(module: nn.Module, *inputs: Any, **kwargs: Any) -> Ledger:
    """Run `module(*inputs, **kwargs)` once, without gradients, and count every operator.

    The device is that of module and inputs: on `meta` nothing is computed. The module runs in its current mode: call `eval()`
    first for the cost of inference. A module that is called twice costs twice. A module that is registered in two places is
    charged to the one that it was called from.

    Raises:
        UncountedOperator: an operator has no formula; the message says where it is and how to register one.
    """
    tracker = _ModuleTracker(module)
    counter = _Counter(tracker)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # on some devices one fused kernel for a whole transformer layer
    try:
        # Below autograd, composite operators arrive whole.
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd(), tracker, counter:
            module(*inputs, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return Ledger(
        rows=tuple(Row(module=path, operator=name, **figures) for (path, name), figures in counter.figures.items()),
        modules={path: type(child).__name__ for path, child in module.named_modules(remove_duplicate=False)},
        parameters=tuple(
            Parameter(name=name, key=id(parameter), elements=parameter.numel())
            for name, parameter in module.named_parameters(remove_duplicate=False)
        ),
    )


class _Counter(TorchDispatchMode):
    """Looks up and adds the cost of each operator that runs."""

    def __init__(self, tracker: _ModuleTracker) -> None:
        super().__init__()
        self.tracker = tracker
        self.figures: dict[tuple[str, str], dict[str, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = find(func)
        if formula is None:
            if not func._can_decompose():
                raise UncountedOperator(_explain(func, self.tracker))
            with self:
                return func.decompose(*args, **kwargs)
        out = _run(func, args, kwargs)
        options = {name: value for name, value in kwargs.items() if name != "out"}  # mm.out: `out` is the result
        self._add(func, formula(out, *args, **options), out, args, kwargs)
        return out

    def _add(self, func: Any, work: Work, out: Any, args: Any, kwargs: Any) -> None:
        operands, results = tensors_in(*args, *kwargs.values()), tensors_in(out)
        operand_ids = {id(tensor) for tensor in operands}
        new = [tensor for tensor in results if id(tensor) not in operand_ids] if work.moves else []
        read = sum(map(bytes_of, operands)) if work.bytes_read is None else work.bytes_read
        figures = {
            "calls": 1,
            "macs": work.macs,
            "study": 2 * work.macs if work.study is None else work.study,
            "other": work.other,
            "activations": sum(tensor.numel() for tensor in new),
            "activation_bytes": sum(map(bytes_of, new)),
            "bytes": read + sum(map(bytes_of, results)) if work.moves else 0,
        }
        row = self.figures.setdefault((self.tracker.path, func.overloadpacket.__name__), dict.fromkeys(figures, 0))
        for name, figure in figures.items():
            row[name] += figure


class _ModuleTracker:
    """Knows the path of the module that is running.

    A module is named by the innermost running module that contains it, so a module registered in two places gets the path that
    it was called by. A module that no other contains, such as one kept in a plain list, counts as part of its caller.
    """

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.running: list[tuple[nn.Module, str]] = [(root, "")]
        self.names: dict[int, dict[int, str]] = {}

    @property
    def path(self) -> str:
        return self.running[-1][1]

    @property
    def module(self) -> nn.Module:
        return self.running[-1][0]

    def __enter__(self) -> None:
        self.hooks = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]

    def __exit__(self, *exception: Any) -> None:
        for hook in self.hooks:
            hook.remove()

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        for parent, path in reversed(self.running):
            name = self._names_below(parent).get(id(module))
            if name is not None:
                self.running.append((module, f"{path}.{name}".strip(".")))
                return
        self.running.append((self.module, self.path))

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.running.pop()

    def _names_below(self, parent: nn.Module) -> dict[int, str]:
        if id(parent) not in self.names:
            named = [(id(child), name) for name, child in parent.named_modules(remove_duplicate=False)]
            self.names[id(parent)] = dict(reversed(named))  # the first name of each
        return self.names[id(parent)]


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """The operator's result; of a batch norm on `meta`, a tensor like its input.

    torch would find that by thirty operators, half the time of counting a ResNet. It still refuses what does not fit.
    """
    if func is torch.ops.aten.batch_norm.default and args[0].is_meta and not kwargs:
        image, *of_channels = args[:5]
        fitting = (image.device, image.shape[1:2])
        if image.ndim > 1 and all(each is None or (each.device, each.shape) == fitting for each in of_channels):
            return torch.empty_like(image)
    return func(*args, **kwargs)


def _explain(func: Any, tracker: _ModuleTracker) -> str:
    where = f"module {tracker.path!r}" if tracker.path else "the outermost module"
    return (
        f"operator {func} in {where} ({type(tracker.module).__name__}) has no formula, and leaving it out would make every "
        f"total wrong. Give it one: from segattn.profile.flops import Work, register; register(torch.ops.{_packet(func)}, "
        "lambda out, *args, **kwargs: Work(macs=..., other=...))"
    )


def _packet(func: Any) -> str:
    return str(getattr(func, "overloadpacket", func))
