"""What was run and where: configurations and environments side by side, what they share and where they differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from segattn.report.study.rows import Run
from segattn.report.study.settings import LATER, flatten, is_under, text
from segattn.report.study.study import Study

BY_DESIGN = ("name", "seed", "model.head", "model.mode", "model.head_options")
"""Settings that are meant to differ between the runs of a comparison."""
_NAMES = 4
_VALUES = 30
"""Most that are listed of one setting."""


@dataclass(frozen=True)
class Setting:
    """One setting: its value in every run, or each value with the runs that have it."""

    key: str
    values: list[tuple[str, str]]
    """(value, runs that have it); the second is empty where all agree, and of the last of many values."""
    flagged: bool
    """The runs differ where a comparison wants them equal."""


def settings(study: Study) -> list[Setting]:
    """The configurations as resolved, one setting a line, those that differ first."""
    swept = tuple(path for each in study.studies for path in each.swept)
    return _merge([(run, flatten(run.record.config)) for run in study.runs], (*BY_DESIGN, *swept))


def environments(study: Study) -> list[Setting]:
    """Versions and machines."""
    by_run = []
    for run in study.runs:
        values = dataclasses.asdict(run.record.environment)
        by_run.append((run, {key: text(value) for key, value in values.items()}))
    return _merge(by_run, ())


def measures(study: Study) -> list[Setting]:
    """How the runs were scored: definition of the metric, inference, images, iterations."""
    by_run = []
    for run in study.runs:
        record = run.record
        values = {"mIoU": record.scores.definition, "inference": record.scores.inference}
        values |= {"images": str(record.scores.num_images), "iterations": f"{record.iterations:,}"}
        values |= {"ignored label": str(record.ignore_index), "split": f"{record.dataset} {record.split}"}
        by_run.append((run, values))
    return _merge(by_run, ())


def other_training(study: Study) -> list[str]:
    """Which settings and ways of scoring differ between the runs, beside those that a comparison or a sweep varies."""
    return [*_differing("settings", settings(study)), *_differing("scoring", measures(study))]


def _differing(kind: str, group: list[Setting]) -> list[str]:
    keys = [setting.key for setting in group if setting.flagged]
    return [f"The runs differ in {kind}: {', '.join(keys)}."] if keys else []


def warnings(study: Study) -> list[str]:
    """Why the rows of the table are not fully comparable, one sentence for each reason."""
    reasons = [*other_training(study), *_differing("environment", environments(study))]
    sentences = [f"{reason} See Protocol." for reason in reasons]
    if len({row.n for row in study.rows}) > 1:
        sentences.append("The rows have different numbers of seeds; see column n.")
    return sentences


def _merge(values: list[tuple[Run, dict[str, str]]], by_design: tuple[str, ...]) -> list[Setting]:
    keys = dict.fromkeys(key for _, of_run in values for key in of_run)
    merged = []
    for key in keys:
        holders: dict[str, list[Run]] = {}
        for run, of_run in values:
            holders.setdefault(of_run.get(key, LATER.get(key, "(not set)")), []).append(run)
        differs = len(holders) > 1
        pairs = [(value, _runs_text(runs) if differs else "") for value, runs in list(holders.items())[:_VALUES]]
        pairs += [(f"and {len(holders) - _VALUES:,} more values", "")] if len(holders) > _VALUES else []
        merged.append(Setting(key, pairs, differs and not is_under(key, by_design)))
    return sorted(merged, key=lambda setting: not setting.flagged)


def _runs_text(runs: list[Run]) -> str:
    names = [f"{run.record.head} s{run.record.seed}" for run in runs]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
