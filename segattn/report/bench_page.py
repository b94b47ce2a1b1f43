"""A bench record as one HTML file that needs nothing else, beside its tables and figures."""

from __future__ import annotations

import os
from pathlib import Path

from segattn import records
from segattn.records import BenchRecord
from segattn.report import bench_figures, bench_tables, figures, html
from segattn.report.bench import groups, machine
from segattn.report.bench_scaling import curves, statements


def build(record: BenchRecord, out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write bench.html, bench.md, bench.csv and figures/*.{png,svg} into the folder `out`; the path of each by its name."""
    drawn = bench_figures.draw(record)
    contents = {
        "bench.md": bench_tables.markdown(record).encode(),
        "bench.csv": bench_tables.csv_text(record).encode(),
        "bench.html": page(record, drawn).encode(),
    }
    for figure in drawn:
        contents[f"figures/{figure.name}.png"] = figure.png
        contents[f"figures/{figure.name}.svg"] = figure.svg.encode()
    return {name: records.write_bytes(data, Path(out) / name) for name, data in contents.items()}


def page(record: BenchRecord, drawn: list[figures.Drawn]) -> str:
    """The whole page."""
    where = record.environment
    found = groups(record)
    values = {
        "record": record,
        "title": f"{record.suite}: {where.processor if where.device == 'cpu' else where.device}",
        "machine": machine(record),
        "version": where.segattn,
        "groups": [
            {
                "title": group.title,
                "headings": [" ".join(heading.split()) for heading in bench_tables.headings(group)],
                "rows": [bench_tables.cells(group, line) for line in group.lines],
                "words": bench_tables.word_columns(group),
                "trouble": bench_tables.trouble(group),
            }
            for group in found
        ],
        "figures": [html.inline(figure) for figure in drawn],
        "exponents": bench_tables.exponent_rows(record),
        "exponent_headings": bench_tables.EXPONENT_HEADINGS,
        "statements": statements(curves(record)),
        "notes": bench_tables.notes(record),
        "settings": {**where.settings, "cores": str(where.cores or "unknown"), "governor": where.governor or "unknown"},
    }
    return html.render("bench.html", values)
