"""Figures of other counters for the same module, and why they differ: each counts the whole module and every call on its own.

The reasons are measured, not looked up. A recording of one forward pass on `meta` gives the calls: layers of torch.nn, and
functions outside them. Each distinct call is then run on its own under the counter, whose figure shows what it counts: one or
two per multiply-add, with or without bias. The difference between the whole and the sum of the calls is `rest`.

The counters are torch.utils.flop_counter, fvcore, ptflops, thop and torchinfo; one that is not installed or fails is reported.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from segattn.profile.recording import Call, record


@dataclass(frozen=True)
class Term:
    """All calls of one kind, as our ledger and the counter count them."""

    kind: str
    """Class of a torch.nn layer, name of a function, or the operator (`@`, `+`)."""
    calls: int
    macs: int
    other: int
    figure: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """What one counter says of a module: its figure for the whole and for each kind of call."""

    counter: str
    version: str | None = None
    figure: int | None = None
    terms: tuple[Term, ...] = ()
    problem: str | None = None
    """Why there is no figure."""

    @property
    def unit(self) -> int:
        """What it counts per multiply-add, 1 or 2: the rounded mean over the products that it counts."""
        seen = [term for term in self.terms if term.macs and term.figure]
        macs = sum(term.macs for term in seen)
        return 2 if sum(term.figure for term in seen) > 1.5 * macs else 1

    @property
    def rest(self) -> int:
        """What it counts beyond the sum of the calls."""
        return (self.figure or 0) - sum(term.figure for term in self.terms)

    def differences(self) -> list[tuple[str, int]]:
        """Reasons and amounts that explain its figure, starting from `unit` per multiply-add; largest first."""
        amounts = []
        for term in self.terms:
            amount = term.figure - self.unit * term.macs
            if amount:
                amounts.append((f"{term.kind}: {term.reason}", amount))
        if self.rest:
            amounts.append(("in the modules around these calls", self.rest))
        return sorted(amounts, key=lambda pair: -abs(pair[1]))

    def unseen(self) -> list[Term]:
        """Kinds of call that it counts as nothing, largest first.

        Multiply-adds among them are also in `differences`. Element operations are not, because they are no multiply-adds; the
        states of a scan consist of them.
        """
        blind = [term for term in self.terms if term.figure == 0 and term.macs + term.other]
        return sorted(blind, key=lambda term: (-term.macs, -term.other))


UNITS = {"torch": "FLOPs", "fvcore": "FLOPs", "ptflops": "MACs", "thop": "MACs", "torchinfo": "mult-adds"}
"""Counters, and what each calls its figure."""
_BIAS = ", bias counted"
_UNSEEN = "not seen"


def cross_check(module: nn.Module, *inputs: Any, counters: Sequence[str] = tuple(UNITS)) -> tuple[Reading, ...]:
    """Let every counter count `module(*inputs)` and each of its calls.

    Module and inputs are on `meta`; a counter that cannot run there gets copies filled with zeros.

    Raises:
        ValueError: an unknown counter.
    """
    for counter in counters:
        if counter not in UNITS:
            raise ValueError(f"unknown counter {counter!r}; known are {', '.join(UNITS)}")
    calls = record(module, *inputs)
    return tuple(_read(counter, module, inputs, calls) for counter in counters)


def _read(counter: str, module: nn.Module, inputs: Sequence[Any], calls: Sequence[Call]) -> Reading:
    try:
        version = importlib.metadata.version(counter)
    except importlib.metadata.PackageNotFoundError:
        return Reading(counter, problem=f"not installed; pip install {counter}")
    try:
        figure = _ask(counter, module, inputs)
    except Exception as error:  # third-party tracing may raise anything
        lines = str(error).strip().splitlines() or [""]
        what, _, _ = lines[0].partition("; ")  # what follows is advice to its caller, not to the reader of the figures
        return Reading(counter, version, problem=f"fails: {type(error).__name__}: {what[:200]}")
    groups: dict[str, list[tuple[Call, int]]] = {}
    for call in calls:
        try:
            groups.setdefault(call.kind, []).append((call, _ask(counter, call.module, call.inputs)))
        except Exception:  # counted within the whole only: it remains in `rest`
            continue
    return Reading(counter, version, figure, tuple(_term(kind, group) for kind, group in groups.items()))


def _term(kind: str, group: Sequence[tuple[Call, int]]) -> Term:
    reasons = dict.fromkeys(_reason(call, figure) for call, figure in group)
    for reason in tuple(reasons):
        if f"{reason}{_BIAS}" in reasons:  # layers with and without a bias
            del reasons[reason]
    return Term(
        kind=kind,
        calls=sum(call.calls for call, _ in group),
        macs=sum(call.calls * call.macs for call, _ in group),
        other=sum(call.calls * call.other for call, _ in group),
        figure=sum(call.calls * figure for call, figure in group),
        reason=" or ".join(sorted(reasons, key=lambda reason: reason == _UNSEEN)),
    )


def _reason(call: Call, figure: int) -> str:
    """What a counter's figure for one call consists of."""
    if figure == 0:
        return _UNSEEN
    if call.macs:
        for unit in (1, 2):
            for added, how in ((0, ""), (call.bias, _BIAS), (unit * call.bias, _BIAS)):
                if figure == unit * call.macs + added:
                    return f"{unit} per multiply-add{how}"
        if figure in (call.parameters, call.parameters + call.bias):
            return "its number of parameters"
        return f"about {figure / call.macs:.4g} per multiply-add"
    if call.parameters and figure in (call.parameters, call.parameters * len(call.inputs[0])):
        return "its number of parameters, once per sample"
    return f"{figure / max(call.outputs, 1):.4g} per output element"


