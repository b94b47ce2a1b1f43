"""The knobs of docs/findings.md: one option of a head at a time, against the head by default on the same seeds and scenes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docs.make.findings_study import Packed, provenance, read, starting_with, swept
from segattn.heads.parts.masked import MaskedAttention
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student
from segattn.report.shared.student import Difference

BASE = "findings_local"
OWN = "star"
"""The project's own mechanism, which has a section of its own."""


@dataclass(frozen=True)
class Setting:
    """A head with other options than its own."""

    head: str
    options: str
    """As `recurrence=3`."""
    study: Packed
    network: str
    """Its name in the study."""
    difference: Difference
    """Mean IoU minus that of the head by default, in points, paired by seed."""

    @property
    def label(self) -> str:
        return f"{self.head} {self.options}"

    @property
    def mean_iou(self) -> float:
        return student.mean(self.study.values(self.network, "mean_iou"))

    @property
    def gflops(self) -> float:
        return self.study.flops(self.network)


def settings(base: Packed) -> Iterator[Setting]:
    """Every network of the studies `knobs_*` that differs from a head of `base` in its options alone."""
    for study in starting_with("knobs_"):
        for network, runs in study.networks.items():
            head, chosen = runs[0]["head"], swept(runs)
            if head not in base.networks or head == OWN or not chosen:
                continue
            options = ", ".join(f"{name}={value}" for name, value in chosen.items())
            yield Setting(head, options, study, network, paired(runs, base.networks[head]))


def paired(runs: list[dict[str, Any]], others: list[dict[str, Any]], key: str = "mean_iou") -> Difference:
    """A score of runs minus that of others, in points, over the seeds that both have."""
    a, b = ({run["seed"]: 100 * run[key] for run in each if run.get(key) is not None} for each in (runs, others))
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return Difference(math.nan, None, None, None)
    return student.paired([a[seed] for seed in seeds], [b[seed] for seed in seeds])


def section() -> str:
    """The table, each head by default first, then what differs from it."""
    base = read(BASE)
    every = [] if base is None else list(settings(base))
    if base is None or not every:
        return "*No knob has been measured yet.*"
    rows = []
    for head in dict.fromkeys(each.head for each in every):
        usual = f"{base.mean(head, 'mean_iou'):.2f}"
        rows.append([head, "by default", f"{len(base.networks[head])}", usual, "–", f"{base.flops(head):.3f}"])
        for each in (setting for setting in every if setting.head == head):
            seeds = len(each.study.networks[each.network])
            change = interval(each.difference)
            rows.append([head, f"`{each.options}`", f"{seeds}", f"{each.mean_iou:.2f}", change, f"{each.gflops:.3f}"])
    heading = ["network", "option", "n", "mIoU %", "minus default", "GFLOPs"]
    studies = list({each.study.name: each.study for each in every}.values())
    return "\n\n".join([markdown_table(heading, rows, align="llrrrr"), *provenance(studies)])


def positions() -> str:
    """The table of `findings_positions`: each set of positions against FCN and CCNet of `findings_local`, paired by seed."""
    base, study = read(BASE), read("findings_positions")
    if base is None or study is None:
        return "*The study `findings_positions` has not been run yet.*"
    rows = []
    for network, runs in study.networks.items():
        chosen = swept(runs)
        changes = [interval(paired(runs, base.networks[name])) for name in ("fcn", "ccnet")]
        words = [chosen["positions"].replace("_", " and "), f"{chosen['recurrence']}", f"{len(runs)}"]
        rows.append([*words, f"{study.mean(network, 'mean_iou'):.2f}", *changes, f"{_gflops(chosen):.4f}"])
    heading = ["positions", "recurrences", "n", "mIoU %", "minus FCN", "minus CCNet", "GFLOPs"]
    made = f"`{study.content['command']}`; {study.content['machine']}; {study.content['date']}."
    table = markdown_table(heading, rows, align="lrrrrrr")
    return "\n\n".join(part for part in (table, made, study.missing) if part)


def _gflops(options: dict[str, Any], channels: int = 64, size: tuple[int, int] = (16, 32)) -> float:
    """Of the mechanism without masked logits, at the map of a crop of 128x256: 2 per multiply-add."""
    attention = MaskedAttention(channels, **options)
    projected = attention.key.out_channels
    layers = size[0] * size[1] * channels * (2 * projected + channels)
    return 2e-9 * attention.recurrence * (layers + attention.pairs(*size) * (projected + channels))


def interval(difference: Difference) -> str:
    """As `+0.52 (+0.10 to +0.94)`; without the interval where there is one seed, a dash where there is none."""
    if math.isnan(difference.value):
        return "–"
    if difference.low is None or difference.high is None:
        return f"{difference.value:+.2f}"
    return f"{difference.value:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})"
