"""What the pictures of docs/findings.md have in common: intervals, notes below, the legend of families."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from docs.make.findings_study import Packed
from segattn.report.shared.drawing import INK, QUIET, RULE
from segattn.report.shared.student import Difference
from segattn.report.study.families import COLOURS

LETTERS = 14
"""Of the note, to an inch."""


def notes(figure: Figure, notes: Sequence[str], width: float) -> None:
    """Below the panels, wrapped to so many inches."""
    text = textwrap.fill(" ".join(notes), int(LETTERS * width), break_on_hyphens=False)
    figure.supxlabel(text, fontsize=7.5, color=QUIET)


def missing(found: Mapping[str, Packed | None]) -> list[str]:
    """Which studies and runs a figure lacks, in sentences."""
    absent = [title for title, study in found.items() if study is None]
    sentences = [f"Not run yet: {', '.join(absent)}."] if absent else []
    return sentences + [
        f"{title}: {study.missing}" for title, study in found.items() if study is not None and study.missing
    ]


def families(figure: Figure, families: Sequence[str]) -> None:
    """A legend of the families' colours, in the order of the first of each."""
    known = [family for family in dict.fromkeys(families) if family in COLOURS and family != "baseline"]
    if not known:
        return
    handles = [Line2D([], [], marker="o", linestyle="", color=COLOURS[family], label=family) for family in known]
    figure.legend(
        handles=handles, loc="outside upper center", ncol=len(handles), fontsize=7.5, handletextpad=0.1, frameon=False
    )


def interval(panel: Any, row: int, difference: Difference, colour: str) -> None:
    """A point with its interval, in the line `row`."""
    if difference.low is not None:
        panel.plot([difference.low, difference.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
    panel.plot(difference.value, row, "o", color=colour, markersize=5)


def gains(
    panel: Any,
    names: Sequence[str],
    study: Packed,
    hollow: Callable[[str], float | None] = lambda _: None,
    size: float = 5,
) -> None:
    """What each network adds to FCN, a line for each; in it a hollow point of so many points of mIoU, where there is one."""
    panel.axvline(0, color=INK, linewidth=0.8)
    for row, name in enumerate(names):
        if name not in study.networks or not study.compares(name, "fcn"):
            panel.text(0, row, " not run yet", color=QUIET, fontsize=7, va="center")
            continue
        colour = COLOURS.get(study.family(name), QUIET)
        interval(panel, row, study.difference(name, "fcn"), colour)
        if (value := hollow(name)) is not None:
            panel.plot(value, row, "o", markersize=size, markerfacecolor="none", markeredgecolor=colour, alpha=0.8)
    panel.set_ylim(-0.7, len(names) - 0.3)
    panel.grid(axis="y", color=RULE, linewidth=0.4)
