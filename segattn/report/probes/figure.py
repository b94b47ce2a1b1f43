"""The figure of a probe: a matrix of networks and conditions, coloured from chance to 100 %, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segattn.records.probes import ProbeRecord
from segattn.report.probes import table
from segattn.report.shared.drawing import ACCENT, INK, PAPER, QUIET, STYLE, Drawn, finish

_ROW, _COLUMN = 0.27, 0.62
"""Height and width of a cell in inches."""
_LETTERS = 15
"""Of the note, to an inch."""
_COLOURS = LinearSegmentedColormap.from_list("score", [PAPER, ACCENT])


def draw(record: ProbeRecord) -> Drawn:
    """Networks without a mechanism are above the line; conditions in which they may see what decides stand in brackets."""
    names, settings = table.variants(record), table.series(record)
    widths = [len(conditions) for conditions in settings.values()]
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        size = (2.1 + _COLUMN * sum(widths) + 0.25 * len(widths), 1.3 + _ROW * len(names))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        for panel, setting in zip(panels, settings, strict=True):
            _matrix(panel, record, names, setting)
            panel.set_yticks(range(len(names)), names if panel is panels[0] else [""] * len(names))
        lines = [line for part in _note(record).split("\n") for line in textwrap.wrap(part, int(_LETTERS * size[0]))]
        figure.supxlabel("\n".join(lines), fontsize=7.5, color=QUIET, x=0.01, ha="left")
        title = f"{record.task}: {record.measure} by condition"
        return finish(figure, f"probes_{record.task}", title, _note(record).replace("\n", " "))


def _matrix(panel: Any, record: ProbeRecord, names: Sequence[str], setting: str) -> None:
    conditions = table.series(record)[setting]
    for row, name in enumerate(names):
        for column, condition in enumerate(conditions):
            mean, _ = table.interval(record, name, condition.name)
            share = min(max((mean / 100 - record.chance) / (1 - record.chance), 0), 1)
            panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_COLOURS(share), linewidth=0))
            words = table.cell(record, name, condition.name)
            panel.text(column, row, words, ha="center", va="center", fontsize=7.5, color=PAPER if share > 0.5 else INK)
    baselines = sum(name in ("fcn", "psp", "aspp") for name in names)
    panel.axhline(baselines - 0.5, color=INK, linewidth=0.8)
    panel.set(xlim=(-0.5, len(conditions) - 0.5), ylim=(len(names) - 0.5, -0.5))
    ticks = [f"{condition.value:g}" if condition.far else f"({condition.value:g})" for condition in conditions]
    panel.set_xticks(range(len(conditions)), ticks)
    panel.set_xlabel(f"{setting}, {table.unit(record, setting)}", fontsize=8)
    panel.set_title(f"{record.task}: {record.measure} %" if setting == next(iter(table.series(record))) else "")
    for spine in panel.spines.values():
        spine.set_visible(False)


def _note(record: ProbeRecord) -> str:
    seeds = sorted({table.seeds(record, name) for name in table.variants(record)})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    seeds_in_words = "One seed" if count == "1" else f"Mean of {count} seeds, ± 95 % interval"
    note = f"{seeds_in_words}; white is {table.floor(record)} ({100 * record.chance:.0f} %)."
    if table.near(record):
        note += " In brackets: a network without a mechanism sees what decides."
    if record.missing:
        note += (
            f"\n{len(record.missing)} of {len(record.planned)} runs are missing: {table.shortened(record.missing, 3)}"
        )
    return note
