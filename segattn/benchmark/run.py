"""Runs cases: first the memory of each in a process of its own, then their times in turns, with the machine's limits.

Cases of one part, phase, size and batch are a group; in a sweep a group has all sizes, so that drift does not bend the curves.
The processes of a group run side by side, as many as fit into memory. Each round runs one pass of each process in a new random
order; a matrix product and a copy are two more processes. A case that is refused, runs out of memory or crashes is reported as
such, and the others continue.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segattn import __version__, records
from segattn.benchmark.cases import Prepared
from segattn.benchmark.forms import ready
from segattn.benchmark.summary import latency, limits
from segattn.cost import head_facts
from segattn.profile import in_use, memory
from segattn.profile import limits as machine_limits
from segattn.profile.environment import cores_in_use, environment, gpu_in_use
from segattn.profile.latency import in_turns
from segattn.profile.worker import OK, Outcome, Worker, first_line, kind_of
from segattn.records.bench import Case, Latency, MachineLimit, PeakMemory, Result

TARGET = "segattn.benchmark.piece:task"
_PROCESS_BYTES = 400 * 2**20
"""Memory of an idle process: Python, torch and, on a GPU, its context."""
_MOST_PROCESSES = 32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to measure."""

    device: str = "cpu"
    threads: int | None = None
    """Threads of each process; None: torch's default."""
    rounds: int = 10
    warmup: int = 2
    budget_seconds: float | None = None
    """For the rounds of all groups together; rounds stop when it is spent, but not before the third."""
    seed: int = 0
    product_size: int | None = None
    copy_size: int | None = None
    target: str = TARGET
    """The function that turns a case into a task, "module:function", with the arguments of `piece.task`."""
    timeout: float = 600.0
    """Seconds after which a process that does not answer is killed."""
    folder: str = ""
    """Where graphs are written, for forms that run from one."""


@dataclass(frozen=True)
class Position:
    """Progress of a benchmark."""

    share: float
    what: str


@dataclass
class _Entry:
    """A case and what has been measured of it so far."""

    case: Case
    prepared: Prepared | None = None
    outcome: Outcome = Outcome(OK)  # noqa: RUF009 (immutable)
    memory: PeakMemory | None = None
    latency: Latency | None = None
    group: int = 0

    def result(self) -> Result:
        return Result(
            case=self.case,
            outcome=self.outcome.kind,
            message=self.outcome.message or (self.prepared.note if self.prepared else ""),
            latency=self.latency,
            memory=self.memory,
            work=self.prepared.work if self.prepared else None,
            group=self.group,
        )


def run(
    cases: Sequence[Case],
    settings: Settings,
    *,
    suite: str = "bench",
    command: str = "",
    on_progress: Callable[[Position], object] = lambda position: None,
    on_group: Callable[[records.BenchRecord], object] = lambda record: None,
    on_notice: Callable[[str], object] = lambda notice: None,
) -> records.BenchRecord:
    """Measure every case. `on_group` gets the record so far after each group, so that a long run can be saved in between;
    `on_notice` a sentence if other processes keep the machine busy at the start.

    Raises:
        ValueError: no case, or fewer than one round.
    """
    if not cases:
        raise ValueError("no case to measure; give at least one head that has the part")
    if settings.rounds < 1 or settings.warmup < 0:
        raise ValueError(f"rounds={settings.rounds} and warmup={settings.warmup} should be at least 1 and 0")
    busy = _in_use(settings.device)
    if warning := _warning(busy):
        on_notice(warning)
    begun, reached = time.monotonic(), list[MachineLimit]()
    entries = [_Entry(case) for case in cases]

    def record() -> records.BenchRecord:
        return records.BenchRecord(
            suite=suite,
            command=command,
            environment=_environment(cases, settings, busy),
            results=[entry.result() for entry in entries],
            limits=reached,
            rounds=settings.rounds,
            warmup=settings.warmup,
            seed=settings.seed,
            seconds=time.monotonic() - begun,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            head_facts={case.head: head_facts(case.head, case.mode) for case in cases},
        )

    passes = settings.rounds + settings.warmup
    for number, entry in enumerate(entries):
        on_progress(Position(number / (len(entries) * (1 + passes)), f"memory of {name(entry.case)}"))
        _memory(entry, settings)
    measured = [entry for entry in entries if entry.outcome.ok]
    for number, group in enumerate(_groups(measured, settings.device, sizes_together=suite.startswith("sweep"))):
        done = sum(entry.group < number for entry in measured if entry.latency is not None)
        for entry in group:
            entry.group = number
        base, scale = 1 / (1 + passes), passes / (1 + passes) / len(entries)

        def told(share: float, what: str, done: int = done, size: int = len(group)) -> None:
            on_progress(Position(base + scale * (done + share * size), what))  # noqa: B023 (called within the loop)

        reached += _time(group, number, settings, len(group) / len(measured), told)
        on_group(record())
    return record()


