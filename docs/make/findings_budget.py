"""Accuracy against milliseconds and memory in docs/findings.md: which mechanism wins at which budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from docs.make import findings_study
from docs.make.findings_knobs import OWN
from docs.make.findings_study import read
from segattn.profile.markdown import markdown_table
from segattn.report.study.figures import pareto

BASE = "findings_local"
RECORD = "bench_local.json"
"""Of `segattn bench --checkpoint`, beside the packed studies: the mechanisms of the networks of `BASE` on a whole scene."""


@dataclass(frozen=True)
class Measured:
    """One mechanism: what it costs, and the mIoU of its network in points."""

    network: str
    family: str
    mean_iou: float
    gflops: float
    """At the crop."""
    milliseconds: float
    mebibytes: float


def measured() -> list[Measured]:
    """FCN, which has no mechanism, and every mechanism that was measured and trained; the most accurate first."""
    base, star, bench = read(BASE), read("findings_star"), _bench()
    if base is None or bench is None:
        return []
    timed = {case["case"]["head"]: case for case in bench["results"] if case["latency"]}
    every = [Measured("fcn", base.family("fcn"), base.mean("fcn", "mean_iou") or 0.0, 0.0, 0.0, 0.0)]
    for name, case in timed.items():
        study = star if name == OWN else base
        if study is not None and name in study.networks:
            latency, memory = case["latency"]["median_ms"], case["memory"]["extra_bytes"] / 2**20
            accuracy = study.mean(name, "mean_iou") or 0.0
            every.append(Measured(name, study.family(name), accuracy, study.flops(name), latency, memory))
    return sorted(every, key=lambda each: -each.mean_iou)


def _bench() -> dict[str, Any] | None:
    path = findings_study.RECORDS / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def section(_: str = "") -> str:
    """A line for each mechanism, with the budgets at which no cheaper one is as accurate."""
    every, bench = measured(), _bench()
    if not every or bench is None:
        return "*Time and memory have not been measured yet.*"
    costs = {"FLOPs": "gflops", "ms": "milliseconds", "MiB": "mebibytes"}
    fronts = {
        words: {every[index].network for index in pareto([(getattr(each, cost), each.mean_iou) for each in every])}
        for words, cost in costs.items()
    }
    rows = []
    for each in every:
        on = [words for words, front in fronts.items() if each.network in front]
        numbers = [f"{each.mean_iou:.2f}", f"{each.gflops:.3f}", f"{each.milliseconds:.1f}", f"{each.mebibytes:.1f}"]
        rows.append([each.network, *numbers, ", ".join(on) or "–"])
    table = markdown_table(["network", "mIoU %", "GFLOPs", "ms", "MiB", "on the front of"], rows, align="lrrrrl")
    where = bench["environment"]
    machine = f"{where['processor']}, {where['threads']} thread{'s' * (where['threads'] != 1)}, {where['precision'] or 'fp32'}"
    return "\n\n".join([table, f"    {bench['command']}", f"{machine}, {bench['created'][:10]}."])
