"""Typed, versioned records of what was measured: plain data, read and written without torch.

`results` has the records of runs, studies and benchmarks, `measurements` what a benchmark's record is made of.
"""

from segattn.records.results import (
    SCHEMA,
    BenchRecord,
    Cost,
    CurvePoint,
    Environment,
    Example,
    PartCost,
    RunRecord,
    Scores,
    Strata,
    Stratum,
    StudyRecord,
    read,
    write,
    write_bytes,
)

__all__ = [
    "SCHEMA",
    "BenchRecord",
    "Cost",
    "CurvePoint",
    "Environment",
    "Example",
    "PartCost",
    "RunRecord",
    "Scores",
    "Strata",
    "Stratum",
    "StudyRecord",
    "read",
    "write",
    "write_bytes",
]
