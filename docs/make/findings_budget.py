"""Accuracy against milliseconds and memory in docs/findings.md: which mechanism wins at which budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from docs.make import findings_knobs, findings_own, findings_study
from docs.make.findings_study import Packed, read, swept
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
    base, bench = read(BASE), _bench()
    if base is None or bench is None:
        return []
    trained = _trained(base)
    every = [Measured("fcn", base.family("fcn"), base.mean("fcn", "mean_iou") or 0.0, 0.0, 0.0, 0.0)]
    for result in bench["results"]:
        network = trained.get(_key(result["case"]))
        if result["latency"] and network is not None:
            latency, memory = result["latency"]["median_ms"], result["memory"]["extra_bytes"] / 2**20
            accuracy = network.study.mean(network.network, "mean_iou") or 0.0
            family, gflops = network.study.family(network.network), network.study.flops(network.network)
            every.append(Measured(network.label, family, accuracy, gflops, latency, memory))
    return sorted(every, key=lambda each: -each.mean_iou)


class _Trained(NamedTuple):
    """A network of a study: its name there and on the page."""

    label: str
    study: Packed
    network: str


def _trained(base: Packed) -> dict[str, _Trained]:
    """Every head by default and with one other option, by what `_key` makes of a measured network."""
    networks = [_Trained(name, base, name) for name in base.networks]
    others = [*findings_knobs.settings(base), *findings_own.settings(base, findings_own.LOCAL)]
    networks += [_Trained(each.label, each.study, each.network) for each in others]
    found = {}
    for each in networks:
        runs = each.study.networks[each.network]
        stride = base.content["backbone"]["output_stride"]
        found[_name(runs[0]["head"], {"mode": runs[0]["mode"], "output_stride": stride, **swept(runs)})] = each
    return found


def _key(case: dict[str, Any]) -> str:
    """A measured network as it is looked up among the trained ones."""
    options = {name: value for name, value in case["head_options"].items() if name != "channels"}
    return _name(case["head"], {"mode": case["mode"], "output_stride": case["output_stride"], **options})


def _name(head: str, options: dict[str, Any]) -> str:
    return f"{head} {json.dumps(options, sort_keys=True)}"


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
