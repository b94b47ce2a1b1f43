"""Pack finished studies for docs/findings.md: python -m docs.make.findings_records STUDY ...

Writes docs/records/findings/NAME.json, NAME being that of the study's folder: the scores of every run, and what is computed from
single images, whose counts are not committed: the difference of every two networks, with its interval over seeds and images.
Scores on a test split are packed where a run's folder has them in test.json. Of a study that is not finished, the seeds count
that every network has. Runs that were planned and do not count are named. Packing a study again replaces its file.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from segattn import records
from segattn.records import RunRecord
from segattn.report.shared import student
from segattn.report.shared.text import listing
from segattn.report.study.contrast import contrast
from segattn.report.study.rows import Row, Run
from segattn.report.study.study import Study, load
from segattn.study.collect import differing

TESTED = "test.json"
FOLDER = Path(__file__).parents[1] / "records/findings"


def pack(folder: Path) -> dict[str, Any]:
    """What is committed of a study: `runs`, `differences`, `missing`, and how they were made.

    Raises:
        ValueError: no finished run in the folder, no seed that every network has, a damaged file, or runs that differ in settings
            which the study does not vary.
    """
    whole = load(folder)
    varied = {path for record in whole.studies for path in record.swept}
    if others := [path for path in differing(run.record for run in whole.runs) if path not in varied]:
        raise ValueError(
            f"{folder}: the runs differ in {', '.join(others)}, which the study does not vary; pack them separately"
        )
    study = _complete(whole)
    plan = records.read_json(folder / "plan.json") if (folder / "plan.json").exists() else {}
    finished = {run.folder.name for run in study.runs}
    first, where = study.first, study.first.environment
    packed = [_run(row, run) for row in study.rows for run in row.runs]
    sizes = sorted({run["test"]["num_images"] for run in packed if "test" in run})
    if len(sizes) > 1:
        raise ValueError(
            f"{folder}: {TESTED} is of {listing([f'{size:,}' for size in sizes])} images; score all runs on as many"
        )
    return {
        "experiment": first.experiment,
        "command": study.studies[0].command if study.studies else "",
        "machine": f"{where.processor}, {where.threads} thread{'s' * (where.threads != 1)}, {where.precision}",
        "date": max(run.record.created for run in study.runs)[:10],
        "protocol": {name: first.config.get(name) for name in ("data", "augmentation", "optimization", "features")},
        "backbone": {
            name: first.config.get("model", {}).get(name)
            for name in ("backbone", "backbone_options", "output_stride", "pretrained", "init_head")
        },
        "num_images": first.scores.num_images,
        "class_names": first.class_names,
        "missing": sorted(name for name in _planned(plan) if name not in finished),
        "runs": packed,
        "differences": _differences(study),
    }


def _complete(study: Study) -> Study:
    """The study with the seeds that every network has."""
    seeds = set.intersection(*({run.record.seed for run in row.runs} for row in study.rows))
    if not seeds:
        names = listing(
            [f"{row.label} has {', '.join(str(run.record.seed) for run in row.runs)}" for row in study.rows]
        )
        raise ValueError(f"no seed that every network has: {names}")
    rows = [replace(row, runs=[run for run in row.runs if run.record.seed in seeds]) for row in study.rows]
    return replace(study, rows=sorted(rows, key=lambda row: -row.mean_iou))


def _planned(plan: dict[str, Any]) -> list[str]:
    return [str(run["folder"]) for run in plan.get("runs", [])]


def _run(row: Row, run: Run) -> dict[str, Any]:
    record = run.record
    scores: dict[str, Any] = {
        "network": row.label,
        "head": row.head,
        "mode": row.mode,
        "swept": row.swept,
        "seed": record.seed,
        "mean_iou": _short(record.scores.mean_iou),
        "iou": [_short(value) for value in record.scores.iou],
        "gates": {name: _short(value) for name, value in (record.gates or {}).items()},
        "train_seconds": round(record.train_seconds, 1),
    }
    return scores | _details(record) | _cost(record) | _tested(run.folder)


def _tested(folder: Path) -> dict[str, Any]:
    """The scores in test.json, where `segattn evaluate RUN --split test -o RUN/test.json` has written them.

    Raises:
        ValueError: they are of another split, older than the network, or damaged.
    """
    path = folder / TESTED
    if not path.exists():
        return {}
    scores = records.read_json(path)
    if not isinstance(scores, dict) or not {"split", "mean_iou", "iou", "num_images"} <= scores.keys():
        raise ValueError(f"{path}: no scores; run segattn evaluate with --split test -o {path}")
    if scores["split"] != "test":
        raise ValueError(f"{path}: of the split {scores['split']}; run segattn evaluate with --split test")
    if is_stale(folder):
        raise ValueError(
            f"{path}: older than record.json; python -m docs.make.findings_tested scores the network again"
        )
    iou = [_short(value) for value in scores["iou"]]
    return {"test": {"mean_iou": _short(scores["mean_iou"]), "iou": iou, "num_images": scores["num_images"]}}


def is_stale(folder: Path) -> bool:
    """Whether the run's scores on the test split are older than the run."""
    return (folder / TESTED).stat().st_mtime < (folder / "record.json").stat().st_mtime


def _details(record: RunRecord) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if (strata := record.strata) is not None:
        details["boundary"] = _short(strata.boundary_mean_iou)
        for kind in ("sizes", "widths"):
            for part in getattr(strata, kind):
                known = [value for value in part.iou if value is not None]
                details[part.name] = _short(student.mean(known)) if known else None
    if (without := record.without_attention) is not None:
        details["without"] = {"mean_iou": _short(without.mean_iou), "iou": [_short(value) for value in without.iou]}
        details["without"] |= {"boundary": _short(without.boundary_mean_iou)}
        details["without"] |= {
            k: _short(v) for part in (without.sizes, without.widths) for k, v in (part or {}).items()
        }
    return details


def _cost(record: RunRecord) -> dict[str, Any]:
    if record.cost is None:
        return {}
    parts = {"mechanism": record.cost.mechanism, "head": record.cost.head_total, "whole": record.cost.network}
    return {"flops": {name: part.flops for name, part in parts.items() if part is not None}} | {
        "parameters": {name: part.parameters for name, part in parts.items() if part is not None}
    }


def _differences(study: Study) -> list[dict[str, Any]]:
    """Every two rows: mean IoU of the first minus that of the second."""
    differences = []
    for a, b in itertools.combinations(study.rows, 2):
        compared = contrast(a, b)
        differences.append(
            {
                "a": a.label,
                "b": b.label,
                "test": compared.test,
                **{name: _short(value) for name, value in vars(compared.difference).items()},
                "spread": None if compared.spread is None else vars(compared.spread),
            }
        )
    return differences


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for folder in parser.parse_args().studies:
        path = FOLDER / f"{folder.resolve().name}.json"
        try:
            packed = pack(folder)
        except ValueError as error:
            parser.error(str(error))
        text = json.dumps(packed, indent=None, separators=(",", ":"))
        path.write_text(text.replace('{"network"', '\n{"network"').replace('{"a"', '\n{"a"') + "\n", encoding="utf-8")
        print(f"{path}: {len(packed['runs'])} runs, {len(packed['missing'])} missing, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
