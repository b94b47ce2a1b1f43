"""Small and hard objects in docs/findings.md: what other losses and a detail branch do for thin, small and rare things of FCN."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from docs.make.findings_knobs import interval, paired
from docs.make.findings_study import Packed, provenance, read, starting_with, swept
from segattn import heads
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student
from segattn.report.shared.student import Difference

USUAL = {"loss": "ce", "class_balance": "log", "ohem": False}
"""The settings that are swept, by the last part of their names, as every other study has them."""
COLUMNS = {"mIoU": "mean_iou", "boundary": "boundary", "small": "small", "thin pixels": "thin"}
THIN = ("pole", "traffic light", "traffic sign", "person", "rider", "bicycle")
"""Classes whose things are a few pixels wide; five of them are among the six of the fewest pixels."""
RARE = ("train", "truck", "bus")
"""Classes of the fewest scenes: 47, 58 and 66 % of the first 1,500 for training."""
GROUPS = {"thin classes": THIN, "rare classes": RARE}
MECHANISMS = "findings_star"
HEADS = ("ccnet", "star")
"""Mechanisms with the usual loss, for scale: what a better context does for the same things."""


@dataclass(frozen=True)
class Change:
    """A loss, branch or mechanism, and what it adds to FCN with the usual loss, in points, paired by seed."""

    label: str
    head: str
    seeds: int
    gains: dict[str, Difference]
    """By the names of `COLUMNS` and `GROUPS`."""


def section(_: str = "") -> str:
    """A line for each loss, branch and mechanism: points above cross-entropy, paired by seed, the largest gain first."""
    studies = _studies()
    usual = _usual(studies)
    if usual is None:
        return "*No loss has been tried yet.*"
    scores = [_values(usual, key) for key in COLUMNS.values()]
    scores += [[_of(names, run, studies[0]) for run in usual] for names in GROUPS.values()]
    rows = [["ce", f"{len(usual)}", *(f"{student.mean(each):.1f}" if each else "–" for each in scores)]]
    rows += [[each.label, f"{each.seeds}", *map(interval, each.gains.values())] for each in _changes(usual, studies)]
    heading = ["loss", "n", *(f"{name} %" if name == "mIoU" else name for name in COLUMNS), *GROUPS]
    table = markdown_table(heading, rows, align="l" + "r" * (len(heading) - 1))
    return "\n\n".join([table, *provenance(studies)])


def changes() -> list[Change]:
    """Everything that was tried, the largest gain first; none where the usual loss has not been run."""
    studies = _studies()
    usual = _usual(studies)
    return [] if usual is None else _changes(usual, studies)


def _changes(usual: list[dict[str, Any]], studies: list[Packed]) -> list[Change]:
    tried = [(runs, study) for study in studies for runs in study.networks.values() if _is_tried(runs, study)]
    found = [_change(_words(runs), runs, usual, study) for runs, study in tried]
    return sorted(found, key=lambda each: -each.gains["mIoU"].value)


def _studies() -> list[Packed]:
    """Those of losses and branches, and that of mechanisms with the usual loss."""
    return [*starting_with("hard_"), *filter(None, [read(MECHANISMS)])]


def _usual(studies: list[Packed]) -> list[dict[str, Any]] | None:
    """FCN with the usual loss, of the same machine as the other losses."""
    every = (runs for study in studies if study.name != MECHANISMS for runs in study.networks.values())
    return next(filter(_is_usual, every), None)


def _is_tried(runs: list[dict[str, Any]], study: Packed) -> bool:
    return runs[0]["head"] in HEADS if study.name == MECHANISMS else not _is_usual(runs)


def _is_usual(runs: list[dict[str, Any]]) -> bool:
    """Whether the runs are FCN with the loss of `findings_local`."""
    return runs[0]["head"] == "fcn" and swept(runs).items() <= USUAL.items()


def _change(label: str, runs: list[dict[str, Any]], usual: list[dict[str, Any]], study: Packed) -> Change:
    gains = {name: paired(runs, usual, key) for name, key in COLUMNS.items()}
    for name, classes in GROUPS.items():
        both = ([{**run, "of_group": _of(classes, run, study) / 100} for run in each] for each in (runs, usual))
        gains[name] = paired(*both, "of_group")
    return Change(label, runs[0]["head"], len({run["seed"] for run in runs} & {run["seed"] for run in usual}), gains)


def _values(runs: list[dict[str, Any]], key: str) -> list[float]:
    return [100 * run[key] for run in runs if run.get(key) is not None]


def _of(names: Iterable[str], run: dict[str, Any], study: Packed) -> float:
    """Mean IoU in points over those of these classes that occur."""
    of_class = dict(zip(study.content["class_names"], run["iou"], strict=True))
    return 100 * student.mean([of_class[name] for name in names if of_class.get(name) is not None])


def _words(runs: list[dict[str, Any]]) -> str:
    """As `ce + boundary, class_balance=log`; `ce + dice, ccnet` or `ce, detail branch` of a head that is not FCN."""
    head, chosen = runs[0]["head"], swept(runs)
    loss = [str(chosen.pop("loss", "ce"))] if head != "fcn" or "loss" in chosen else []
    words = [*loss, *(f"{name}={str(value).lower()}" for name, value in chosen.items())]
    if head != "fcn":
        words.append(head if head in heads.names() else f"{head.rpartition('.')[2]} branch")
    return ", ".join(words)
