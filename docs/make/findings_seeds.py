"""Noise between seeds and between images in docs/findings.md, study by study, and what a wider backbone leaves to a mechanism."""

from __future__ import annotations

import math

from docs.make.findings_knobs import interval, paired
from docs.make.findings_study import Packed, read, starting_with
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student
from segattn.report.shared.student import Difference

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
    variances = []
    for network in study.networks:
        values = study.values(network, "mean_iou")
        if len(values) > 1:
            mean = student.mean(values)
            variances.append(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return math.sqrt(student.mean(variances))


def _count(seeds: float) -> str:
    return "no number" if seeds == math.inf else "above 1,000" if seeds > 1000 else f"{seeds:.0f}"


def closes(_: str = "") -> str:
    """What each mechanism adds on both backbones, and how much of the distance between their FCNs it closes on the narrow one."""
    narrow, wide = read(NARROW), read(WIDE)
    if narrow is None or wide is None:
        return f"*The studies `{NARROW}` and `{WIDE}` have not both been run yet.*"
    distance = paired(wide.networks["fcn"], narrow.networks["fcn"])
    rows = []
    for name in narrow.networks:
        if name != "fcn" and name in wide.networks:
            near, far = (study.difference(name, "fcn") for study in (narrow, wide))
            change = _change(narrow, wide, name)
            rows.append(
                [name, interval(near), interval(far), interval(change), f"{100 * near.value / distance.value:.0f}"]
            )
    heading = [
        "network",
        "added where it sees 55 px",
        "added where it sees 311 px",
        "change",
        "% of the distance closed",
    ]
    words = (
        f"FCN on the wide backbone is {interval(distance)} points above FCN on the narrow one: the distance. *Change* is the "
        "second column minus the first, paired by seed."
    )
    return "\n\n".join([words, markdown_table(heading, rows, align="lrrrr")])


def _change(narrow: Packed, wide: Packed, name: str) -> Difference:
    """What a mechanism adds on the wide backbone minus what it adds on the narrow one, over the seeds that both have."""
    gains = []
    for study in (narrow, wide):
        of = {network: {run["seed"]: run["mean_iou"] for run in study.networks[network]} for network in (name, "fcn")}
        gains.append(
            [{"seed": seed, "gain": of[name][seed] - of["fcn"][seed]} for seed in of[name].keys() & of["fcn"].keys()]
        )
    return paired(gains[1], gains[0], "gain")
