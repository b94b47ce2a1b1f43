"""Noise between seeds and between images in docs/findings.md, study by study, and what a wider backbone leaves to a mechanism."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from docs.make.findings_knobs import OWN, interval, paired
from docs.make.findings_study import Packed, clear, read, starting_with
from docs.make.published_noise import tau
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student
from segattn.report.shared.student import Difference
from segattn.report.shared.twoway import Spread

Networks = dict[str, list[dict[str, Any]]]
"""Runs by network."""
Scores = dict[str, dict[int, float]]
"""Mean IoU in points by network and seed."""
TRUNKS = {"findings_local": 55, "findings_mid": 103, "findings_full": 311}
"""The same scenes and networks on backbones of which a position sees so many pixels."""
NARROW, *_, WIDE = TRUNKS
SIZES = (0.5, 1.0)
"""Differences in points that a reader may want to detect."""


def section(_: str = "") -> str:
    """A line for each study of several networks: what makes the difference of two of them uncertain."""
    rows = []
    for study, spread, noise in _noisy():
        images = "–" if spread.num_images is None else f"{spread.num_images}"
        needed = [_count(study.seeds_needed(points)) for points in SIZES]
        counts = [f"{len(study.networks)}", f"{spread.num_seeds}", images]
        rows.append([f"`{study.name}`", *counts, *(f"{each:.2f}" for each in noise), *needed])
    if not rows:
        return "*No study has been run yet.*"
    heading = ["study", "networks", "seeds", "images", "one network, seeds", "difference, seeds", "difference, images"]
    heading += [f"seeds for {points:g}" for points in SIZES]
    return markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1))


Noise = tuple[float, float, float]
"""Standard deviations in points: one network's over seeds, and of the difference of two over seeds and over images."""


def noises() -> list[tuple[str, int, Noise]]:
    """Name, seeds and noise of each study of several networks."""
    return [(study.name, spread.num_seeds, noise) for study, spread, noise in _noisy()]


def _noisy() -> Iterator[tuple[Packed, Spread, Noise]]:
    for study in starting_with("findings_"):
        spread, single = study.spread, _single(study)
        if spread is not None and single is not None and len(study.networks) >= 3:
            seeds, images = (100 * math.sqrt(each) for each in (spread.between_seeds, spread.between_images))
            yield study, spread, (single, seeds, images)


def _single(study: Packed) -> float | None:
    """Standard deviation of one network's mIoU over seeds, in points: root mean square over networks of several seeds."""
    deviations = [student.deviation(study.values(network, "mean_iou")) for network in study.networks]
    known = [each**2 for each in deviations if each is not None]
    return math.sqrt(student.mean(known)) if known else None


def _count(seeds: float) -> str:
    return "no number" if seeds == math.inf else "above 1,000" if seeds > 1000 else f"{seeds:.0f}"


def closes(_: str = "") -> str:
    """What each mechanism adds on every backbone, and how much of the distance between the widest and the narrowest it closes."""
    found = {pixels: read(name) for name, pixels in TRUNKS.items()}
    studies = {pixels: study for pixels, study in found.items() if study is not None and "fcn" in study.networks}
    if not {NARROW, WIDE} <= {study.name for study in studies.values()}:
        return f"*The studies `{NARROW}` and `{WIDE}` have not both been run yet.*"
    networks = [with_own(study).networks for study in studies.values()]
    order = sorted(networks[0].items(), key=lambda item: -student.mean([run["mean_iou"] for run in item[1]]))
    sides = [_scores(study) for study in networks]
    names = [name for name, _ in order if name != "fcn" and name in networks[-1]]
    rows, changes = [], {}
    for name in names:
        cells, change = _compared(sides, name)
        rows.append([name, *cells])
        if change is not None:
            changes[name] = change
    distances = [interval(paired(wider["fcn"], networks[0]["fcn"])) for wider in networks[1:]]
    pixels = [f"{side} px" for side in studies]
    between = " and ".join(f"{far} with {side}" for side, far in zip(pixels[1:], distances, strict=True))
    words = (
        f"FCN minus FCN with {pixels[0]} is {between}, in points; the last is the distance. *Added* is the mIoU of a "
        "network minus that of FCN, *change* the last such column minus the first, on the seeds that both of these "
        "have and paired by seed; *% of the distance* is how much of it the mechanism closes on the narrowest backbone."
    )
    heading = ["network", "n", *(f"added with {side}" for side in pixels), "change", "% of the distance"]
    return "\n\n".join([words, markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1)), _clear(changes)])


