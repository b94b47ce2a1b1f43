"""The ledger of a forward pass: one row per module and operator, and totals for any part of the network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Row:
    """All calls of one operator in one module."""

    module: str
    """Path of the module that calls the operator; "" is the root."""
    operator: str
    """As torch names it, without the overload: `convolution`, `linear`, `bmm`, `_softmax`."""
    calls: int = 0
    macs: int = 0
    """Multiply-adds of convolutions and products; no bias."""
    study: int = 0
    """2 per multiply-add, plus 2 per output of a convolution or linear layer whether or not it has a bias."""
    other: int = 0
    """Element operations of norm, softmax, resize, pooling, bias and element-wise work; neither in macs nor in flops."""
    activations: int = 0
    """Elements of the new tensors it writes (views and in-place writes make none)."""
    activation_bytes: int = 0
    """The same in bytes of their actual dtype."""
    bytes: int = 0
    """Bytes read and written, each operand once; views and allocations move none."""

    @property
    def flops(self) -> int:
        """2 per multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The sum of the rows of one module and everything below it; fields as in `Row`."""

    parameters: int
    """Elements of its parameters; one that is shared counts once."""
    macs: int
    study: int
    other: int
    activations: int
    activation_bytes: int
    bytes: int

    @property
    def flops(self) -> int:
        """2 per multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter under one of its names; `key` is the same for all names of a shared one."""

    name: str
    key: int
    elements: int


@dataclass(frozen=True)
class Ledger:
    """The cost of one forward pass; `segattn.profile.flops.count` returns it."""

    rows: tuple[Row, ...]
    """In the order in which they first ran."""
    modules: Mapping[str, str]
    """Class name of every module by path; the root's path is ""."""
    parameters: tuple[Parameter, ...]

    def total(self, prefix: str = "") -> Totals:
        """Totals of the module at path `prefix` and everything below it; "" is the whole network.

        Raises:
            ValueError: there is no module of that path; the message names the nearest ones.
        """
        self._check(prefix)
        rows = [row for row in self.rows if _below(row.module, prefix)]
        unique = {entry.key: entry.elements for entry in self.parameters if _below(entry.name, prefix)}
        total = _sum(rows, module=prefix, operator="")
        return Totals(
            parameters=sum(unique.values()),
            macs=total.macs,
            study=total.study,
            other=total.other,
            activations=total.activations,
            activation_bytes=total.activation_bytes,
            bytes=total.bytes,
        )

    def by_operator(self, prefix: str = "") -> list[Row]:
        """One row per operator of the module at `prefix` and everything below it, dearest first.

        Raises:
            ValueError: there is no module of that path.
        """
        self._check(prefix)
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            if _below(row.module, prefix):
                groups.setdefault(row.operator, []).append(row)
        sums = [_sum(rows, module=prefix, operator=operator) for operator, rows in groups.items()]
        return sorted(sums, key=lambda row: (-row.macs, -row.other, -row.bytes))

    def by_module(self, depth: int | None = None) -> dict[str, Totals]:
        """Totals, each with everything below it, of the modules at most `depth` names deep (None: all).

        In the order of the module tree, the root ("") first. Modules without operators and parameters are left out.
        """
        paths = [path for path in self.modules if depth is None or _depth(path) <= depth]
        active = {ancestor for row in self.rows for ancestor in _ancestors(row.module)}
        active |= {ancestor for entry in self.parameters for ancestor in _ancestors(entry.name)}
        return {path: self.total(path) for path in paths if path == "" or path in active}

    def rolled_up(self, depth: int | None = None) -> list[Row]:
        """The rows with module paths cut to `depth` names; rows that then have the same path and operator are added up."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            parts = row.module.split(".")
            module = row.module if depth is None else ".".join(parts[:depth])
            groups.setdefault((module, row.operator), []).append(row)
        return [_sum(rows, module=module, operator=operator) for (module, operator), rows in groups.items()]

    def _check(self, prefix: str) -> None:
        if prefix not in self.modules:
            near = difflib.get_close_matches(prefix, self.modules, n=3, cutoff=0.3) or list(self.modules)[1:4]
            hint = f"; the nearest are {', '.join(repr(name) for name in near)}" if near else ""
            raise ValueError(f"no module {prefix!r} in this ledger{hint}")


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0


def _below(path: str, prefix: str) -> bool:
    return not prefix or path == prefix or path.startswith(prefix + ".")


def _ancestors(path: str) -> Iterable[str]:
    parts = path.split(".")
    return (".".join(parts[:end]) for end in range(len(parts) + 1))


def _sum(rows: Iterable[Row], *, module: str, operator: str) -> Row:
    total = Row(module=module, operator=operator)
    for row in rows:
        total = replace(
            total,
            calls=total.calls + row.calls,
            macs=total.macs + row.macs,
            study=total.study + row.study,
            other=total.other + row.other,
            activations=total.activations + row.activations,
            activation_bytes=total.activation_bytes + row.activation_bytes,
            bytes=total.bytes + row.bytes,
        )
    return total
