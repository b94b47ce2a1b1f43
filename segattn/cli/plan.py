"""`segattn plan`: what fits into a GPU's memory, and which networks fit into a budget; predicted, without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from segattn import heads
from segattn.cli import _quantities
from segattn.cli._arguments import parse, size

_OF_BUDGET = ("input", "convention", "runs", "dataset")
_OF_STEP = ("accumulation", "activation_checkpointing", "ohem")
_OF_MEMORY = ("crop", "batch", "dtype", "channels_last", "inference", "device", "reserve", *_OF_STEP)
_OF_TIME = ("step_seconds", "bench", "measure", "iterations")
_OF_NETWORK = ("backbone", "output_stride")


@dataclass(frozen=True)
class PlanArguments:
    """Predict the peak memory of training each head, what batch and crop fit, and the hours of a run from a measured step; or
    list the networks within --budget, best first by recorded accuracy.

    Memory is found by running the training step on fake tensors, watching every allocation: nothing is computed. How well that
    agrees with measurements: docs/planner.md.
    """

    head: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--heads",))] = ("all",)
    """Heads, or all."""
    gpu_memory: str | None = None
    """Memory to fit into: 24GB is 24 * 10^9 bytes, 24GiB is 24 * 2^30 (what cards sold as 24 GB have)."""
    budget: str | None = None
    """List what can be had within it instead: 600GFLOPs, 300GMACs, 50Mparameters, or 24GB of memory in training."""
    backbone: str = "resnet101"
    output_stride: int = 8
    mode: heads.Mode = "faithful"
    num_classes: int = 19
    crop: str = "769x769"
    """HEIGHTxWIDTH in pixels."""
    batch: int = 8
    """Images a step, on one GPU."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic; bf16 and fp16 by autocast, weights in fp32. `segattn train` takes bf16 on GPUs that have it."""
    accumulation: int = 1
    """Parts that the batch passes through the network in."""
    activation_checkpointing: bool = False
    """Recompute the backbone's blocks in the backward pass."""
    channels_last: bool = True
    ohem: bool = False
    """Online hard example mining in the loss."""
    inference: bool = False
    """An inference pass instead of a training step."""
    device: Literal["cuda", "cpu"] = "cuda"
    """Which device's kernels and allocator to predict; none is needed."""
    reserve: str | None = None
    """Memory that the device's libraries take; 0.75GB for CUDA (context about 0.5, workspaces of cuBLAS and cuDNN about 0.25:
    assumed, not measured), 0.12GB for the CPU (calibrated)."""
    step_seconds: float | None = None
    """Seconds of one step that you have measured, for the hours."""
    bench: str | None = None
    """Take the step's time from a record of `segattn bench`."""
    measure: bool = False
    """Measure a step here and now, on the GPU if there is one, else on the CPU."""
    iterations: int = 80_000
    """Of the run whose hours are estimated."""
    input: str = "769x769"
    """With --budget: image size that FLOPs are counted at."""
    convention: Literal["flops", "study", "macs"] = "flops"
    """With --budget in FLOPs: 2 per multiply-add, the study's formula, or 1."""
    runs: str | None = None
    """With --budget: folder of run records of your own."""
    dataset: str | None = None
    """With --budget: data set whose accuracies rank; that of the runs, or cityscapes, unless given."""
    format: Literal["table", "json"] = "table"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(PlanArguments, arguments, command="plan", description=PlanArguments.__doc__ or "")
    names = heads.names() if "all" in chosen.head else chosen.head
    for name in names:
        heads.module(name)
    if chosen.budget is not None:
        from segattn.cli import _plan_budget

        what, limit = _quantities.budget(chosen.budget)
        _refuse_given(chosen, {"gpu_memory", *_OF_TIME, *_OF_NETWORK}, f"--budget {chosen.budget}")
        if what != "memory":
            _refuse_given(chosen, set(_OF_MEMORY), f"a budget of {what}")
        if what != "flops":
            _refuse_given(chosen, {"convention"}, f"a budget of {what}")
        if what in ("parameters", "memory"):
            _refuse_given(chosen, {"input"}, f"a budget of {what}")
        _plan_budget.show(chosen, names, what, limit)
        return
    from segattn.cli import _plan_memory

    _refuse_given(chosen, set(_OF_BUDGET), "a plan without --budget")
    if sum((chosen.step_seconds is not None, chosen.bench is not None, chosen.measure)) > 1:
        raise ValueError("--step-seconds, --bench and --measure each give the time of a step: give one of them")
    if chosen.inference:
        _refuse_given(chosen, {*_OF_TIME, *_OF_STEP}, "--inference")
    if chosen.batch < 1 or chosen.accumulation < 1 or chosen.num_classes < 1:
        raise ValueError("--batch, --accumulation and --num-classes should be at least 1")
    if chosen.batch % chosen.accumulation:
        raise ValueError(
            f"--batch {chosen.batch} cannot be split into {chosen.accumulation} parts; give a multiple of --accumulation"
        )
    size(chosen.crop)
    limit_bytes = None if chosen.gpu_memory is None else _quantities.memory_bytes(chosen.gpu_memory)
    _plan_memory.show(chosen, names, limit_bytes)


def _refuse_given(chosen: PlanArguments, options: set[str], where: str) -> None:
    """An option that would be ignored is an error."""
    default = PlanArguments()
    for name in sorted(options):
        if getattr(chosen, name) != getattr(default, name):
            raise ValueError(f"--{name.replace('_', '-')} has no meaning for {where}; leave it out")
