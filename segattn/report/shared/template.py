"""Pages from templates: one HTML file that needs nothing else, with figures in the page's own colours.

Every string of a record is untrusted and is escaped by the template; only our own figures go in as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segattn.report.shared import drawing

_TEMPLATES = Path(__file__).parent / "templates"
_COLOURS = {
    drawing.INK: "--ink",
    drawing.QUIET: "--quiet",
    drawing.SHADE: "--shade",
    drawing.RULE: "--rule",
    drawing.PAPER: "--paper",
    drawing.ACCENT: "--accent",
    drawing.BASELINE: "--baseline",
    drawing.HARD: "--hard",
    drawing.WORSE: "--worse",
    drawing.WRONG: "--wrong",
}


def render(template: str, values: dict[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None) -> str:
    """A page from one of the templates beside this file; `filters` are what it writes figures with."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    page = environment.get_template(template).render(**values)
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "?", page)  # no HTML character, however escaped


def inline(figure: drawing.Drawn) -> dict[str, Any]:
    """A figure for the page: without prolog, metadata and fonts of its own, in the page's colours."""
    svg = figure.svg[figure.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    svg = re.sub(r"<svg[^>]*>", f'<svg viewBox="0 0 {width} {height}" role="img">', svg, count=1)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    for name in re.findall(r' id="([^"]+)"', svg):
        fresh = f' id="{figure.name}-{name}"' if name in used else ""
        svg = svg.replace(f' id="{name}"', fresh)
    svg = re.sub(r'xlink:href="#', f'href="#{figure.name}-', svg).replace("url(#", f"url(#{figure.name}-")
    for colour, role in _COLOURS.items():
        svg = svg.replace(colour, f"var({role})")
    return {"name": figure.name, "title": figure.title, "caption": figure.caption, "width": width, "svg": Markup(svg)}
