"""Result records made readable: a table in the terminal, Markdown, CSV, LaTeX, figures, one self-contained HTML page.

Reads records only; needs neither torch nor the data.

    >>> from segattn import report
    >>> report.build(["runs/streets"], "runs/streets")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from segattn import records
from segattn.report.comparison import Comparison, compare, select
from segattn.report.comparison_terminal import TerminalComparison
from segattn.report.results import Row, Source, Study, load
from segattn.report.terminal import terminal_table

__all__ = [
    "Comparison",
    "Row",
    "Study",
    "TerminalComparison",
    "build",
    "build_comparison",
    "compare",
    "load",
    "select",
    "terminal_table",
]


def build(source: Study | Source | Iterable[Source], out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write report.html, report.md, table.csv, table.tex and figures/*.{png,svg} into the folder `out`.

    `source` is what `load` takes, or what it returned. Returns the path of each file by its name in `out`
    (`figures/curves.svg`).

    Raises:
        ValueError: as `load`.
    """
    from segattn.report import figures, html, tables  # matplotlib and jinja2 take a second

    study = source if isinstance(source, Study) else load(source)
    drawn = figures.draw(study)
    contents = {
        "report.md": tables.markdown(study).encode(),
        "table.csv": tables.csv_text(study).encode(),
        "table.tex": tables.latex(study).encode(),
    }
    for figure in drawn:
        contents[f"figures/{figure.name}.png"] = figure.png
        contents[f"figures/{figure.name}.svg"] = figure.svg.encode()
    contents["report.html"] = html.page(study, drawn).encode()
    return {name: records.write_bytes(data, Path(out) / name) for name, data in contents.items()}


def build_comparison(comparison: Comparison, out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write compare.html, compare.md, compare.csv and compare.tex into the folder `out`; the path of each by its name.

    Raises:
        ValueError: the folder cannot be written.
    """
    from segattn.report import comparison_html, comparison_tables

    contents = {
        "compare.html": comparison_html.page(comparison),
        "compare.md": comparison_tables.markdown(comparison),
        "compare.csv": comparison_tables.csv_text(comparison),
        "compare.tex": comparison_tables.latex(comparison),
    }
    try:
        return {name: records.write_bytes(text.encode(), Path(out) / name) for name, text in contents.items()}
    except OSError as error:
        raise ValueError(f"cannot write the comparison into {out}: {error.strerror}") from error
