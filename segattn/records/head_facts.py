"""What a head declares about its mechanism, written into every record: a report is made without the head's code."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Class attributes of a head, under their own names; a head that declares nothing has the defaults."""

    family: str = "other"
    """The kind of mechanism, as reports group heads. The heads of segattn use these terms:

    - `baseline`: no attention; the other heads are compared with it.
    - `pyramid`: no attention; context pooled or sampled at several scales, a second kind of baseline.
    - `dense`: every position attends to every position, one map of N x N weights.
    - `sparse`: a position attends to some positions at a time, and a second step reaches the others.
    - `channel`: channels attend to channels, in maps of C x C weights.
    - `low-rank`: the feature map is rebuilt from a few bases or rank-1 terms.
    - `gate`: positions or channels are multiplied by factors in (0, 1), the same for every position or every channel.
    - `kernel`: positions are multiplied by a linear function of their surroundings.
    - `window`: every position attends to those around it.
    - `scan`: a recurrence runs over the positions, along rows and along columns.
    """
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