def _clear(changes: dict[str, Difference]) -> str:
    """Which changes differ from 0 after Holm's correction over all, in a sentence."""
    count = sum(each.p is not None for each in changes.values())
    known = clear(changes).items()
    more, less = ([f"`{name}`" for name, each in known if (each.value > 0) == sign] for sign in (True, False))
    plural = "s" * (count != 1)
    return (
        f"After Holm's correction over {count} change{plural}, less is added by {', '.join(less) or 'none'}; more, or "
        f"less taken away, by {', '.join(more) or 'none'}."
    )


def beside(words: str) -> str:
    """`A B`: the networks of two studies, what each adds to FCN in both, and whether the order is the same.

    A network counts with the seeds that both studies have of it and of FCN.
    """
    studies = [study for name in words.split() if (study := read(name)) is not None and "fcn" in study.networks]
    if len(studies) < 2:
        return f"*The studies {words.replace(' ', ' and ')} have not both been run yet.*"
    sides = [_scores(with_own(study).networks) for study in studies]
    rows, means = [], []
    for name in studies[1].networks:
        seeds = sorted(set.intersection(*({*side.get(name, {})} & {*side["fcn"]} for side in sides)))
        if not seeds:
            continue
        means.append([student.mean([side[name][seed] for seed in seeds]) for side in sides])
        compared = ["–"] * 3
        if name != "fcn":
            gains = [_gains(side, name, seeds) for side in sides]
            compared = [*map(_over_zero, gains), interval(student.paired(gains[1], gains[0]))]
        rows.append([name, f"{len(seeds)}", *(f"{mean:.2f}" for mean in means[-1]), *compared])
    if len(means) < 2:
        return f"*The studies {words.replace(' ', ' and ')} have no seeds of one network and FCN in common.*"
    names = [f"`{study.name}`" for study in studies]
    heading = ["network", "n", *(f"{name} %" for name in names), *(f"minus FCN in {name}" for name in names), "change"]
    counts = [study.content["num_images"] for study in studies]
    images = "" if counts[0] == counts[1] else f" One was scored on {counts[0]} images, the other on {counts[1]}."
    order = f"Kendall's tau of the two orders of these {len(means)} networks is {tau(*np.array(means).T):.2f}.{images}"
    return "\n\n".join([markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1)), order])


def with_own(study: Packed) -> Packed:
    """The study; that on the narrowest backbone with the project's own mechanism, which has a study of its own there."""
    own = read("findings_star") if study.name == NARROW else None
    if own is None or OWN in study.networks:
        return study
    against_fcn = [each for each in own.content["differences"] if {each["a"], each["b"]} == {OWN, "fcn"}]
    parts = {"runs": own.networks.get(OWN, []), "differences": against_fcn}
    joined = {part: [*study.content[part], *more] for part, more in parts.items()}
    return replace(study, content=study.content | joined)


def _scores(networks: Networks) -> Scores:
    return {name: {run["seed"]: 100 * run["mean_iou"] for run in runs} for name, runs in networks.items()}


def _gains(scores: Scores, name: str, seeds: Sequence[int]) -> list[float]:
    return [scores[name][seed] - scores["fcn"][seed] for seed in seeds]


def _over_zero(values: list[float]) -> str:
    """Their mean with its interval; a dash where there is none."""
    return interval(student.paired(values, [0.0] * len(values))) if values else "–"


def _compared(sides: Sequence[Scores], name: str) -> tuple[list[str], Difference | None]:
    """Seeds, what is added on each backbone, the change from the first to the last and the share of the distance; the change."""
    shared = [side.get(name, {}).keys() & side["fcn"].keys() for side in sides]
    seeds = sorted(shared[0] & shared[-1])
    if not seeds:
        return ["0", *["–"] * (len(sides) + 2)], None
    gains = [
        _gains(side, name, [seed for seed in seeds if seed in own]) for side, own in zip(sides, shared, strict=True)
    ]
    distance = student.mean([sides[-1]["fcn"][seed] - sides[0]["fcn"][seed] for seed in seeds])
    change = student.paired(gains[-1], gains[0])
    share = f"{100 * student.mean(gains[0]) / distance:.0f}" if distance else "–"
    return [f"{len(seeds)}", *map(_over_zero, gains), interval(change), share], change
