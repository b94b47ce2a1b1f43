"""How figures look, whatever they show, and how one is finished: as SVG for the page and as PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from segattn.report.shared.text import printable

# The page swaps these for its own colours, light and dark: keep each to its role.
INK, QUIET, SHADE, RULE, PAPER = "#1b2126", "#66707a", "#b7c0c8", "#dfe3e6", "#fffffe"
"""Text, secondary text, background curves, grid, background."""
ACCENT, SECOND = "#0b6bb0", "#c2590a"
"""Blue for the front, orange for the baseline: told apart by the colour-blind."""

STYLE: Any = {
    "font.size": 9, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "segattn", "axes.unicode_minus": True,
    "axes.edgecolor": RULE, "axes.labelcolor": QUIET, "axes.facecolor": PAPER, "axes.titlesize": 9, "axes.titlecolor": INK,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": RULE, "grid.linewidth": 0.6, "figure.facecolor": PAPER, "text.color": INK,
    "xtick.color": QUIET, "ytick.color": QUIET, "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "text.parse_math": False, "text.usetex": False,
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A finished figure."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def finish(figure: Figure, name: str, title: str, caption: str) -> Drawn:
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once is enough for both files
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return Drawn(name, title, caption, svg.getvalue(), png.getvalue())
