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
from segattn.report.comparison.compare import Comparison, compare, select
from segattn.report.comparison.several import Several, compare_several
from segattn.report.comparison.several_text import TerminalSeveral
from segattn.report.comparison.terminal import TerminalComparison
from segattn.report.study.next_steps import next_steps
from segattn.report.study.rows import Row
from segattn.report.study.study import Source, Study, load
from segattn.report.study.terminal import terminal_table

__all__ = [
    "Comparison",
    "Row",
    "Several",
    "Study",
    "TerminalComparison",
    "TerminalSeveral",
    "build",
    "build_comparison",
    "compare",
    "compare_several",
    "load",
    "next_steps",
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
    from segattn.report.study import figures, page, tables

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
    contents["report.html"] = page.page(study, drawn).encode()
    return {name: records.write_bytes(data, Path(out) / name) for name, data in contents.items()}


def build_comparison(comparison: Comparison | Several, out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write compare.html, compare.md, compare.csv and compare.tex into the folder `out`; the path of each by its name.

    Raises:
        ValueError: the folder cannot be written.
    """
    from segattn.report.comparison import page, several_text, tables

    if isinstance(comparison, Several):
        contents = {
            "compare.html": page.page_of_several(comparison),
            "compare.md": several_text.markdown(comparison),
            "compare.csv": several_text.csv_text(comparison),
            "compare.tex": several_text.latex(comparison),
        }
    else:
        contents = {
            "compare.html": page.page(comparison),
            "compare.md": tables.markdown(comparison),
            "compare.csv": tables.csv_text(comparison),
            "compare.tex": tables.latex(comparison),
        }
    try:
        return {name: records.write_bytes(text.encode(), Path(out) / name) for name, text in contents.items()}
    except OSError as error:
        raise ValueError(f"cannot write the comparison into {out}: {error.strerror}") from error
