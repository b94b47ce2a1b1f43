"""What every kind of record has: the version of its schema, and where its figures were measured."""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEMA = 1
"""Fields are never renamed within a version; a new field has a default, so that older records still read."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a figure was measured."""

    segattn: str
    commit: str | None
    python: str
    torch: str
    system: str
    processor: str
    device: str
    """`cpu` or the GPU's name."""
    threads: int
    precision: str
    """Arithmetic of the forward pass: `fp32`, `bf16` or `fp16`."""
    cores: int | None = None
    """Logical processors that the process may use."""
    clock_mhz: float | None = None
    """Of the processor, at the time of measurement; None where the system does not report it."""
    governor: str | None = None
    """The governor of the processor's clock; None where the system does not report it."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of torch, OpenMP and the device, where they affect times: instruction set, thread binding, driver, power limit."""
