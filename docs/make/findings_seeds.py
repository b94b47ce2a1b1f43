"""Noise between seeds and between images in docs/findings.md, study by study, and what a wider backbone leaves to a mechanism."""

from __future__ import annotations

import math
from typing import Any

from docs.make.findings_knobs import OWN, interval, paired
from docs.make.findings_study import Packed, read, starting_with
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student

Networks = dict[str, list[dict[str, Any]]]
"""Runs by network."""
NARROW, WIDE = "findings_local", "findings_full"
"""The same scenes and networks on a backbone that sees little and on one that sees nearly everything."""
SIZES = (0.5, 1.0)
"""Differences in points that a reader may want to detect."""


def section(_: str = "") -> str:
    """A line for each study of several networks: what makes the difference of two of them uncertain."""
    rows = []
    for study in starting_with("findings_"):
        spread = study.spread
        if spread is None or len(study.networks) < 3:
            continue
        deviations = [
            _single(study),
            *(100 * math.sqrt(each) for each in (spread.between_seeds, spread.between_images)),
        ]
        images = "–" if spread.num_images is None else f"{spread.num_images}"
        needed = [_count(study.seeds_needed(points)) for points in SIZES]
        counts = [f"{len(study.networks)}", f"{spread.num_seeds}", images]
        rows.append([f"`{study.name}`", *counts, *(f"{each:.2f}" for each in deviations), *needed])
    if not rows:
        return "*No study has been run yet.*"
    heading = ["study", "networks", "seeds", "images", "one network, seeds", "difference, seeds", "difference, images"]
    heading += [f"seeds for {points:g}" for points in SIZES]
    return markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1))


def _single(study: Packed) -> float:
    """Standard deviation of one network's mIoU over seeds, in points: root mean square over networks."""
    deviations = [student.deviation(study.values(network, "mean_iou")) for network in study.networks]
    return math.sqrt(student.mean([each**2 for each in deviations if each is not None]))


def _count(seeds: float) -> str:
    return "no number" if seeds == math.inf else "above 1,000" if seeds > 1000 else f"{seeds:.0f}"


def closes(_: str = "") -> str:
    """What each mechanism adds on both backbones, and how much of the distance between their FCNs it closes on the narrow one."""
    narrow, wide = read(NARROW), read(WIDE)
    if narrow is None or wide is None or not all("fcn" in study.networks for study in (narrow, wide)):
        return f"*The studies `{NARROW}` and `{WIDE}` have not both been run yet.*"
    near, own = dict(narrow.networks), read("findings_star")
    if own is not None and OWN in own.networks:
        near[OWN] = own.networks[OWN]
    near = dict(sorted(near.items(), key=lambda item: -student.mean([run["mean_iou"] for run in item[1]])))
    rows = [[name, *_compared(near, wide.networks, name)] for name in near if name != "fcn" and name in wide.networks]
    distance = paired(wide.networks["fcn"], narrow.networks["fcn"])
    heading = ["network", "n", "added where it sees 55 px", "added where it sees 311 px", "change", "% of the distance"]
    words = (
        f"FCN on the wide backbone is {interval(distance)} points above FCN on the narrow one: the distance. *Added* is the "
        "mIoU of a network minus that of FCN, *change* the second such column minus the first, all on the seeds that both "
        "studies have and paired by seed; *% of the distance* is how much of it the mechanism closes on the narrow backbone."
    )
    return "\n\n".join([words, markdown_table(heading, rows, align="lrrrrr")])


def _compared(narrow: Networks, wide: Networks, name: str) -> list[str]:
    """Seeds, what is added on either backbone, the change and the share of the distance."""
    scores = [
        {network: {run["seed"]: run["mean_iou"] for run in study[network]} for network in (name, "fcn")}
        for study in (narrow, wide)
    ]
    seeds = sorted(set.intersection(*(set(by_seed) for study in scores for by_seed in study.values())))
    if not seeds:
        return ["0", *["–"] * 4]
    near, far = ([100 * (study[name][seed] - study["fcn"][seed]) for seed in seeds] for study in scores)
    distance = student.mean([100 * (scores[1]["fcn"][seed] - scores[0]["fcn"][seed]) for seed in seeds])
    none = [0.0] * len(seeds)
    added = [interval(student.paired(values, other)) for values, other in ((near, none), (far, none), (far, near))]
    return [f"{len(seeds)}", *added, f"{100 * student.mean(near) / distance:.0f}" if distance else "–"]
