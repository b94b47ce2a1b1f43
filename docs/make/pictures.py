"""The pictures of docs/heads: rows of 16 x 16 maps on one colour scale, the same on every page."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from docs.make.reach import NONE, PIXEL, Reach

LOWEST = 1e-5
# One hue from light to dark: order without colour vision, and in print. White is nothing.
_BLUES = LinearSegmentedColormap.from_list("reach", ["#d6e4f2", "#8fb8de", "#3b7ab8", "#123f73", "#061a33"])
_INK, _RULE, _MARK = "#222222", "#b8b8b8", "#d55e00"


def draw(reaches: tuple[Reach, ...], path: Path) -> None:
    """One column a part; above what it gathers, below what it depends on."""
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 8, "text.color": _INK}):
        columns = len(reaches)
        figure = Figure(figsize=(1.75 + 1.9 * columns + 0.35, 4.25), dpi=110, layout="constrained")
        axes = figure.subplots(2, columns, squeeze=False)
        norm = LogNorm(LOWEST, 1)
        for column, entry in enumerate(reaches):
            for row, norms in enumerate((entry.gathers, entry.depends)):
                axis = axes[row, column]
                shown = norms.clamp_min(LOWEST).where(norms > NONE, float("nan")).numpy()
                image = axis.imshow(shown, cmap=_BLUES, norm=norm, interpolation="nearest")
                axis.add_patch(
                    matplotlib.patches.Rectangle(
                        (PIXEL[1] - 0.5, PIXEL[0] - 0.5), 1, 1, fill=False, edgecolor=_MARK, linewidth=1.2
                    )
                )
                axis.set(xticks=[], yticks=[])
                for spine in axis.spines.values():
                    spine.set(color=_RULE, linewidth=0.8)
            axes[0, column].set_title(entry.title, fontsize=9, pad=5)
        for row, label in enumerate(("weights constant:\nwhat it gathers", "weights too:\nwhat it depends on")):
            axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8, color=_INK)
        bar = figure.colorbar(image, ax=axes, shrink=0.62, aspect=22, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=7)
        bar.set_ticks([1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5], labels=["1", "0.1", "0.01", "0.001", "0.0001", "0.00001"])
        bar.ax.minorticks_off()
        figure.savefig(path, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
