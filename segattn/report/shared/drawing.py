"""How figures look, whatever they show, and how one is finished: as SVG for the page and as PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.text import Text

from segattn.report.shared.text import one_line, printable

# The page swaps these for its own colours, light and dark: keep each to its role.
INK, QUIET, SHADE, RULE, PAPER = "#1b2126", "#66707a", "#b7c0c8", "#dfe3e6", "#fffffe"
"""Text, secondary text, background curves, grid, background."""
ACCENT, BASELINE, HARD, WORSE, WRONG = "#0b6bb0", "#46622a", "#622ac4", "#e69f00", "#d55e00"
"""One meaning each: blue for the front and this network, green for the baseline, violet for hard classes, amber for worse than
the baseline, red-orange for wrong pixels. The last two are of Okabe and Ito; all are told apart by the colour-blind."""

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


def say(artist: Artist, text: str) -> None:
    """Let a pointer that rests on `artist`, a point, line or bar, show `text`: it becomes the title of the mark in the SVG."""
    artist.set_gid(f"say|{_attribute(text)}")


def say_curves(axes: Any, text: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Let a pointer in a panel with a linear horizontal axis show `text`, and the values there of `curves`, (x, y) by name."""
    low, high = axes.get_xlim()
    series = ";".join(
        f"{name}:{' '.join(f'{x:g} {y:.4g}' for x, y in curve)}" for name, curve in curves.items() if curve
    )
    axes.patch.set_gid(f"curves|{low:g} {high:g}|{series}|{_attribute(text)}")


def _attribute(text: str) -> str:
    return one_line(text).replace('"', "”")


def _titled(svg: str) -> str:
    """The marks of `say` and `say_curves` with titles, instead of the ids under which Matplotlib has written them."""
    svg = re.sub(r'<g id="say\|([^"]*)">', r'<g class="value">\n<title>\1</title>', svg)
    curves = r'<g class="value" data-curve="\1|\2">\n<title>\3</title>'
    return re.sub(r'<g id="curves\|([^"|]*)\|([^"|]*)\|([^"]*)">', curves, svg)


def finish(figure: Figure, name: str, title: str, caption: str) -> Drawn:
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once is enough for both files
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return Drawn(name, title, caption, _titled(svg.getvalue()), png.getvalue())
