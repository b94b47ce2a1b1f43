"""Measure how far our mechanisms are from the slow oracles of the tests, and write the table of docs/verification.md.

    python -m tests.heads.compare_oracles [--heads ccnet ...] [--write docs/verification.md]

The oracles are those of tests/heads/test_<head>.py: loops over pixels in float64, written from the equations alone.
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segattn.heads.ccnet import CrissCross
from segattn.heads.danet import ChannelAttention, PositionAttention
from segattn.heads.denoised_nl import DenoisedNonLocal
from segattn.heads.dnlnet import DisentangledNonLocal
from segattn.heads.emanet import EMAU
from segattn.heads.flanet import FullyAttentional
from segattn.heads.isanet import InterlacedAttention
from segattn.heads.non_local import NonLocal
from segattn.heads.reconet import TensorReconstruction
from segattn.profile.environment import processor_name
from tests.heads import (
    test_ccnet,
    test_danet,
    test_denoised_nl,
    test_dnlnet,
    test_emanet,
    test_flanet,
    test_isanet,
    test_non_local,
    test_reconet,
)

MAPS = [(16, 5, 7)]  # channels, height, width of what a mechanism takes


@dataclass(frozen=True)
class Case:
    """One mechanism with one setting of its switches, and its oracle."""

    name: str
    build: Callable[..., nn.Module]
    """(channels, implementation=...) -> the mechanism; without `implementation` where it has one form only."""
    oracle: Callable[..., Tensor]
    """(mechanism, *inputs) -> what it should give."""
    maps: list[tuple[int, int, int]] = field(default_factory=lambda: MAPS)
    small: list[tuple[int, int, int]] = field(default_factory=lambda: [(4, 2, 3)])
    """The inputs for numeric gradients."""
    constant: tuple[str, ...] = ()
    """What `gradcheck` leaves out, since no gradient is meant to pass: "0", "1" an input, else a parameter."""

    @property
    def head(self) -> str:
        return self.name.split(",")[0]

    @property
    def forms(self) -> tuple[str, ...]:
        return ("reference", "fast") if "implementation" in inspect.signature(self.build).parameters else ("reference",)

    def mechanism(self, form: str, channels: int) -> nn.Module:
        """The mechanism in float64 and inference, with every parameter and statistic awake."""
        torch.manual_seed(0)
        options = {"implementation": form} if len(self.forms) == 2 else {}
        module = self.build(channels, **options).double().eval()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
                nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        return module


def inputs(shapes: list[tuple[int, int, int]]) -> list[Tensor]:
    """A batch of two for each shape."""
    torch.manual_seed(1)
    return [torch.randn(2, *shape, dtype=torch.float64) for shape in shapes]


def _non_local(pairwise: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return NonLocal(channels, pairwise=pairwise, implementation=implementation)  # type: ignore[arg-type]

    return Case(f"non_local, {pairwise}", build, test_non_local.oracle)


def _positions(channels: int, implementation: Any) -> nn.Module:
    return PositionAttention(channels, implementation=implementation)


def _channels(sign: str) -> Case:
    def build(channels: int) -> nn.Module:
        return ChannelAttention(cam_sign=sign)  # type: ignore[arg-type]

    def oracle(block: Any, x: Tensor) -> Tensor:
        return test_danet.channel_oracle(block.beta, x, sign)

    return Case(f"danet, channels, {sign}", build, oracle)


def _dnlnet(preset: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return DisentangledNonLocal(channels, preset=preset, implementation=implementation)  # type: ignore[arg-type]

    def oracle(block: Any, x: Tensor) -> Tensor:
        return test_dnlnet.oracle(block, x, {"preset": preset})

    return Case(f"dnlnet, {preset}", build, oracle)


def _denoised_nl(gr_mode: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return DenoisedNonLocal(channels, gr_mode=gr_mode, implementation=implementation)  # type: ignore[arg-type]

    maps, small = [*MAPS, (3, 9, 13)], [(4, 2, 3), (2, 3, 5)]  # the half grid, and class logits on the full one
    constant = ("1",) if gr_mode == "hard" else ()
    return Case(f"denoised_nl, {gr_mode}", build, test_denoised_nl.oracle, maps, small, constant)


def _reconet(size_handling: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        grid = {("fixed", 16): (5, 7), ("fixed", 4): (2, 3)}.get((size_handling, channels), (3, 4))
        options: dict[str, Any] = {"size_handling": size_handling, "implementation": implementation}
        return TensorReconstruction(channels, rank=5, grid=grid, **options)

    def oracle(block: Any, x: Tensor) -> Tensor:
        return x * test_reconet.oracle_tensor(block, x)

    return Case(f"reconet, {size_handling}", build, oracle)


def _flanet(channels: int, implementation: Any) -> nn.Module:
    return FullyAttentional(channels, implementation=implementation)


def _emanet(channels: int, implementation: Any) -> nn.Module:
    return EMAU(channels, num_bases=5, implementation=implementation)


def _isanet(mask_padding: bool) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        options: dict[str, Any] = {"mask_padding": mask_padding, "implementation": implementation}
        return InterlacedAttention(channels, partition=(2, 3), **options)

    name = "isanet, mask_padding" if mask_padding else "isanet"
    return Case(name, build, test_isanet.oracle, small=[(4, 3, 2)])


def _ccnet(recurrence: int) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return CrissCross(channels, recurrence=recurrence, implementation=implementation)

    return Case(f"ccnet, R = {recurrence}", build, test_ccnet.oracle)


CASES = [
    *(_non_local(pairwise) for pairwise in test_non_local.PAIRWISE),
    Case(
        "danet, positions", _positions, test_danet.position_oracle, maps=[(16, 13, 11)]
    ),  # more than one block of queries
    *(_channels(sign) for sign in ("negative", "positive")),
    *(_dnlnet(preset) for preset in ("mmseg", "official")),
    *(_denoised_nl(gr_mode) for gr_mode in test_denoised_nl.MODES),
    *(_reconet(size_handling) for size_handling in ("resample", "fixed")),
    Case("flanet", _flanet, test_flanet.oracle),
    Case("emanet", _emanet, test_emanet.oracle, constant=("0", "embed.weight", "embed.bias")),
    *(_isanet(mask_padding) for mask_padding in (False, True)),
    *(_ccnet(recurrence) for recurrence in (1, 2)),
]


@dataclass(frozen=True)
class Measured:
    """Largest absolute differences of one case, by form where they are of a form."""

    float64: dict[str, float]
    float32: dict[str, float]
    gradients: float | None
    """Between the two forms, over inputs and parameters; None where there is one form."""
    numeric: dict[str, bool]
    """Whether `gradcheck` passes."""
    deviation: float
    """Standard deviation of the oracle's output."""


