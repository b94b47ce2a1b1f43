"""Scores on a test split in docs/findings.md: of networks that were chosen on the validation split, once."""

from __future__ import annotations

from typing import Any

from docs.make.findings_knobs import interval, paired
from docs.make.findings_study import Packed, provenance, read
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student


def section(words: str) -> str:
    """`BASE STUDY ...`: a line for each network of the studies that was tested, against the network BASE of its study."""
    base, *names = words.split()
    studies = [
        study for name in names if (study := read(name)) is not None and any(map(_tested, study.networks.values()))
    ]
    if not studies:
        return "*No network has been tested yet.*"
    rows = []
    for study in studies:
        usual = _tested(study.networks.get(base, []))
        for network, runs in study.networks.items():
            if tested := _tested(runs):
                change = interval(paired(tested, usual)) if usual and network != base else "–"
                on_val = student.mean([100 * run["mean_iou"] for run in runs if "test" in run])
                rows.append([network, study.name, f"{len(tested)}", f"{on_val:.2f}", f"{_mean(tested):.2f}", change])
    heading = ["network", "study", "n", "val mIoU %", "test mIoU %", f"test minus {base}"]
    images = ", ".join(dict.fromkeys(f"{_images(study)}" for study in studies))
    machine = provenance(studies)[1]
    return "\n\n".join([markdown_table(heading, rows, align="llrrrr"), f"{images} test images; {machine}"])


def _tested(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that were tested, with their score on the test split as `mean_iou`."""
    return [{"seed": run["seed"], **run["test"]} for run in runs if "test" in run]


def _mean(runs: list[dict[str, Any]]) -> float:
    return student.mean([100 * run["mean_iou"] for run in runs])


def _images(study: Packed) -> int:
    return int(next(run["test"]["num_images"] for run in study.content["runs"] if "test" in run))
