"""A bench record as one HTML file that needs nothing else, beside its tables and figures."""

from __future__ import annotations

import os
from pathlib import Path

from segattn import records
from segattn.records import BenchRecord
from segattn.report.bench import figures, tables, words
from segattn.report.bench.groups import groups
from segattn.report.bench.scaling import curves, statements
from segattn.report.shared import template
from segattn.report.shared.drawing import Drawn


def build(record: BenchRecord, out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write bench.html, bench.md, bench.csv and figures/*.{png,svg} into the folder `out`; the path of each by its name."""
    drawn = figures.draw(record)
    contents = {
        "bench.md": tables.markdown(record).encode(),
        "bench.csv": tables.csv_text(record).encode(),
        "bench.html": page(record, drawn).encode(),
    }
    for figure in drawn:
        contents[f"figures/{figure.name}.png"] = figure.png
        contents[f"figures/{figure.name}.svg"] = figure.svg.encode()
    return {name: records.write_bytes(data, Path(out) / name) for name, data in contents.items()}


def page(record: BenchRecord, drawn: list[Drawn]) -> str:
    """The whole page."""
    where = record.environment
    values = {
        "record": record,
        "title": f"{record.suite}: {where.processor if where.device == 'cpu' else where.device}",
        "machine": words.machine_text(record),
        "version": where.segattn,
        "groups": [
            {
                "title": group.title,
                "headings": [" ".join(heading.split()) for heading in tables.headings(group)],
                "rows": [tables.cells(group, line) for line in group.lines],
                "words": tables.word_columns(group),
                "trouble": words.trouble(group),
            }
            for group in groups(record)
        ],
        "figures": [template.inline(figure) for figure in drawn],
        "exponents": tables.exponent_rows(record),
        "exponent_headings": tables.EXPONENT_HEADINGS,
        "statements": statements(curves(record)),
        "notes": words.notes(record),
        "settings": {**where.settings, "cores": str(where.cores or "unknown"), "governor": where.governor or "unknown"},
    }
    return template.render("bench.html", values)
