"""What the studies of docs/findings.md took: runs and seconds of training, of one thread each."""

from __future__ import annotations

from docs.make.findings_study import Packed, starting_with
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student


def section(_: str = "") -> str:
    """A line for each packed study, and their sum."""
    studies = [study for study in starting_with("") if "differences" in study.content]
    if not studies:
        return "*No study has been run yet.*"
    rows = [[f"`{study.name}`", *_row(study)] for study in studies]
    runs, hours = (sum(each(study) for study in studies) for each in (_runs, _hours))
    rows.append(["all", "", f"{runs}", "", f"{hours:.1f}", ""])
    heading = ["study", "networks", "runs", "seconds a run", "hours", "processor"]
    return markdown_table(heading, rows, align="lrrrrl")


def _row(study: Packed) -> list[str]:
    hours = _hours(study)
    mean = f"{3600 * hours / _runs(study):.0f}"
    processor, *_ = study.content["machine"].split(", ")
    return [f"{len(study.networks)}", f"{_runs(study)}", mean, f"{hours:.2f}", processor]


def _runs(study: Packed) -> int:
    return len(study.content["runs"])


def _hours(study: Packed) -> float:
    return _runs(study) * student.mean([run["train_seconds"] for run in study.content["runs"]]) / 3600
