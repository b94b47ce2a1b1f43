"""A head under test, and what the checks share: small features, a loss, and the fault that a check raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segattn import heads

IN_CHANNELS, CLASSES = (7, 11, 13, 17), 5
SIZES = ((1, 1), (1, 7), (7, 5), (8, 6), (13, 2))
PIXELS = ((0, 0), (6, 4), (3, 1))
Size = tuple[int, int]


class Fault(Exception):
    """A head does not behave as the check wants it to; the text says what it did."""


class NotDeclared(Fault):
    """The head does not declare an optional part, so that there is nothing to check; the text has the line to add."""


@dataclass(frozen=True)
class Subject:
    """A head in one mode and, where it has the option `implementation`, in one form."""

    name: str
    mode: heads.Mode = "faithful"
    form: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.mode}{f' {self.form}' if self.form else ''}"

    def build(self, form: str | None = None, **options: Any) -> nn.Module:
        """A small head whose zero-initialised parameters are awake, so that the mechanism counts."""
        torch.manual_seed(0)
        chosen = {"channels": 16, "dropout": 0.0, "implementation": form or self.form, **options}
        known = heads.options(self.name, mode=self.mode)
        small = {option: value for option, value in chosen.items() if option in known and value is not None}
        head = heads.create(self.name, IN_CHANNELS, CLASSES, mode=self.mode, **small)
        for parameter in head.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.5)
        return head


def subjects(name: str, mode: heads.Mode) -> list[Subject]:
    """The head's forms in a mode: `reference` and `fast` where it has a choice, else itself."""
    if "implementation" in heads.options(name, mode=mode):
        return [Subject(name, mode, form) for form in ("reference", "fast")]
    return [Subject(name, mode)]


def features(batch: int = 2, size: Size = (7, 5), dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Four maps (B, C_i, h, w) as a dilated backbone gives them, non-negative."""
    torch.manual_seed(1)
    return [torch.randn(batch, channels, *size, dtype=dtype).relu() for channels in IN_CHANNELS]


def weighted_sum(outputs: dict[str, Tensor]) -> Tensor:
    """A scalar in which every logit has its own weight."""
    torch.manual_seed(2)
    weighted = [(m * torch.randn(m.shape, dtype=m.dtype)).sum() for m in outputs.values()]  # whatever their layout
    return torch.stack(weighted).sum()


def require(good: bool, reason: str) -> None:
    """Raise `Fault` with the reason unless `good`."""
    if not good:
        raise Fault(reason)


def off(a: Tensor, b: Tensor) -> float:
    """The largest difference between two tensors of one shape."""
    return float((a.detach().double() - b.detach().double()).abs().max())
