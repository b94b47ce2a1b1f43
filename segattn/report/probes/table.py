"""Tables of a probe: a network a row, a condition a column, mean over seeds and 95 % interval."""

from __future__ import annotations

from segattn.records.probes import ProbeCondition, ProbeRecord
from segattn.report.shared import student


def variants(record: ProbeRecord) -> list[str]:
    """Names of the networks in the order of the grid, those with a finished run."""
    finished = {run.variant for run in record.runs}
    return [name for name in dict.fromkeys(name for name, _ in record.planned) if name in finished]


def series(record: ProbeRecord) -> dict[str, list[ProbeCondition]]:
    """The conditions by setting, such as straight and diagonal."""
    of: dict[str, list[ProbeCondition]] = {}
    for condition in record.conditions:
        of.setdefault(condition.series, []).append(condition)
    return of


def seeds(record: ProbeRecord, variant: str) -> int:
    """How many runs of a network are finished."""
    return sum(run.variant == variant for run in record.runs)


def interval(record: ProbeRecord, variant: str, condition: str) -> tuple[float, float | None]:
    """Mean over seeds in %, and half the width of its 95 % interval (Student's t); None for a single seed."""
    values = [100 * run.scores[condition] for run in record.runs if run.variant == variant]
    bounds = student.mean_interval(values)
    return student.mean(values), None if bounds is None else (bounds[1] - bounds[0]) / 2


def cell(record: ProbeRecord, variant: str, condition: str) -> str:
    """Such as `97 ±2`, in %."""
    mean, half = interval(record, variant, condition)
    return f"{mean:.0f}" if half is None else f"{mean:.0f} ±{half:.0f}"


def maps(record: ProbeRecord) -> list[tuple[str, str]]:
    """Network and attention map of each one whose purity was measured."""
    return [
        (name, of_map)
        for name in variants(record)
        for of_map in dict.fromkeys(key for run in record.runs if run.variant == name for key in run.purity)
    ]


def purity_cell(record: ProbeRecord, variant: str, of_map: str, condition: str) -> str:
    """Purity of a map, mean over seeds in % and half the interval."""
    values = [100 * run.purity[of_map][condition] for run in record.runs if run.variant == variant and run.purity]
    bounds = student.mean_interval(values)
    mean = f"{student.mean(values):.0f}"
    return mean if bounds is None else f"{mean} ±{(bounds[1] - bounds[0]) / 2:.0f}"


def rows(record: ProbeRecord, setting: str) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of a table of one setting."""
    conditions = series(record)[setting]
    heading = ["network", "n", *(f"{condition.value:g}" for condition in conditions)]
    body = [
        [name, str(seeds(record, name)), *(cell(record, name, condition.name) for condition in conditions)]
        for name in variants(record)
    ]
    return heading, body


def purity_rows(record: ProbeRecord, setting: str) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the purity of attention maps; the last row is attention to all places alike."""
    conditions = series(record)[setting]
    heading = ["network: map", *(f"{condition.value:g}" for condition in conditions)]
    body = [
        [f"{name}: {of_map}", *(purity_cell(record, name, of_map, condition.name) for condition in conditions)]
        for name, of_map in maps(record)
    ]
    body.append(["all places alike", *(f"{100 * record.uniform_purity[c.name]:.0f}" for c in conditions)])
    return heading, body


def unit(record: ProbeRecord, setting: str) -> str:
    """What the numbers of a setting are."""
    units = {"strength": "% of the markers' colour", "width": "pixels", "ratio": "larger to smaller region"}
    return units.get(setting, "cells of 8 pixels")


def near(record: ProbeRecord) -> str:
    """Names of the conditions in which a network without a mechanism may see what decides; empty if there is none."""
    return ", ".join(condition.name for condition in record.conditions if not condition.far)


def floor(record: ProbeRecord) -> str:
    """What `record.chance` is: chance of an accuracy; of an IoU the most that a network reaches without seeing what decides."""
    return "chance" if record.measure == "accuracy" else "the most without seeing what decides"


def text(record: ProbeRecord) -> str:
    """All tables as lines for a terminal."""
    lines = []
    for setting in series(record):
        title = f"{record.task}: {record.measure} %, by {setting} ({unit(record, setting)})"
        lines += ["", f"{title}; {floor(record)} {100 * record.chance:.0f} %", *_aligned(*rows(record, setting))]
    if record.uniform_purity:
        lines += ["", "Purity of attention: % of the query's attention on pixels of its class"]
        lines += [line for setting in series(record) for line in _aligned(*purity_rows(record, setting))]
    lines.append(f"n seeds; ± 95 % interval. Without a mechanism a network sees {record.sees} pixels.")
    if record.missing:
        lines.append(f"{len(record.missing)} of {len(record.planned)} runs are missing: {shortened(record.missing)}")
    return "\n".join(lines)


def shortened(names: list[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    return "; ".join([*names[:most], *([f"and {len(names) - most} more"] if len(names) > most else [])])


def _aligned(heading: list[str], body: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heading, *body, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(each.rjust(width) for each, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (heading, *body)
    ]
