"""A picture for docs/findings.md: what heads add to FCN as in their papers, beside what they add between FCN's convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.make import findings_panels, findings_seeds
from docs.make.findings_knobs import paired
from docs.make.findings_study import Packed, read
from segattn.report.shared.drawing import STYLE, Drawn, finish

PAIRS = {"findings_local": "findings_faithful", "findings_full": "findings_full_faithful"}
"""Studies of controlled heads, and those of the same heads as in their papers on the same trunk."""
_MARGIN = 1.2
"""Points beside the outermost mean; a longer interval runs out of its panel."""


def drawn() -> list[Drawn]:
    """The picture, a panel for each trunk of which both studies are there."""
    found = {base: (read(base), read(name)) for base, name in PAIRS.items()}
    both = {
        findings_seeds.TRUNKS[base]: (findings_seeds.with_own(controlled), faithful)
        for base, (controlled, faithful) in found.items()
        if controlled is not None
        and faithful is not None
        and "fcn" in controlled.networks.keys() & faithful.networks.keys()
    }
    if not both:
        return []
    titles = {f"{findings_seeds.TRUNKS[base]} pixels, as in their papers": pair[1] for base, pair in found.items()}
    missing = findings_panels.missing(titles)
    first = next(iter(both.values()))[1]
    names = [name for name in first.networks if name != "fcn"][::-1]
    with mpl.rc_context(STYLE):
        width = 2.0 + 3.9 * len(both)
        figure = Figure(figsize=(width, 1.7 + 0.22 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(both), squeeze=False, sharey=True)[0]
        for panel, (pixels, (controlled, faithful)) in zip(panels, both.items(), strict=True):
            _panel(panel, names, controlled, faithful)
            fcn = faithful.mean("fcn", "mean_iou")
            panel.set_title(
                f"backbone sees {pixels} pixels\nFCN from random weights {fcn:.1f} %, {faithful.seeds} seeds"
            )
        panels[0].set_yticks(range(len(names)), names)
        note = (
            "mIoU minus FCN's in points. Filled: as in their papers, from random weights, 95 % interval over seeds and images. "
            "Hollow: between FCN's convolutions, on the same seeds. Each panel has its own scale and cuts what leaves it."
        )
        findings_panels.notes(figure, [note, *missing], width)
        findings_panels.families(figure, [first.family(name) for name in first.networks])
        what = "mIoU of each network minus that of FCN, as in its paper and between FCN's convolutions"
        return [finish(figure, "findings_modes", "Heads as their papers have them", what)]


def _panel(panel: Any, names: Sequence[str], controlled: Packed, faithful: Packed) -> None:
    usual = {name: _controlled(controlled, faithful, name) for name in names if name in faithful.networks}
    findings_panels.gains(panel, names, faithful, usual.get, size=7.5)
    shown = [faithful.difference(name, "fcn").value for name in usual if faithful.compares(name, "fcn")]
    means = [0.0, *shown, *(value for value in usual.values() if value is not None)]
    panel.set_xlim(min(means) - _MARGIN, max(means) + _MARGIN)


def _controlled(controlled: Packed, faithful: Packed, name: str) -> float | None:
    """What the controlled head adds to FCN, in points, on the seeds of the other study; None where there are none."""
    seeds = {run["seed"] for run in faithful.networks[name]}
    runs = [run for run in controlled.networks.get(name, []) if run["seed"] in seeds]
    value = paired(runs, controlled.networks["fcn"]).value
    return None if math.isnan(value) else value
