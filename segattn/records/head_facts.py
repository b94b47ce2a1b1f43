"""What a head declares about its mechanism, written into every record: a report is made without the head's code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

FAMILIES = {
    "baseline": "no attention; the other heads are compared with it",
    "pyramid": "no attention; context of several scales, a second baseline",
    "pairwise": "every position attends to every position, N x N weights",
    "criss-cross": "a position attends to the lines through it",
    "grouped": "positions attend within groups, of far ones, then of near ones",
    "basis": "positions attend to a few vectors: inferred, learnt or pooled",
    "channel": "channels attend to channels, C x C weights",
    "low-rank": "the map or its weights are products of small factors",
    "gate": "positions or channels are multiplied by factors in (0, 1)",
    "window": "a position attends to those around it",
    "kernel": "factors that are a linear function of the surroundings",
    "scan": "a recurrence along rows and along columns",
}
"""The families of segattn's heads and what they mean, in the order in which they are listed."""


def by_family(families: Iterable[str]) -> list[str]:
    """Each of the families once: those of `FAMILIES` in their order, then the others by name.

    >>> by_family(["scan", "spectral", "pairwise", "scan"])
    ['pairwise', 'scan', 'spectral']
    """
    order = list(FAMILIES)
    return sorted(set(families), key=lambda family: (order.index(family) if family in order else len(order), family))


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Class attributes of a head, under their own names; a head that declares nothing has the defaults."""

    family: str = "other"
    """The kind of mechanism, as reports group heads: a key of `FAMILIES`, or a word of one's own."""
    baseline: bool = False
    """Whether the other heads are compared with this one."""
    gates: tuple[str, ...] = ()
    """Endings of the names, within the mechanism, of the learnt scalars and vectors that scale its output and start at 0. An
    option may leave one out."""
    map_kinds: dict[str, str] = field(default_factory=dict)
    """Kind of each attention map that is not on the feature map's grid: `half_grid`, `channels` or `bases`."""
    main_map: str = ""
    """The attention map that shows the mechanism best; empty where the first one does."""
    growth: tuple[float, float] | None = None
    """Exponents of N = H W with which the mechanism's multiply-adds and its largest attention map grow on square maps;
    None where the head does not declare them."""

    @property
    def attends(self) -> bool:
        """Whether the head is an attention network: of any family but `baseline` and `pyramid`."""
        return self.family not in ("baseline", "pyramid")
