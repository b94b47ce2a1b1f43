"""Predicts the peak memory of a training step or inference pass without running it, and the largest batch or crop that fits.

The training step itself (`step`, `optimization` and `execution` of `segattn.training`) runs on fake tensors while
`segattn.profile.liveness` tracks every storage; that gives the peak of the allocator. A process needs a constant on top:

* CPU: the pages of the libraries that a step touches, `CPU_LIBRARIES`; calibrated and tested in docs/planner.md.
* CUDA: `CUDA_RESERVE`, the context of the driver (about 0.5 GB) and the workspaces of cuBLAS and cuDNN, whose size depends on
  the memory that is free (about 0.25 GB). Neither figure has been measured on a GPU.

Not covered: `compile`, several processes, and memory outside the step (evaluation, workers that load data).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils.operations import convert_outputs_to_fp32
from torch import Tensor, nn

from segattn import config
from segattn.model import build_model
from segattn.profile.liveness import Device, Liveness, Peak
from segattn.profile.worker import Task
from segattn.training import execution, optimizer_state
from segattn.training.optimization import optimizer_of
from segattn.training.step import Step

CPU_LIBRARIES = 120_000_000
CUDA_RESERVE = 750_000_000
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What to predict: a network, its training, its input and its device."""

    model: config.Model = field(default_factory=config.Model)
    optimization: config.Optimization = field(default_factory=config.Optimization)
    crop_size: tuple[int, int] = (769, 769)
    num_classes: int = 19
    device: Device = "cuda"
    training: bool = True


@dataclass(frozen=True)
class Prediction:
    """The predicted memory of one process."""

    peak: Peak
    """Peak of the allocator."""
    reserve: int
    """Bytes that the device's libraries need."""

    @property
    def total(self) -> int:
        return self.peak.total + self.reserve


def predict(case: Case, *, reserve: int | None = None) -> Prediction:
    """The memory that a process needs for the case; `reserve` replaces the device's constant.

    Raises:
        ValueError: unknown head, backbone or option; a size that the head refuses; training with too few values for a norm.
    """
    constant = CPU_LIBRARIES if case.device == "cpu" else CUDA_RESERVE
    return Prediction(simulate(case), constant if reserve is None else reserve)


def largest(total: Callable[[int], int], limit: int, *, start: int, power: int, lowest: int = 1) -> int | None:
    """The largest n from `lowest` with total(n) <= limit, None if there is none; total must rise, roughly as a + b n^power.

    It needs few calls: each guess is on the curve a + b n^power through two known points. The search ends when n fits and n + 1
    does not, which is known from a call or from the curve through two points that fit: a step needs the maximum of several such
    curves, and beyond two points this maximum is never below the curve through them.
    """
    known = {start: total(start)}
    while True:
        fitting = sorted(n for n in known if known[n] <= limit)
        over = sorted(n for n in known if known[n] > limit)
        if over and over[0] <= lowest:
            return None
        if fitting and over and over[0] == fitting[-1] + 1:
            return fitting[-1]
        if len(fitting) > 1 and _crossing(known, fitting[-2:], limit, power) < fitting[-1] + 1:
            return fitting[-1]
        guess = _crossing(
            known, (fitting[-1:] + over[:1]) if fitting and over else (fitting[-2:] or over[:2]), limit, power
        )
        guess = max(guess, fitting[-1] + 1 if fitting else lowest)
        guess = min(guess, over[0] - 1) if over else guess
        known[guess] = total(guess)


def _crossing(known: dict[int, int], points: list[int], limit: int, power: int) -> int:
    """Where the curve through one or two known points meets the limit, rounded down; from one point at most four times as far."""
    low, high = points[0], points[-1]
    if low == high:
        return max(1, int(low * min(4.0, max(0.25, limit / known[low])) ** (1 / power)))
    slope = (known[high] - known[low]) / (high**power - low**power)
    if slope <= 0:
        return 2 * high
    crossing = low**power + (limit - known[low]) / slope
    return int(max(crossing, 0.0) ** (1 / power) + 1e-9)


def with_batch(case: Case, batch: int) -> Case:
    """The case with another batch size (times the parts of accumulation)."""
    return replace(case, optimization=replace(case.optimization, batch_size=batch))


