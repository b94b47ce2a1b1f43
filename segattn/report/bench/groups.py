"""Bench records made readable: each case beside the machine's limits and beside its reference form."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segattn import records
from segattn.records import BenchRecord
from segattn.records.bench import Case, MachineLimit, Result

ARITHMETIC, MEMORY = "arithmetic", "memory"


@dataclass(frozen=True)
class Line:
    """A result beside the limits measured in the same rounds."""

    result: Result
    limit: MachineLimit | None
    reference: Result | None
    """The same case in the reference form, in the same rounds."""

    @property
    def case(self) -> Case:
        return self.result.case

    @property
    def median_ms(self) -> float | None:
        return None if self.result.latency is None else self.result.latency.median_ms

    @property
    def images_per_second(self) -> float | None:
        return None if self.median_ms is None else self.case.batch / self.median_ms * 1000

    @property
    def extra_bytes(self) -> int | None:
        return None if self.result.memory is None else self.result.memory.extra_bytes

    @property
    def flops_per_second(self) -> float | None:
        """FLOPs of the equation by the median time."""
        if self.median_ms is None or self.result.work is None:
            return None
        return self.result.work.flops / self.median_ms * 1000

    @property
    def share(self) -> float | None:
        """Of the rate of a matrix product in that dtype."""
        if self.flops_per_second is None or self.limit is None:
            return None
        return self.flops_per_second / self.limit.product_flops

    @property
    def intensity(self) -> float | None:
        """FLOPs for each byte that the operators read and write."""
        work = self.result.work
        return None if work is None or not work.bytes else work.flops / work.bytes

    @property
    def roof(self) -> float | None:
        """FLOPs a second that the machine allows at this intensity: the product's rate or the bandwidth's, the lower one."""
        if self.intensity is None or self.limit is None:
            return None
        return min(self.limit.product_flops, self.intensity * self.limit.bandwidth)

    @property
    def roof_share(self) -> float | None:
        """Of the roof; above 1 where caches serve reads and writes that are counted as memory traffic."""
        if self.flops_per_second is None or not self.roof:
            return None
        return self.flops_per_second / self.roof

    @property
    def bound(self) -> str | None:
        """Which of the two limits the roof is."""
        if self.roof is None or self.limit is None:
            return None
        return ARITHMETIC if self.roof == self.limit.product_flops else MEMORY

    @property
    def time_ratio(self) -> float | None:
        """How many times faster than the reference form."""
        if self.median_ms is None or self.reference is None or self.reference.latency is None:
            return None
        return self.reference.latency.median_ms / self.median_ms

    @property
    def memory_ratio(self) -> float | None:
        """Extra memory as a share of the reference form's."""
        if self.extra_bytes is None or self.reference is None or self.reference.memory is None:
            return None
        return self.extra_bytes / max(self.reference.memory.extra_bytes, 1)


@dataclass(frozen=True)
class Group:
    """Results of one setting, which can be compared with one another."""

    title: str
    lines: tuple[Line, ...]

    @property
    def compares(self) -> bool:
        """Whether any line has a reference form beside it."""
        return any(line.reference is not None for line in self.lines)

    @property
    def has_forms(self) -> bool:
        """Whether the table names the form of each line."""
        return any(form_of(line.case) != "auto" for line in self.lines)

    def form(self, case: Case) -> str:
        """The form of a line: of its mechanism, or of the whole network where lines differ in that."""
        whole = any(line.case.form != "eager" for line in self.lines)
        return "eager" if whole and form_of(case) == "auto" else form_of(case)


def read(path: str | os.PathLike[str]) -> BenchRecord:
    """Read a bench record.

    Raises:
        ValueError: it is not one.
    """
    record = records.read(path)
    if not isinstance(record, BenchRecord):
        raise ValueError(f"{path}: a {record.kind} record, not one of `segattn bench`")
    return record


def lines(record: BenchRecord) -> list[Line]:
    """Every result with its limits, in the order of the record."""
    limits = {(limit.group, limit.dtype): limit for limit in record.limits}
    references = {
        _but_form(result.case): result for result in record.results if result.case.implementation == "reference"
    }
    gathered = []
    for result in record.results:
        reference = references.get(_but_form(result.case))
        limit = limits.get((result.group, result.case.dtype)) if result.latency else None
        gathered.append(Line(result, limit, None if reference is result else reference))
    return gathered


def groups(record: BenchRecord) -> list[Group]:
    """Lines by setting, in the order of the record."""
    members_by_title: dict[str, list[Line]] = {}
    for line in lines(record):
        members_by_title.setdefault(setting(line.case), []).append(line)
    return [Group(title, tuple(members)) for title, members in members_by_title.items()]


def setting(case: Case) -> str:
    """What cases of one table agree in, in words."""
    height, width = case.input_size
    rows, columns = case.map_size
    size = f"{height}x{width} pixels" if case.part == "network" else f"map {rows}x{columns} ({height}x{width} pixels)"
    options = ", ".join(f"{name}={value}" for name, value in case.backbone_options.items())
    body = f"{case.backbone} ({options})" if options else case.backbone
    whole = f"{body} at output stride {case.output_stride}, {case.mode} heads"
    return ", ".join([f"{case.part}, {case.phase}", size, f"batch {case.batch}", case.dtype, *unusual(case), whole])


def unusual(case: Case) -> list[str]:
    """Settings that are not the usual ones, in words."""
    scaled = [f"features times {case.feature_scale:g}"] * (case.feature_scale != 1)
    return ["channels-last"] * case.channels_last + ["compiled"] * case.compile + scaled


def form_of(case: Case) -> str:
    """The form of a case's mechanism, of the whole network, or both; `auto` where neither was asked for."""
    words = [word for word in (case.form, case.implementation) if word not in ("eager", "auto")]
    return " ".join(words) or "auto"


def _but_form(case: Case) -> tuple[object, ...]:
    return tuple(repr(value) for name, value in vars(case).items() if name != "implementation")


def is_bench(paths: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether all of the paths are bench records."""
    files = [Path(path) for path in paths]
    return bool(files) and all(records.kind_of(path) == "bench" for path in files)
