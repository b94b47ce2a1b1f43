"""The options of `segattn plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segattn.cli.values import Size
from segattn.heads import Mode


@dataclass(frozen=True)
class PlanArguments:
    """Predict the peak memory of training each head, the largest batch and input that fit, and the hours of a run from a measured
    step; or, with --budget, list the networks within it, best recorded accuracy first.

        segattn plan --gpu-memory 24GiB --heads danet ccnet --precision bf16
        segattn plan runs --budget 600GFLOPs

    The training step runs on fake tensors while every allocation is recorded; nothing is computed. docs/planner.md compares
    predictions with measurements.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """With --budget: folders of studies or runs of your own, for the recorded accuracies."""
    heads: tuple[str, ...] = ("all",)
    """Heads to predict: names of `segattn heads`, dotted module paths, study, baselines, or all."""
    gpu_memory: Annotated[str | None, tyro.conf.arg(metavar="MEMORY")] = None
    """Memory to fit into: 24GB is 24 * 10^9 bytes, 24GiB is 24 * 2^30 (the memory of cards sold as 24 GB)."""
    budget: Annotated[str | None, tyro.conf.arg(metavar="AMOUNT")] = None
    """List the networks within this budget: 600GFLOPs, 300GMACs, 50Mparameters, 24GB of memory in training, or,
    with --bench, 50ms for an image."""
    backbone: str = "resnet101"
    """Backbone of the network."""
    output_stride: int = 8
    """Input size divided by the size of the backbone's last feature map: 8, 16 or 32; of our ResNets also 4."""
    mode: Mode = "faithful"
    """faithful: each paper's own head; controlled: the same convolutions around every mechanism."""
    num_classes: int = 19
    """Number of classes."""
    in_channels: int = 3
    """Bands of the image: 3 for RGB."""
    input: Size = (769, 769)
    """Size of the network's input in pixels; in training, the crop."""
    batch_size: int = 8
    """Images per step, on one GPU."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16 and fp16 by autocast, weights in fp32. On GPUs with bf16, `segattn train` uses it by default."""
    accumulation: int = 1
    """Number of parts in which the batch passes through the network."""
    activation_checkpointing: bool = False
    """Recompute the backbone's blocks in the backward pass."""
    channels_last: bool = True
    """Memory format of images and weights."""
    ohem: bool = False
    """Online hard example mining in the loss."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD keeps one number for each parameter between steps, AdamW two."""
    inference: bool = False
    """Predict an inference pass instead of a training step."""
    device: Literal["cuda", "cpu"] = "cuda"
    """Device whose kernels and allocator are predicted. It need not be present, so there is no auto."""
    reserve: Annotated[str | None, tyro.conf.arg(metavar="MEMORY")] = None
    """Memory of the device's libraries; by default 0.75GB on CUDA (context about 0.5, workspaces of cuBLAS and cuDNN about 0.25;
    assumed, not measured) and 0.12GB on the CPU (calibrated)."""
    step_seconds: float | None = None
    """Time of one step in seconds, if you have measured it, for the hours."""
    bench: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Take the time of a step from a record of `segattn bench`; with --budget in time, that of an image."""
    measure: bool = False
    """Measure a step now, on the GPU if there is one, else on the CPU."""
    iterations: int = 80_000
    """Iterations of the run whose hours are estimated."""
    convention: Literal["flops", "study", "macs"] = "flops"
    """With --budget in FLOPs: 2 per multiply-add, the study's formula, or 1 per multiply-add."""
    dataset: str | None = None
    """With --budget: data set whose accuracies rank the networks; by default that of the runs, or cityscapes."""
    format: Literal["table", "json"] = "table"
    """Format of the output."""
