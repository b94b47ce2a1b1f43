"""Measure how far our mechanisms are from the slow oracles of the tests, and write the table of docs/verification.md.

    python -m tests.heads.compare_oracles [--heads ccnet ...] [--write docs/verification.md]

The oracles are those of tests/heads/test_<head>.py: loops over pixels in float64, written from the equations alone.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from segattn.profile.environment import processor_name
from tests.heads.oracle_cases import CASES, Case, inputs


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
