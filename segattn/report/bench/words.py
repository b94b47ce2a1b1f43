"""A bench record in words: the machine and its limits, what failed, and what the columns mean."""

from __future__ import annotations

from collections.abc import Sequence

from segattn.records import BenchRecord
from segattn.report.bench.groups import Group, Line, groups, unusual
from segattn.report.shared.text import MISSING

TRAINING_NOTE = (
    "Training counts as three forward passes: the backward pass of a product is two products of the same size."
)


def number(value: float | None) -> str:
    """Three significant digits, without an exponent.

    >>> number(1234.5), number(12.345), number(0.01234)
    ('1,234', '12.3', '0.0123')
    """
    if value is None:
        return MISSING
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.3g}"


def machine_text(record: BenchRecord) -> str:
    """The machine in one line."""
    where = record.environment
    device = where.processor if where.device == "cpu" else where.device
    threads = f"{where.threads} thread{'s' * (where.threads != 1)}"
    clock = f", {where.clock_mhz:,.0f} MHz" if where.clock_mhz else ""
    governor = f" ({where.governor})" if where.governor else ""
    return f"{device}, {threads}{clock}{governor}, torch {where.torch}, {where.system}"


def limits_text(record: BenchRecord) -> list[str]:
    """The machine's measured limits, one line per dtype: medians over the groups' rounds, as a range where they differ."""
    sentences = []
    for dtype in dict.fromkeys(limit.dtype for limit in record.limits):
        own = [limit for limit in record.limits if limit.dtype == dtype]
        best = max(limit.product_flops_best for limit in own)
        size = own[0].product_size
        sentences.append(
            f"{dtype}: {_range([limit.product_flops / 1e9 for limit in own])} GFLOP/s for products of {size} x {size}"
            f" (best {best / 1e9:,.0f})"
        )
    if record.limits:
        rates = _range([limit.bandwidth / 1e9 for limit in record.limits])
        copied = record.limits[0].copy_bytes / 2**20
        sentences.append(f"memory: {rates} GB/s read and written for a copy of {copied:,.0f} MiB")
    return sentences


def trouble(group: Group) -> list[str]:
    """A sentence for each case that has no figures, or lacks some."""
    return [
        f"{_label(line, group)}: {line.result.outcome}" + (f": {line.result.message}" if line.result.message else "")
        for line in group.lines
        if line.result.outcome != "ok" or line.result.message
    ]


def notes(record: BenchRecord) -> list[str]:
    """What the columns mean, and where they were measured."""
    methods = dict.fromkeys(result.memory.method for result in record.results if result.memory)
    sentences = [
        f"{record.rounds} interleaved rounds after {record.warmup} for warm-up (fewer where the time budget ran out); median,"
        " quartiles and 95th percentile over the rounds.",
        f"Extra: peak memory above module and inputs, in a separate process ({', '.join(methods) or 'not measured'}).",
        "GFLOPs: 2 per multiply-add of the equation, whichever form computes it. % of product: share of the rate of a matrix"
        " product in that dtype, timed in the same rounds. FLOP/byte: FLOPs over the bytes that the operators read and write.",
    ]
    if any(result.case.phase == "training" for result in record.results):
        sentences.append(TRAINING_NOTE)
    if any(result.case.dtype in ("bf16", "fp16") for result in record.results):
        sentences.append("bf16 and fp16: autocast with weights in fp32, as in training and evaluation.")
    sentences += schedules(record)
    return [*sentences, *limits_text(record), f"Measured on {machine_text(record)}."]


def schedules(record: BenchRecord) -> list[str]:
    """How long the study's 80,000 steps would take at the measured speed, one sentence per setting that trains networks."""
    sentences = []
    for group in groups(record):
        times = [
            f"{_label(line, group)} {number(line.median_ms * 80_000 / 3.6e6)}"
            for line in group.lines
            if line.median_ms is not None and (line.case.part, line.case.phase) == ("network", "training")
        ]
        if times:
            case = group.lines[0].case
            what = ", ".join([f"batch {case.batch}", case.dtype, *unusual(case)])
            sentences.append(f"80,000 such steps ({what}), without data loading, in hours: {', '.join(times)}.")
    return sentences


def _label(line: Line, group: Group) -> str:
    """Head or network, and form where the group has several."""
    return f"{line.case.label} ({group.form(line.case)})" if group.has_forms else line.case.label


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:,.0f}" if f"{low:,.0f}" == f"{high:,.0f}" else f"{low:,.0f} to {high:,.0f}"