def largest_batch(case: Case, limit: int, *, reserve: int | None = None, known: Prediction | None = None) -> int | None:
    """The largest batch that fits into `limit` bytes at the case's crop; a multiple of its accumulation."""
    parts = case.optimization.accumulation
    first = max(1, case.optimization.batch_size // parts)

    def total(n: int) -> int:
        return (known if known and n == first else predict(with_batch(case, n * parts), reserve=reserve)).total

    per_part = largest(total, limit, start=first, power=1)
    return None if per_part is None else per_part * parts


def largest_crop(case: Case, limit: int, *, reserve: int | None = None, known: Prediction | None = None) -> int | None:
    """The largest square crop that fits at the case's batch: 8 n, or 8 n + 1 if the case's is of that form."""
    odd = case.crop_size[0] % 8 == 1
    first = max(1, min(case.crop_size) // 8)
    same = case.crop_size == (8 * first + odd,) * 2

    def total(n: int) -> int:
        if known and same and n == first:
            return known.total
        return predict(replace(case, crop_size=(8 * n + odd,) * 2), reserve=reserve).total

    eighths = largest(total, limit, start=first, power=2, lowest=8)
    return None if eighths is None else 8 * eighths + odd


def simulate(case: Case) -> Peak:
    """The allocator's peak in one step in its steady state, weights and optimiser included."""
    with torch.device("meta"):
        model = build_model(replace(case.model, pretrained=None, init_head="random"), case.num_classes)
    model.train(case.training)
    model = execution.arrange(model, case.optimization, synchronize=False)
    watch = Liveness(case.device)
    watch.adopt(model, "weights")
    batch = _batch(case, watch)
    if not case.training:
        return _inference(case, watch, model, batch["image"])
    accelerator = _Alone(case.optimization.precision)
    optimizer = optimizer_of(model, case.optimization)
    for group in optimizer.param_groups:
        group["foreach"] = case.device == "cuda"  # torch's own choice on real tensors
    network = model if accelerator.dtype is None else _InFloat32(model)
    step = Step(case.optimization, accelerator, network, optimizer, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with watch:
        for parameter in trained:  # the first step creates it; all later steps have it
            optimizer.state[parameter].update(optimizer_state.created(optimizer, parameter))
        watch.name((state for entry in optimizer.state.values() for state in entry.values()), "optimizer")
        watch.forget()
        accelerator.on_backward = watch
        step(batch)
        watch.name((parameter.grad for parameter in trained if parameter.grad is not None), "gradients")
        return watch.peak()


def _batch(case: Case, watch: Liveness) -> Any:
    size = (case.optimization.batch_size, *case.crop_size)
    on_gpu_already = case.device == "cuda" and case.optimization.channels_last
    layout = torch.channels_last if on_gpu_already else torch.contiguous_format
    image = watch.tensor(size[0], case.model.in_channels, *size[1:], memory_format=layout)
    label = watch.tensor(*size, dtype=torch.int64) if case.training else None
    return {"image": image, "label": label}


def _inference(case: Case, watch: Liveness, model: nn.Module, image: Tensor) -> Peak:
    with watch:
        _infer(model, image, _Alone(case.optimization.precision))
        return watch.peak()


class _InFloat32(nn.Module):
    """A network as accelerate prepares it for mixed precision: outputs are converted to float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.forward = convert_outputs_to_fp32(model.forward)


class _Alone:
    """The part of accelerate's Accelerator that `Step` uses, for one process and fake tensors."""

    num_processes = 1
    device = torch.device("cpu")

    def __init__(self, precision: str) -> None:
        self.dtype = HALF.get(precision)
        self.on_backward: Liveness | None = None

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self.dtype is None else torch.autocast("cpu", self.dtype)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[object]:
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        if self.on_backward is not None:
            self.on_backward.settle("activations")
        loss.backward()

    def reduce(self, values: Tensor, how: str) -> Tensor:
        return values

    def clip_grad_norm_(self, parameters: Sequence[Tensor], max_norm: float) -> None:
        nn.utils.clip_grad_norm_(parameters, max_norm)


def task(case: dict[str, Any]) -> Task:
    """The same step with real tensors, random images and labels, to be measured in its own process (`case` as decoded JSON)."""
    return Task(real_step(msgspec.convert(case, Case)))


def real_step(case: Case) -> Callable[[], Any]:
    """A function that runs one training step, or inference pass, on the device of the case."""
    optimization = case.optimization
    precision = "no" if optimization.precision == "fp32" else optimization.precision
    accelerator = Accelerator(cpu=case.device == "cpu", mixed_precision=precision)
    model = build_model(case.model, case.num_classes).train(case.training)
    model = execution.arrange(model, optimization, synchronize=False)
    size = (optimization.batch_size, *case.crop_size)
    image = torch.randn(size[0], case.model.in_channels, *size[1:])
    batch: Any = {"image": image, "label": torch.randint(case.num_classes, size)}
    if not case.training:
        image = batch["image"].to(accelerator.device)
        return lambda: _infer(model.to(image.device), image, accelerator)
    prepared, optimizer = accelerator.prepare(model, optimizer_of(model, optimization))
    step = Step(optimization, accelerator, prepared, optimizer, model)
    return lambda: step(batch)


def _infer(model: nn.Module, image: Tensor, accelerator: Any) -> Tensor:
    with torch.no_grad(), accelerator.autocast():
        logits: Tensor = model(image)
    return logits
