"""Noise of crops in docs/findings.md: the same seeds with other crops of the same scenes, taken apart by a two-way table.

With y_sc the score of seed s on the stored crops c, the mean squares of seeds, of crops and of the rest estimate their variances:
rest MS_E, seeds (MS_S - MS_E) / C, crops (MS_C - MS_E) / S, each at least 0 (random effects, method of moments).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from docs.make.findings_study import Packed, provenance, read, swept
from docs.make.published_noise import rest
from segattn.profile.markdown import markdown_table

STUDY = "noise_crops"
CROPS = "seed"
"""Of the stored crops: `features.seed`, by the last part of its name."""


@dataclass(frozen=True)
class Deviations:
    """Standard deviations, in the unit of the scores."""

    seeds: float
    crops: float
    rest: float
    """What seed and crops do only together."""


def deviations(scores: np.ndarray) -> Deviations:
    """What scores (seeds, crops) vary with; at least 2 x 2."""
    S, C = scores.shape
    both = (rest(scores) ** 2).sum() / ((S - 1) * (C - 1))
    seeds, crops = scores.mean(1).var(ddof=1) - both / C, scores.mean(0).var(ddof=1) - both / S
    return Deviations(*(math.sqrt(max(0.0, float(variance))) for variance in (seeds, crops, both)))


def section(_: str = "") -> str:
    """A line for each network, and for what it adds to FCN."""
    study = read(STUDY)
    if study is None:
        return f"*The study `{STUDY}` has not been run yet.*"
    tables = _tables(study)
    quantities = {f"mIoU of {head}": table for head, table in tables.items()}
    fcn = tables.pop("fcn", np.empty(0))
    quantities |= {f"{head} minus fcn": table - fcn for head, table in tables.items() if table.shape == fcn.shape}
    rows = []
    for name, table in quantities.items():
        if table.ndim < 2 or min(table.shape) < 2:
            continue
        found = deviations(table)
        size = " x ".join(map(str, table.shape))
        rows.append(
            [name, size, f"{table.mean():.2f}", *(f"{each:.2f}" for each in (found.seeds, found.crops, found.rest))]
        )
    heading = ["quantity", "seeds x crops", "mean", "seeds", "crops", "both together"]
    return "\n\n".join([markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1)), *provenance([study])])


def _tables(study: Packed) -> dict[str, np.ndarray]:
    """mIoU in points (seeds, crops) of each head."""
    by_head: dict[str, list[list[float]]] = defaultdict(list)
    for runs in sorted(study.networks.values(), key=lambda runs: int(swept(runs)[CROPS])):
        ordered = sorted(runs, key=lambda run: int(run["seed"]))
        by_head[runs[0]["head"]].append([100 * run["mean_iou"] for run in ordered])
    return {head: np.array(by_head[head]).T for head in sorted(by_head, key=lambda head: head != "fcn")}
