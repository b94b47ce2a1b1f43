"""The project's own mechanism in docs/findings.md: against every published one, and which of them it dominates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docs.make.findings_knobs import OWN, interval, paired
from docs.make.findings_study import UNKNOWN, Packed, clear, provenance, read, swept
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student
from segattn.report.shared.student import Difference

LOCAL = ("findings_star", "knobs_star")
"""Its studies on the backbone and scenes of `findings_local`."""


@dataclass(frozen=True)
class Against:
    """One setting of the project's own mechanism beside the other networks of a study."""

    label: str
    """As `star` or `star recurrence=1`."""
    study: Packed
    network: str
    base: Packed

    @property
    def mean_iou(self) -> float:
        return student.mean(self.study.values(self.network, "mean_iou"))

    @property
    def gflops(self) -> float:
        return self.study.flops(self.network)

    def difference(self, other: str) -> Difference:
        """Mean IoU minus that of another network, in points, paired by seed."""
        return paired(self.study.networks[self.network], self.base.networks[other])

    def dominated(self, others: list[str]) -> list[str]:
        """Those whose mechanism costs as much or more and that are less accurate, after Holm's correction over `others`."""
        differences = {other: self.difference(other) for other in others}
        if any(each.p is None for each in differences.values()):
            return []
        return [
            other
            for other, each in clear(differences).items()
            if each.value > 0 and self.base.flops(other) >= self.gflops
        ]


def settings(base: Packed, names: Sequence[str]) -> list[Against]:
    """The project's own mechanism with each of the options that were tried, in the studies `names`."""
    every = []
    for study in filter(None, map(read, names)):
        for network, runs in study.networks.items():
            if runs[0]["head"] == OWN:
                options = [f"{name}={value}" for name, value in swept(runs).items()]
                every.append(Against(" ".join([OWN, *options]), study, network, base))
    return every


def section(words: str) -> str:
    """`BASE STUDY ...`: a line for each network of the study BASE, and a sentence for each setting of the own mechanism."""
    name, *names = words.split()
    base = read(name)
    every = [] if base is None else settings(base, names)
    if base is None or not every:
        return f"*No study of `{OWN}` has been run on this backbone yet.*"
    others = [network for network, runs in base.networks.items() if runs[0]["head"] != OWN]
    rows = [[each.label, f"{each.gflops:.3f}", f"{each.mean_iou:.2f}", *["–"] * len(every)] for each in every]
    for other in others:
        differences = [interval(each.difference(other)) for each in every]
        rows.append([other, f"{base.flops(other):.3f}", f"{base.mean(other, 'mean_iou'):.2f}", *differences])
    heading = ["network", "GFLOPs", "mIoU %", *(f"{each.label} minus it" for each in every)]
    table = markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1))
    sentences = [_sentence(each, others) for each in every]
    return "\n\n".join([table, *sentences, *provenance([each.study for each in every])])


def second_recurrence() -> str:
    """What the second recurrence adds on the backbone of `findings_local`, in points, paired by seed."""
    both, once = (read(name) for name in LOCAL)
    if both is None or once is None or OWN not in both.networks or not once.networks:
        return UNKNOWN.strip("()")
    with_one = next(iter(once.networks.values()))
    return interval(paired(both.networks[OWN], with_one))


def _sentence(each: Against, others: list[str]) -> str:
    differences = [each.difference(other) for other in others]
    if any(difference.p is None for difference in differences):
        return f"**{each.label}**: one common seed tells it from no network."
    seeds = len({run["seed"] for run in each.study.networks[each.network]})
    dominated = ", ".join(f"`{other}`" for other in each.dominated(others)) or "none"
    correction = f" (Holm's correction over {len(others)} networks)" if len(others) > 1 else ""
    return (
        f"**{each.label}** ({seeds} seeds) is more accurate than these, and its mechanism costs no more FLOPs{correction}: "
        f"{dominated}."
    )
