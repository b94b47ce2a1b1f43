"""What every head does, whatever its mechanism: the checks behind `segattn heads check`, usable on anybody's head.

Each check takes a `Subject` (a head in one mode and one form), builds small heads of it, and raises `Fault` with the reason where
the behaviour is not there. Nothing here needs pytest; `tests/heads/test_behaviour.py` runs the same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from segattn.heads.parts.checks import graphs, numbers
from segattn.heads.parts.checks.subject import Fault, NotDeclared, Subject, subjects

__all__ = ["CHECKS", "Check", "Fault", "NotDeclared", "Subject", "subjects"]


@dataclass(frozen=True)
class Check:
    """One behaviour; `scope` says of what it is asked: every form, every mode, or a mode's choice of forms."""

    run: Callable[[Subject], None]
    scope: Literal["form", "graph", "mode", "choice", "controlled"]

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def meaning(self) -> str:
        """What is checked, in a sentence."""
        return " ".join((self.run.__doc__ or "").split())

    def applies(self, subject: Subject) -> bool:
        """Whether the subject is one that this is asked of."""
        if self.scope == "controlled":
            return subject.mode == "controlled" and subject.form in (None, "fast")
        return {
            "form": True,
            "graph": subject.form != "reference",
            "mode": subject.form in (None, "fast"),
            "choice": subject.form == "fast",
        }[self.scope]


CHECKS: Sequence[Check] = (
    Check(numbers.outputs_are_logits, "form"),
    Check(numbers.outputs_are_those_declared, "mode"),
    Check(numbers.every_parameter_learns, "form"),
    Check(numbers.samples_do_not_mix, "form"),
    Check(numbers.forms_agree, "choice"),
    Check(numbers.one_position_is_a_map, "form"),
    Check(numbers.half_precision_is_finite, "form"),
    Check(numbers.converts_to_other_precisions, "form"),
    Check(numbers.state_dict_carries_everything, "mode"),
    Check(numbers.copies_are_independent, "mode"),
    Check(numbers.features_are_left_alone, "form"),
    Check(numbers.attention_maps_are_maps, "form"),
    Check(numbers.surroundings_are_the_same, "controlled"),
    Check(graphs.compiles, "graph"),
    Check(graphs.compiled_gradients_agree, "graph"),
    Check(graphs.exports, "graph"),
)
