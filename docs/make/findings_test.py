"""Scores on a test split in docs/findings.md: of networks that were chosen on the validation split, once."""

from __future__ import annotations

from typing import Any

from docs.make.findings_knobs import interval, paired
from docs.make.findings_study import UNKNOWN, Packed, provenance, read
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student


def section(words: str) -> str:
    """`BASE,... STUDY ...`: a line for each network of the studies that was tested, against each network BASE of its study."""
    first, *names = words.split()
    bases = first.split(",")
    studies = [
        study for name in names if (study := read(name)) is not None and any(map(_tested, study.networks.values()))
    ]
    if not studies:
        return "*No network has been tested yet.*"
    rows = []
    for study in studies:
        usual = {base: _tested(study.networks.get(base, [])) for base in bases}
        for network, runs in study.networks.items():
            if tested := _tested(runs):
                changes = [
                    interval(paired(tested, others)) if others and network != base else "–"
                    for base, others in usual.items()
                ]
                on_val = student.mean([100 * run["mean_iou"] for run in runs if "test" in run])
                rows.append([network, study.name, f"{len(tested)}", f"{on_val:.2f}", f"{_mean(tested):.2f}", *changes])
    heading = ["network", "study", "n", "val mIoU %", "test mIoU %", *(f"test minus {base}" for base in bases)]
    images = ", ".join(dict.fromkeys(f"{_images(study)}" for study in studies))
    machine = provenance(studies)[1]
    return "\n\n".join(
        [markdown_table(heading, rows, align="ll" + "r" * (len(heading) - 2)), f"{images} test images; {machine}"]
    )


def difference(words: str) -> str:
    """`STUDY A B`: A minus B on the test split, in points, paired by seed."""
    name, a, b = words.split()
    study = read(name)
    tested = [] if study is None else [_tested(study.networks.get(network, [])) for network in (a, b)]
    return f"{interval(paired(*tested))} points" if tested and all(tested) else UNKNOWN


def _tested(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that were tested, with their score on the test split as `mean_iou`."""
    return [{"seed": run["seed"], **run["test"]} for run in runs if "test" in run]


def _mean(runs: list[dict[str, Any]]) -> float:
    return student.mean([100 * run["mean_iou"] for run in runs])


def _images(study: Packed) -> int:
    return int(next(run["test"]["num_images"] for run in study.content["runs"] if "test" in run))