# The counters ---------------------------------------------------------------------------------------------------------
def _ask(counter: str, module: nn.Module, inputs: Sequence[Any]) -> int:
    """A counter's figure, on `meta` if it can run there, on zeros otherwise."""
    with _quiet(), torch.no_grad():
        try:
            return int(_ASK[counter](copy.deepcopy(module), tuple(inputs)))
        except Exception:
            if not any(tensor.is_meta for tensor in [*inputs, *module.parameters()] if isinstance(tensor, Tensor)):
                raise
        return int(_ASK[counter](_zeros(module), tuple(_zeros_of(value) for value in inputs)))


def _torch(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops()


def _fvcore(module: nn.Module, inputs: tuple[Any, ...]) -> float:
    from fvcore.nn import FlopCountAnalysis

    return FlopCountAnalysis(module, inputs).total()


def _ptflops(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    with _importable_torchvision():
        from ptflops import get_model_complexity_info

    figure, _ = get_model_complexity_info(
        _Fed(module, inputs),
        (1,),
        as_strings=False,
        print_per_layer_stat=False,
        input_constructor=lambda _: torch.zeros(1, 1),
    )
    if figure is None:  # it prints the error and returns None
        raise RuntimeError("it gives no figure")
    return figure


def _thop(module: nn.Module, inputs: tuple[Any, ...]) -> float:
    from thop import profile

    return profile(_Fed(module, inputs), inputs=(torch.zeros(1, 1),), verbose=False)[0]


def _torchinfo(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torchinfo import summary

    return summary(_Fed(module, inputs), input_data=[torch.zeros(1, 1)], verbose=0, device=None).total_mult_adds


_ASK: dict[str, Callable[[nn.Module, tuple[Any, ...]], float]] = {
    "torch": _torch,
    "fvcore": _fvcore,
    "ptflops": _ptflops,
    "thop": _thop,
    "torchinfo": _torchinfo,
}


class _Fed(nn.Module):
    """A module together with its inputs, for counters that accept only networks with one image as input."""

    def __init__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.module, self.inputs = module, inputs

    def forward(self, _: Tensor) -> Any:
        return self.module(*self.inputs)


def _zeros(module: nn.Module) -> nn.Module:
    filled = copy.deepcopy(module).to_empty(device="cpu")
    for tensor in [*filled.parameters(), *filled.buffers()]:
        tensor.zero_()
    return filled


def _zeros_of(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=value.dtype)
    if isinstance(value, (list, tuple)):
        return type(value)(_zeros_of(entry) for entry in value)
    return value


@contextlib.contextmanager
def _importable_torchvision() -> Iterator[None]:
    """ptflops does without torchvision, but not with one that does not match torch; hide it, unless it is in use."""
    if "torchvision" in sys.modules:
        yield
        return
    with mock.patch.dict(sys.modules, {"torchvision": None, "torchvision.ops": None}):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the prints, warnings and log lines of the counters."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
