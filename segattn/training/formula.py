"""The formula of a loss: terms with factors, such as `ce + 0.5 dice` or `focal(gamma=1.5) + 0.01 boundary`.

loss    term + term + ...
term    NAME,  FACTOR NAME  or  FACTOR * NAME;   focal may have its gamma in parentheses
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from segattn.catalogue import hint

NAMES = ("ce", "focal", "dice", "lovasz", "boundary")
GAMMA = 2.0
"""Of focal: the value with which its authors report their results."""
_NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+\."
_TERM = re.compile(rf"(?:(?P<factor>{_NUMBER})\s*\*?\s*)?(?P<name>[A-Za-z_]\w*)\s*(?:\((?P<option>[^()]*)\))?")
_GAMMA = re.compile(rf"\s*gamma\s*=\s*(?P<gamma>{_NUMBER})\s*")


@dataclass(frozen=True)
class Term:
    """One loss and its factor."""

    name: str
    factor: float = 1.0
    gamma: float = GAMMA
    """Of focal only."""


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a formula.

    >>> parse("ce + 0.5 dice")
    (Term(name='ce', factor=1.0, gamma=2.0), Term(name='dice', factor=0.5, gamma=2.0))

    Raises:
        ValueError: another form, an unknown name, or a name that stands twice.
    """
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    terms: list[Term] = []
    for part in re.split(r"(?<![0-9.][eE])\+", text):  # not at the plus of 1e+2
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"optimization.loss {shown!r} is not of the form 'ce + 0.5 dice'; the losses are {', '.join(NAMES)}"
            )
        name = match["name"].lower()
        if name not in NAMES:
            near = hint(name, NAMES, most=1)
            raise ValueError(
                f"optimization.loss {shown!r}: unknown loss {name[:30]!r}; {near}the losses are {', '.join(NAMES)}"
            )
        factor = 1.0 if match["factor"] is None else float(match["factor"])
        if not 0 < factor < math.inf:
            raise ValueError(
                f"optimization.loss {shown!r}: the factor of {name} should be above 0 and finite; leave it out"
            )
        terms.append(Term(name, factor, _gamma(match["option"], name, shown)))
    names = [term.name for term in terms]
    if twice := [name for name in NAMES if names.count(name) > 1]:
        raise ValueError(f"optimization.loss {shown!r} has {twice[0]} twice; add up its factors")
    return tuple(terms)


def _gamma(option: str | None, name: str, shown: str) -> float:
    if option is None:
        return GAMMA
    match = _GAMMA.fullmatch(option) if name == "focal" else None
    if match is None or not math.isfinite(float(match["gamma"])):
        raise ValueError(f"optimization.loss {shown!r}: the only option is focal's, such as focal(gamma=2)")
    return float(match["gamma"])
