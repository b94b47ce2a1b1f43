"""The pictures of docs/findings.md."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.make.findings_study import Packed, read
from segattn.report.shared.drawing import INK, QUIET, RULE, STYLE, Drawn, finish
from segattn.report.study.families import COLOURS

_LETTERS = 14
"""Of the note, to an inch."""
TRUNKS = {"findings_local": "backbone sees 55 pixels", "findings_full": "backbone sees 311 pixels"}


def drawn() -> list[Drawn]:
    """Every picture whose records are there."""
    studies = {title: study for name, title in TRUNKS.items() if (study := read(name)) is not None}
    return [_gains(studies)] if studies else []


def _gains(studies: dict[str, Packed]) -> Drawn:
    """What each mechanism adds to FCN, per trunk; the order of the networks is that of the first trunk."""
    names = [name for name in next(iter(studies.values())).networks if name != "fcn"][::-1]
    with mpl.rc_context(STYLE):
        width = 1.9 + 3.1 * len(studies)
        figure = Figure(figsize=(width, 1.4 + 0.21 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(studies), squeeze=False, sharey=True)[0]
        for panel, (title, study) in zip(panels, studies.items(), strict=True):
            _gain_panel(panel, names, study)
            panel.set_title(f"{title}\nFCN {study.mean('fcn', 'mean_iou'):.1f} %")
        panels[0].set_yticks(range(len(names)), names)
        note = (
            f"mIoU minus FCN's in points, {_seeds(studies)}. Hollow: minus the same network with its mechanism cut out."
        )
        figure.supxlabel(textwrap.fill(note, int(_LETTERS * width)), fontsize=7.5, color=QUIET)
        return finish(figure, "findings_gains", "What a mechanism adds", "mIoU of each network minus that of FCN")


def _seeds(studies: dict[str, Packed]) -> str:
    fewest = min(len(runs) for study in studies.values() for runs in study.networks.values())
    return "one seed, no interval" if fewest == 1 else f"{fewest} seeds, 95 % interval over seeds and images"


def _gain_panel(panel: Any, names: list[str], study: Packed) -> None:
    panel.axvline(0, color=INK, linewidth=0.8)
    for row, name in enumerate(names):
        if name not in study.networks:
            panel.text(0, row, " not run yet", color=QUIET, fontsize=7, va="center")
            continue
        colour, difference = COLOURS.get(study.family(name), QUIET), study.difference(name, "fcn")
        if difference.low is not None:
            panel.plot(
                [difference.low, difference.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt"
            )
        panel.plot(difference.value, row, "o", color=colour, markersize=5)
        if (contribution := study.contribution(name)) is not None:
            panel.plot(contribution, row, "o", markersize=5, markerfacecolor="none", markeredgecolor=colour, alpha=0.8)
    panel.set_ylim(-0.7, len(names) - 0.3)
    panel.grid(axis="y", color=RULE, linewidth=0.4)
