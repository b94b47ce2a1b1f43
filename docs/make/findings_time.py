"""What the studies of docs/findings.md took: runs and seconds of training, of one thread each."""

from __future__ import annotations

from docs.make.findings_study import starting_with
from segattn.profile.markdown import markdown_table
from segattn.report.shared import student


def section(_: str = "") -> str:
    """A line for each packed study, and their sum."""
    studies = [study for study in starting_with("") if "differences" in study.content]
    if not studies:
        return "*No study has been run yet.*"
    rows, runs, hours = [], 0, 0.0
    for study in studies:
        seconds = [run["train_seconds"] for run in study.content["runs"]]
        processor, *_ = study.content["machine"].split(", ")
        counts = [f"{len(study.networks)}", f"{len(seconds)}", f"{student.mean(seconds):.0f}"]
        rows.append([f"`{study.name}`", *counts, f"{sum(seconds) / 3600:.2f}", processor])
        runs, hours = runs + len(seconds), hours + sum(seconds) / 3600
    rows.append(["all", "", f"{runs}", "", f"{hours:.1f}", ""])
    heading = ["study", "networks", "runs", "seconds a run", "hours", "processor"]
    return markdown_table(heading, rows, align="lrrrrl")
