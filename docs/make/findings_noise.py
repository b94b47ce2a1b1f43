"""A picture for docs/findings.md: the noise of every study and of published tables, in points."""

from __future__ import annotations

import math

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.make import findings_panels, findings_seeds, published_noise
from segattn.report.shared.drawing import ACCENT, INK, QUIET, RULE, STYLE, Drawn, finish

HALF = 0.5
"""Points by which tables often rank networks."""


def drawn() -> list[Drawn]:
    """The picture; studies in the order of their noise, published tables above."""
    studies = [(f"{name} ({seeds} seeds)", noise) for name, seeds, noise in findings_seeds.noises()]
    if not studies:
        return []
    tables = [
        (f"{each.data}, published", (each.noise, math.sqrt(2) * each.noise, None)) for each in published_noise.tables()
    ]
    rows = [*sorted(studies, key=lambda row: row[1][1]), *sorted(tables, key=lambda row: row[1][1])]
    with mpl.rc_context(STYLE):
        width = 8.0
        figure = Figure(figsize=(width, 1.2 + 0.24 * len(rows)), layout="constrained")
        panel = figure.subplots()
        panel.axvline(HALF, color=INK, linewidth=0.8)
        panel.annotate(
            "half a point", (HALF, len(rows) - 0.4), xytext=(4, 0), textcoords="offset points", fontsize=7, color=QUIET
        )
        for line, (_, (one, two, images)) in enumerate(rows):
            panel.plot([min(one, two), max(one, two)], [line, line], color=RULE, linewidth=1.2, zorder=0)
            panel.plot(two, line, "o", color=ACCENT, markersize=4.5, label="" if line else "difference of two networks")
            panel.plot(
                one, line, "o", markersize=7, markerfacecolor="none", markeredgecolor=ACCENT,
                label="" if line else "one network",
            )  # fmt: skip
            if images is not None:
                panel.plot(images, line, "|", color=INK, markersize=8, label="" if line else "images, in a difference")
        panel.set_yticks(range(len(rows)), [name for name, _ in rows])
        panel.set(ylim=(-0.7, len(rows)), xlim=(0, None), xlabel="standard deviation, points of mIoU")
        panel.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncol=3, fontsize=7.5, frameon=False, handletextpad=0.1)
        findings_panels.notes(
            figure, ["From seed to seed; of published tables, what neither setting nor head explains."], width
        )
        what = "Standard deviation of one network, of the difference of two, and what images add"
        return [finish(figure, "findings_noise", "How much noise", what)]