def name(case: Case) -> str:
    """A short description of a case, for messages."""
    words = [case.label, *(word for word in (case.implementation, case.form) if word not in ("auto", "eager"))]
    return f"{' '.join(words)}, {case.part}, {case.phase}, {case.input_size[0]}x{case.input_size[1]}, {case.dtype}"


def _in_use(device: str) -> dict[str, float]:
    """What others use of the machine before anything is measured."""
    busy = {"cores in use before": cores_in_use()}
    return {**busy, "GPU in use before": gpu_in_use(device)} if device.startswith("cuda") else busy


def _warning(busy: Mapping[str, float]) -> str:
    """What makes times unreliable: half a core or more in use, or a twentieth of the GPU; empty if nothing does."""
    cores, gpu = busy["cores in use before"], busy.get("GPU in use before", 0.0)
    parts = [f"{cores:.1f} of {os.cpu_count() or 1} cores"] * (cores >= 0.5) + [f"{gpu:.0%} of the GPU"] * (gpu >= 0.05)
    if not parts:
        return ""
    return f"warning: this machine is busy, other processes use {' and '.join(parts)}: times will be too long and vary"


def _environment(cases: Sequence[Case], settings: Settings, busy: Mapping[str, float]) -> records.Environment:
    description = environment(__version__, path=Path(__file__).parent, device=settings.device)
    if settings.threads is not None:
        description["threads"] = settings.threads
    description["settings"] |= {name: f"{value:.2f}" for name, value in busy.items()}
    return records.Environment(**description, precision=", ".join(dict.fromkeys(case.dtype for case in cases)))


def _worker(target: str, arguments: Mapping[str, Any], settings: Settings) -> Worker:
    return Worker(target, arguments, device=settings.device, threads=settings.threads, timeout=settings.timeout)


def _arguments(entry: _Entry, settings: Settings) -> dict[str, Any]:
    assert entry.prepared is not None
    return {
        "case": asdict(entry.case),
        "prepared": asdict(entry.prepared),
        "device": settings.device,
        "seed": settings.seed,
    }


def _memory(entry: _Entry, settings: Settings) -> None:
    """Fill in shapes, work and memory, or the outcome if that fails."""
    try:
        entry.prepared = ready(entry.case, settings.device, settings.folder)
    except Exception as error:
        entry.outcome = Outcome(kind_of(error), first_line(error))
        return
    needed = memory.measure(
        settings.target,
        _arguments(entry, settings),
        device=settings.device,
        threads=settings.threads,
        runs=2 if (entry.case.part, entry.case.phase) == ("network", "training") else 1,  # momentum exists from the 2nd
        timeout=settings.timeout,
    )
    entry.outcome = Outcome(needed.outcome, needed.message)
    if needed.extra_bytes is not None and needed.total_bytes is not None:
        entry.memory = PeakMemory(
            extra_bytes=needed.extra_bytes,
            total_bytes=needed.total_bytes,
            method=needed.method,
            reserved_bytes=needed.reserved_bytes,
        )


