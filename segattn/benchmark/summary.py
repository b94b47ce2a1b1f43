"""Samples summarised as figures: the latency of a case, the limits of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segattn.profile.latency import Timed, quantile
from segattn.records.bench import Latency, MachineLimit


def latency(seconds: Sequence[float]) -> Latency | None:
    """Median, quartiles and 95th percentile; None without samples."""
    if not seconds:
        return None
    samples = [1000 * second for second in seconds]
    return Latency(
        samples_ms=[round(sample, 4) for sample in samples],
        median_ms=quantile(samples, 0.5),
        lower_quartile_ms=quantile(samples, 0.25),
        upper_quartile_ms=quantile(samples, 0.75),
        p95_ms=quantile(samples, 0.95),
    )


def limits(timed: Mapping[Any, Timed], group: int, sizes: Mapping[str, int], copied: int) -> list[MachineLimit]:
    """One limit for each dtype in which the product could be measured."""
    copies = timed["copy"].seconds if "copy" in timed else []
    return [
        MachineLimit(
            group=group,
            dtype=dtype,
            product_size=size,
            product_flops=2 * size**3 / quantile(timed[dtype].seconds, 0.5),
            product_flops_best=2 * size**3 / min(timed[dtype].seconds),
            copy_bytes=copied,
            bandwidth=2 * copied / quantile(copies, 0.5),
            bandwidth_best=2 * copied / min(copies),
        )
        for dtype, size in sizes.items()
        if copies and dtype in timed and timed[dtype].seconds
    ]