def measure(case: Case) -> Measured:
    """Forward against the oracle, gradients of one form against the other's and against numeric ones."""
    channels, tensors = case.maps[0][0], inputs(case.maps)
    double, single, gradients = {}, {}, []
    for form in case.forms:
        block = case.mechanism(form, channels)
        with torch.no_grad():
            expected = case.oracle(block, *tensors)
            double[form] = apart(block(*tensors), expected)
        gradients.append(gradients_of(block, tensors))
        with torch.no_grad():
            single[form] = apart(block.float()(*(x.float() for x in tensors)), expected)
    between = max(map(apart, *gradients)) if len(gradients) == 2 else None
    numeric = {form: has_numeric_gradients(case, form) for form in case.forms}
    return Measured(double, single, between, numeric, expected.std().item())


def gradients_of(block: nn.Module, tensors: list[Tensor]) -> list[Tensor]:
    """Of a weighted sum of the output, with respect to all inputs and parameters that it depends on."""
    leaves = [x.clone().requires_grad_() for x in tensors]
    out = block(*leaves)
    torch.manual_seed(2)
    wanted = [*leaves, *(parameter for parameter in block.parameters() if parameter.requires_grad)]
    gradients = torch.autograd.grad((out * torch.randn(out.shape, dtype=out.dtype)).sum(), wanted, allow_unused=True)
    return [gradient for gradient in gradients if gradient is not None]


def has_numeric_gradients(case: Case, form: str) -> bool:
    """Whether the gradients of inputs and parameters are those of finite differences, on small maps."""
    block, tensors = case.mechanism(form, case.small[0][0]), inputs(case.small)
    named = {str(i): x for i, x in enumerate(tensors)} | {k: p.detach() for k, p in block.named_parameters()}
    wanted = [name for name in named if name not in case.constant]

    def forward(*values: Tensor) -> Tensor:
        now = named | dict(zip(wanted, values, strict=True))
        parameters = {name: value for name, value in now.items() if not name.isdigit()}
        return torch.func.functional_call(block, parameters, tuple(now[str(i)] for i in range(len(tensors))))

    leaves = tuple(named[name].clone().requires_grad_() for name in wanted)
    return torch.autograd.gradcheck(forward, leaves, raise_exception=False)


def apart(one: Tensor, other: Tensor) -> float:
    """Largest absolute difference."""
    return (one.double() - other.double()).abs().max().item()


def table(cases: list[Case]) -> str:
    """The section of docs/verification.md."""
    rows = []
    for case in cases:
        measured = measure(case)
        print(case.name, measured, file=sys.stderr)
        figures = [
            *(f"{kind[form]:.1e}" if form in kind else "" for kind in (measured.float64, measured.float32)
              for form in ("reference", "fast")),
            "" if measured.gradients is None else f"{measured.gradients:.1e}",
            ", ".join("agree" if measured.numeric[form] else "DIFFER" for form in case.forms),
            f"{measured.deviation:.2f}",
        ]  # fmt: skip
        rows.append(f"| {case.name} | {' | '.join(figures)} |")
    versions = f"{processor_name()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"
    return "\n".join(
        [
            "| mechanism | reference, float64 | fast, float64 | reference, float32 | fast, float32 "
            "| gradients, fast to reference | gradients, numeric | deviation |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Measured on {datetime.date.today()}, {versions}, by",
            "`python -m tests.heads.compare_oracles --write docs/verification.md`.",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = list(dict.fromkeys(case.head for case in CASES))
    parser.add_argument("--heads", nargs="+", choices=known, default=known)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args(arguments)
    section = table([case for case in CASES if case.head in chosen.heads])
    print(section)
    if chosen.write is not None:
        begin, end = "<!-- oracles: begin -->", "<!-- oracles: end -->"
        text = chosen.write.read_text()
        before, after = text.split(begin)[0], text.split(end)[1]
        chosen.write.write_text(f"{before}{begin}\n\n{section}\n\n{end}{after}")


if __name__ == "__main__":
    main()
