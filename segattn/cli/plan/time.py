"""The time of a step for `segattn plan`: an option, from a record, or measured now; never a guess."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from segattn import records
from segattn.benchmark import peak
from segattn.benchmark.peak import Case
from segattn.cli.plan.arguments import PlanArguments
from segattn.profile import in_use
from segattn.profile.liveness import Device

NO_STEP = (
    "no step was measured; give --measure (measure it now), --bench FILE (a record of segattn bench) or --step-seconds"
)


def is_asked_for(chosen: PlanArguments) -> bool:
    """Whether an option sets the time of a step."""
    return chosen.measure or chosen.bench is not None or chosen.step_seconds is not None


def source(chosen: PlanArguments) -> str:
    """The source of the times, in words."""
    if chosen.bench is not None:
        what = "steps" if chosen.budget is None else "times"
        where = records.read(chosen.bench).environment
        machine = where.processor if where.device == "cpu" else where.device
        return f"{what} in {chosen.bench}, measured on {machine}"
    if chosen.measure:
        return f"steps measured now on {device_at_hand()}, without data loading and evaluation"
    return f"a step of {chosen.step_seconds:g} s (--step-seconds)"


def step_time(chosen: PlanArguments) -> Callable[[Case], float] | None:
    """A function that gives the seconds of a case's step, or says in a ValueError why it has none; None if none was asked for."""
    if chosen.step_seconds is not None:
        if chosen.step_seconds <= 0:
            raise ValueError(f"--step-seconds {chosen.step_seconds} should be above 0")
        seconds = chosen.step_seconds
        return lambda case: seconds
    if chosen.bench is not None:
        record = _read(chosen.bench)
        return lambda case: seconds_in(record, case)
    return measure if chosen.measure else None


def _read(path: Path) -> records.BenchRecord:
    record = records.read(path)
    if not isinstance(record, records.BenchRecord):
        raise ValueError(f"{path}: a record of a {record.kind}; give one that `segattn bench` wrote")
    return record


def image_time(chosen: PlanArguments) -> Callable[[str, str, int], float]:
    """Seconds of one image for head, backbone and output stride, from the record of --bench; infinite if not in it.

    Of its networks as they are built: default options, fp32, eager, batch 1, in the mode, size, classes and bands asked for.

    Raises:
        ValueError: no record, or not one of `segattn bench`.
    """
    if chosen.bench is None:
        raise ValueError(
            f"--budget {chosen.budget} needs measured times; give --bench FILE.json, a record of segattn bench --parts network, "
            "or choose among trained networks: segattn choose"
        )
    wanted = {
        "mode": chosen.mode,
        "num_classes": chosen.num_classes,
        "in_channels": chosen.in_channels,
        "input_size": chosen.input,
        "part": "network",
        "phase": "inference",
        "implementation": "auto",
        "batch": 1,
        "dtype": "fp32",
        "network": "",
        "form": "eager",
        "channels_last": False,
        "compile": False,
    }
    seconds = {
        (result.case.head, result.case.backbone, result.case.output_stride): result.latency.median_ms / 1e3
        for result in _read(chosen.bench).results
        if result.latency is not None and all(getattr(result.case, name) == value for name, value in wanted.items())
    }
    return lambda head, backbone, output_stride: seconds.get((head, backbone, output_stride), math.inf)


def nothing_measured(chosen: PlanArguments) -> str:
    """Why no network has a time: the record is of other settings."""
    size = "x".join(map(str, chosen.input))
    return (
        f"{chosen.bench}: no network at inference with {size} pixels, batch 1, fp32, {chosen.mode} heads and "
        f"{chosen.num_classes} classes; measure some: segattn bench --parts network --input {size} --mode {chosen.mode} "
        f"--num-classes {chosen.num_classes} -o FILE.json"
    )


def seconds_in(record: records.BenchRecord, case: Case) -> float:
    """Median seconds of the case's training step in a record.

    Raises:
        ValueError: the record has no such step.
    """
    optimization, model = case.optimization, case.model
    wanted = {
        "head": model.head,
        "mode": model.mode,
        "part": "network",
        "phase": "training",
        "implementation": "auto",
        "backbone": model.backbone,
        "output_stride": model.output_stride,
        "num_classes": case.num_classes,
        "in_channels": model.in_channels,
        "input_size": case.crop_size,
        "batch": optimization.batch_size,
        "dtype": optimization.precision,
        "channels_last": optimization.channels_last,
        "compile": False,
    }
    plain = optimization.accumulation == 1 and not optimization.activation_checkpointing and not optimization.ohem
    plain = plain and optimization.optimizer == "sgd"
    for result in record.results:
        same = all(getattr(result.case, name) == value for name, value in wanted.items())
        if plain and same and result.latency is not None:
            return result.latency.median_ms / 1e3
    height, width = case.crop_size
    raise ValueError(
        f"no step of this case in the record: training of the network, {height}x{width}, batch {optimization.batch_size}, "
        f"{optimization.precision}"
    )


def device_at_hand() -> Device:
    """The GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def measure(case: Case, *, steps: int = 3) -> float:
    """Median seconds of `steps` steps on this machine, after two warm-up steps.

    Raises:
        ValueError: a step needs more memory than is free.
    """
    device = device_at_hand()
    case = replace(case, device=device)
    needed, there = peak.predict(case).total, in_use.available(device)
    if needed > there:
        raise ValueError(
            f"not measured: a step needs {needed / 1e9:.1f} GB and {device} has {there / 1e9:.1f} GB free; give a smaller "
            "--batch-size or --input"
        )
    step, seconds = peak.real_step(case), []
    for _ in range(2 + steps):
        begun = perf_counter()
        step()  # ends with the loss on the host: nothing is left to run
        seconds.append(perf_counter() - begun)
    return median(seconds[2:])