def _groups(entries: Sequence[_Entry], device: str, *, sizes_together: bool = False) -> Iterator[list[_Entry]]:
    """Entries that are timed in the same rounds: of one part, phase, size and batch, as many as fit into memory together.

    With all sizes together, those of one head stay together first; the heads keep their order, so that those named next to each
    other are compared in the same rounds.
    """

    def key(entry: _Entry) -> Any:
        case = entry.case
        return case.part, case.phase, case.batch, () if sizes_together else case.input_size

    if sizes_together:
        order = list(dict.fromkeys(entry.case.label for entry in entries))
        entries = sorted(entries, key=lambda entry: order.index(entry.case.label))

    for _, members in itertools.groupby(sorted(entries, key=key), key):
        room, group, held = 0.7 * in_use.available(device), list[_Entry](), 0.0
        largest = 0
        for entry in members:
            waiting, extra = _held(entry, device)
            largest = max(largest, extra)
            if group and (held + waiting + largest > room or len(group) == _MOST_PROCESSES):
                yield group
                group, held, largest = [], 0.0, extra
            group.append(entry)
            held += waiting
        yield group


def _held(entry: _Entry, device: str) -> tuple[int, int]:
    """Bytes of an idle process, and how many more it needs while it runs."""
    if entry.memory is None:
        return _PROCESS_BYTES, 0
    if device.startswith("cuda"):  # the allocator does not return memory
        return _PROCESS_BYTES + (entry.memory.reserved_bytes or entry.memory.total_bytes), 0
    return _PROCESS_BYTES + entry.memory.total_bytes - entry.memory.extra_bytes, entry.memory.extra_bytes


def _time(
    group: Sequence[_Entry], number: int, settings: Settings, share: float, told: Callable[[float, str], None]
) -> list[MachineLimit]:
    """Fill in the latency of a group's entries, and return the machine's limits in the same rounds."""
    dtypes = list(dict.fromkeys(entry.case.dtype for entry in group))
    sizes = {dtype: settings.product_size or machine_limits.product_size(dtype, settings.device) for dtype in dtypes}
    copied = settings.copy_size or machine_limits.copy_size(settings.device)
    with ExitStack() as stack:
        workers: dict[Any, Worker] = {
            index: stack.enter_context(_worker(settings.target, _arguments(entry, settings), settings))
            for index, entry in enumerate(group)
        }
        for dtype, size in sizes.items():
            arguments = {"size": size, "dtype": dtype, "device": settings.device}
            workers[dtype] = stack.enter_context(_worker("segattn.profile.limits:product", arguments, settings))
        arguments = {"size": copied, "device": settings.device}
        workers["copy"] = stack.enter_context(_worker("segattn.profile.limits:copy", arguments, settings))
        for key, worker in list(workers.items()):
            told(0.0, f"building {name(group[key].case) if isinstance(key, int) else 'the machine limits'}")
            outcome = worker.build()
            if not outcome.ok:
                del workers[key]
                if isinstance(key, int):
                    group[key].outcome = outcome
        total, done = len(workers) * (settings.rounds + settings.warmup), itertools.count(1)
        timed = in_turns(
            workers,
            rounds=settings.rounds,
            warmup=settings.warmup,
            seed=settings.seed + number,
            budget_seconds=None if settings.budget_seconds is None else settings.budget_seconds * share,
            on_pass=lambda key: told(next(done) / total, f"times of {_title([entry.case for entry in group])}"),
        )
    for index, entry in enumerate(group):
        if index in timed:
            entry.outcome, entry.latency = timed[index].outcome, latency(timed[index].seconds)
    return limits(timed, number, sizes, copied)


def _title(cases: Sequence[Case]) -> str:
    case, sizes = cases[0], sorted({case.input_size for case in cases})
    size = " to ".join(f"{height}x{width}" for height, width in (sizes[0], *sizes[1:][-1:]))
    return f"{case.part}s, {case.phase}, {size}, batch {case.batch}"
