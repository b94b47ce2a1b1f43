"""Segments by size, places by width and gates in docs/findings.md: what each network of a study adds to FCN there."""

from __future__ import annotations

from typing import Any

from docs.make.findings_knobs import interval, paired
from docs.make.findings_seeds import with_own
from docs.make.findings_study import UNKNOWN, Packed, read
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student

STRATA = ("small", "medium", "large", "thin", "thick")
"""Of segments by size, of places by width."""


def section(name: str) -> str:
    """`STUDY`: a line for each network, FCN with its mIoU in each stratum, the others with what they add, paired by seed."""
    study = _read(name)
    if study is None:
        return f"*The study `{name}` has not been run yet.*"
    fcn = study.networks["fcn"]
    rows = [["fcn", "–", *(_mean(study, stratum) for stratum in STRATA)]]
    rows += [
        [network, _gates(runs), *(interval(paired(runs, fcn, stratum)) for stratum in STRATA)]
        for network, runs in study.networks.items()
        if network != "fcn"
    ]
    heading = [
        "network",
        "gate",
        *(f"{stratum} {'segments' if stratum in STRATA[:3] else 'places'}" for stratum in STRATA),
    ]
    return markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1))


def difference(words: str) -> str:
    """`STUDY NETWORK STRATUM`: what a network adds to FCN there, in points."""
    name, network, stratum = words.split()
    study = _read(name)
    if study is None:
        return UNKNOWN
    return f"{interval(paired(study.networks[network], study.networks['fcn'], stratum))} points"


def _read(name: str) -> Packed | None:
    study = read(name)
    return None if study is None else with_own(study)


def _mean(study: Packed, stratum: str) -> str:
    mean = study.mean("fcn", stratum)
    return "–" if mean is None else f"{mean:.1f} %"


def _gates(runs: list[dict[str, Any]]) -> str:
    """The size of each gate, mean over seeds; a dash where there is none."""
    names = runs[0]["gates"]
    return ", ".join(f"{student.mean([abs(run['gates'][name]) for run in runs]):.2f}" for name in names) or "–"
