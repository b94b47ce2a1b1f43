"""Synthetic bench records: round numbers that can be checked in the head. Nothing here was measured."""

from __future__ import annotations

import dataclasses

from segattn.records import BenchRecord
from segattn.records.bench import Case, Latency, MachineLimit, PeakMemory, Result, Work
from tests.report import fabricate

MEBIBYTE = 2**20


def case(head: str = "ccnet", **changes: object) -> Case:
    """A mechanism on 97x97."""
    plain = Case(
        head=head, mode="faithful", part="mechanism", phase="inference", implementation="auto", backbone="resnet101",
        output_stride=8, num_classes=19, input_size=(769, 769), map_size=(97, 97), batch=1, dtype="fp32", channels_last=False,
        compile=False,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def result(
    head: str = "ccnet", *, ms: float | None = 100.0, mebibytes: float = 50.0, gflops: float = 16.0, moved: float = 4e8,
    outcome: str = "ok", message: str = "", **changes: object,
) -> Result:  # fmt: skip
    """Times of 0.9, 1, and 1.2 of `ms`."""
    latency = None if ms is None else Latency(
        samples_ms=[0.9 * ms, ms, 1.2 * ms], median_ms=ms, lower_quartile_ms=0.95 * ms, upper_quartile_ms=1.1 * ms,
        p95_ms=1.18 * ms,
    )  # fmt: skip
    extra = round(mebibytes * MEBIBYTE)
    memory = None if ms is None else PeakMemory(extra_bytes=extra, total_bytes=extra + 30 * MEBIBYTE, method="made up")
    macs = round(gflops * 5e8)
    work = Work(macs=macs, flops=2 * macs, other=macs // 100, bytes=round(moved))
    return Result(
        case=case(head, **changes), outcome=outcome, message=message, latency=latency, memory=memory, work=work
    )


def record(results: list[Result], **changes: object) -> BenchRecord:
    """On a machine of 400 GFLOP/s and 20 GB/s: the ridge is at 20 FLOPs for each byte."""
    limits = [
        MachineLimit(
            group=0, dtype="fp32", product_size=2048, product_flops=4e11, product_flops_best=5e11, copy_bytes=512 * MEBIBYTE,
            bandwidth=2e10, bandwidth_best=2.2e10,
        )
    ]  # fmt: skip
    plain = BenchRecord(
        suite="bench", command="segattn bench", environment=fabricate.ENVIRONMENT, results=results, limits=limits, rounds=3,
        warmup=1, seed=0, seconds=17.0, created="2026-01-02T03:04:05+00:00",
        head_facts={result.case.head: fabricate.facts(result.case.head) for result in results},
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def comparison() -> BenchRecord:
    """Two heads in two forms, and one that ran out of memory."""
    return record(
        [
            result("ccnet", ms=200, mebibytes=60, implementation="reference"),
            result("ccnet", ms=100, mebibytes=15, implementation="fast"),
            result("reconet", ms=400, mebibytes=800, gflops=0.8, moved=2e9, implementation="reference"),
            result("reconet", ms=50, mebibytes=40, gflops=0.8, moved=2e8, implementation="fast"),
            result("danet", ms=None, implementation="fast", outcome="out of memory", message="tried to allocate 9 GB"),
        ]
    )


def sweep(sides: tuple[int, ...] = (17, 33, 65, 129)) -> BenchRecord:
    """Exact powers of N = side^2: times cross at N = 1000, memory at N = 4000."""
    results = []
    for side in sides:
        N = side**2
        size = {"map_size": (side, side), "input_size": (8 * side - 7, 8 * side - 7), "implementation": "reference"}
        results += [
            result("non_local", ms=(N / 1000) ** 2, mebibytes=(N / 1000) ** 2, gflops=N**2 / 1e6, **size),
            result("ccnet", ms=(N / 1000) ** 1.5, mebibytes=0.5 * (N / 1000) ** 1.5, gflops=N**1.5 / 1e6, **size),
            result("flanet", ms=N / 1000 * 3, mebibytes=8 * (N / 1000) ** 0.5, gflops=N / 1e3, **size),
        ]
    return record(results, suite="sweep size", limits=[])


def networks(heads: list[str]) -> BenchRecord:
    """Whole networks at the reference size: 100, 110, ... ms and 1000, 990, ... MiB."""
    size = {"part": "network", "input_size": (769, 769)}
    return record(
        [result(head, ms=100 + 10 * n, mebibytes=1000 - 10 * n, **size) for n, head in enumerate(heads)]
        + [result(head, ms=7, mebibytes=7) for head in heads]  # mechanisms, which say less
    )
