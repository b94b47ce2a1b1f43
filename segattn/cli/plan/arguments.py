"""The options of `segattn plan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from segattn import heads


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
