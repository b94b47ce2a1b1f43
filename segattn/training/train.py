"""Training of one network: SGD with a polynomial schedule, counted in iterations, resumable exactly.

Device, mixed precision and processes are accelerate's; which sample comes when is the data stream's (a pure function of seed
and iteration); files are written by the main process only. A run's folder:

    log.jsonl           one line every `log_every` iterations
    checkpoints/        complete snapshots to resume from; removed when the run has ended
    model.safetensors, config.json, record.json, per_image.npz, examples/    when the run has ended
"""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from torch import nn

from segattn import config as configuration
from segattn import cost, data, records
from segattn.config import Experiment
from segattn.data.loader import TrainingStream
from segattn.data.splits import notices, open_data
from segattn.device import resolve_device, resolve_precision
from segattn.evaluation.evaluate import Evaluated, evaluate
from segattn.model import build_model
from segattn.training import execution, folder, results
from segattn.training.averaging import WeightAverage
from segattn.training.class_weights import class_weights
from segattn.training.interruption import Interrupted, Stop, signals
from segattn.training.optimization import learning_rate, sgd
from segattn.training.step import Step


@dataclass(frozen=True)
class Progress:
    """Where a run is, for progress bars."""

    stage: str
    """`train` or `evaluate`."""
    done: int
    total: int
    loss: float | None = None


OnProgress = Callable[[Progress], object]
OnNotice = Callable[[str], object]


def train(
    config: Experiment,
    out: str | Path,
    *,
    device: str = "auto",
    num_workers: int = 0,
    opened: tuple[data.Dataset, data.Dataset] | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_notice: OnNotice = print,
) -> records.RunRecord:
    """Train, evaluate and record one network; goes on from the newest checkpoint in `out`, if there is one.

    A run that has ended is not trained again: its record is returned.

    Args:
        num_workers: processes that prepare images.
        opened: the experiment's training and validation split from `splits.open_data`, where that has been called already.
        on_notice: gets what a user should know of the labels, in the first process.

    Raises:
        ValueError: the experiment or its data cannot be used, `out` holds another experiment's run, or the loss is not finite.
        Interrupted: SIGINT or SIGTERM came; the run can be continued by the same call.
    """
    configuration.check(config)
    out = Path(out)
    folder.refuse_another(out, config)
    if (ended := folder.ended(out)) is not None:
        return ended
    train_set, val_set = open_data(config.data) if opened is None else opened
    trained_cost = cost.experiment_cost(config, train_set.num_classes)  # an operator without formula is an error now
    accelerator = _accelerator(config, device)
    rank, world_size = accelerator.process_index, accelerator.num_processes
    if opened is None and accelerator.is_main_process:
        for notice in notices(train_set, val_set):
            on_notice(notice)
    torch.manual_seed(config.seed)
    model = build_model(config.model, train_set.num_classes)
    synchronize = accelerator.device.type == "cuda" and world_size > 1
    model = execution.arrange(model, config.optimization, synchronize=synchronize)
    optimizer = sgd(model, config.optimization)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    weights = class_weights(
        config.optimization, train_set, rank=rank, world_size=world_size, total=_sum_over_processes(accelerator)
    )
    step = Step(config.optimization, accelerator, prepared, optimizer, model.loss_weights, weights)
    average = WeightAverage(model, config.optimization.ema_decay) if config.optimization.ema_decay else None
    stream = TrainingStream(
        train_set,
        config.augmentation,
        batch_size=config.optimization.batch_size,
        seed=config.seed,
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
    )
    if accelerator.is_main_process:
        folder.claim(out, config)  # from here on files are written
    accelerator.wait_for_everyone()
    folder.seed_process(config.seed, rank, 0)
    state = folder.State(model, optimizer, accelerator.scaler, average)
    start = folder.restore(out, state, seed=config.seed, rank=rank)
    if world_size > 1 and len(set(gather_object([start]))) > 1:
        raise ValueError(f"the processes see different checkpoints in {out}; give a folder that all machines share")
    log = folder.Log(out / "log.jsonl", start, active=accelerator.is_main_process)
    accelerator.wait_for_everyone()
    with closing(log), signals() as received:
        stop = Stop(accelerator, received)
        loop = _Loop(config, out, accelerator, prepared, state, step, log, val_set, on_progress, stop)
        seconds = loop.run(stream, start)
        record = loop.finish(trained_cost, seconds)
        if stop.asked_for():
            raise Interrupted(f"stopped by {signal.Signals(received[0]).name} when {out} had just been finished")
    return record


class _Loop:
    """The iterations of one run."""

    def __init__(
        self,
        config: Experiment,
        out: Path,
        accelerator: Accelerator,
        prepared: nn.Module,
        state: folder.State,
        step: Step,
        log: folder.Log,
        val_set: data.Dataset,
        on_progress: OnProgress,
        stop: Stop,
    ) -> None:
        self.config, self.out, self.accelerator, self.prepared = config, out, accelerator, prepared
        self.state, self.step, self.log, self.val_set = state, step, log, val_set
        self.on_progress, self.stop = on_progress, stop
        self.model = state.model

    def run(self, stream: TrainingStream, start: int) -> float:
        """Iterations `start` to the last; seconds spent, over all sittings."""
        optimization = self.config.optimization
        before = self.log.seconds
        began = time.perf_counter()
        self._catch_up(start)
        self.prepared.train()
        for iteration, batch in enumerate(stream.batches(start, optimization.iterations), start):
            lr = learning_rate(iteration, optimization)
            for group in self.state.optimizer.param_groups:
                group["lr"] = lr * group["lr_factor"]
            total, losses = self.step(batch)
            done = iteration + 1
            if self.state.average is not None:
                self.state.average.update(done)
            if not math.isfinite(total):
                raise ValueError(
                    f"the loss is {total} at iteration {iteration} ({', '.join(batch['names'])}); the last good checkpoint "
                    f"is kept in {self.out / 'checkpoints'}. Try a lower optimization.lr, a warm-up, or precision fp32"
                )
            seconds = before + time.perf_counter() - began
            last = done == optimization.iterations
            due = self._validates_after(done)
            point = records.CurvePoint(iteration=done, loss=total, lr=lr, losses=losses)
            if done % self.config.log_every == 0 or last or due:
                self.log.add(point, seconds)
            self.on_progress(Progress("train", done, optimization.iterations, total))
            stopping = self.stop.asked_for()
            if done % self.config.checkpoint_every == 0 or stopping or last or due:
                self._save(done)
            if stopping:
                self.stop.raise_interrupted(f"at iteration {done}")
            if due:
                self._catch_up(done)
        return before + time.perf_counter() - began

    def _validates_after(self, done: int) -> bool:
        every = self.config.validate_every
        return bool(every) and 0 < done < self.config.optimization.iterations and done % every == 0

    def _catch_up(self, done: int) -> None:
        """The measurement that is due after iteration `done`, unless it is in the log; a checkpoint lies before it."""
        if not self._validates_after(done):
            return
        point = next((point for point in self.log.points[-1:] if point.iteration == done), None)
        if point is not None and point.mean_iou is None:
            mean_iou = self.evaluate(f"in the evaluation after iteration {done}").scores.mean_iou
            self.log.replace_last(dataclasses.replace(point, mean_iou=mean_iou))

    def evaluate(self, when: str, *, final: bool = False) -> Evaluated:
        """Scores on the validation split; can be interrupted, since a checkpoint lies before it."""
        if (
            self.accelerator.num_processes > 1
        ):  # statistics of batch norms are each process's own; the first one's count
            for buffer in self.model.buffers():
                buffer.copy_(broadcast(buffer))
        with nullcontext() if self.state.average is None else self.state.average.applied():
            return evaluate(
                self.model,
                self.val_set,
                self.config.evaluation,
                batch_size=4,
                strata=final and self.config.evaluation.strata,
                autocast=self.accelerator.autocast,
                on_image=lambda done, total: self.on_progress(Progress("evaluate", done, total)),
                watched=lambda batches: self.stop.until_asked_for(batches, when),
            )

    def finish(self, trained_cost: records.Cost, seconds: float) -> records.RunRecord:
        """Evaluate, and write the model, its pictures and its record."""
        began = time.perf_counter()
        result = self.evaluate("in the last evaluation", final=True)
        spent = time.perf_counter() - began
        self.model.eval()
        if self.state.average is not None:
            self.model.load_state_dict(self.state.average.values, strict=False)
        precision = {"no": "fp32"}.get(self.accelerator.mixed_precision, self.accelerator.mixed_precision)
        record = results.record_of(
            self.config,
            self.val_set,
            result,
            self.log.points,
            train_seconds=seconds,
            evaluate_seconds=spent,
            device=self.accelerator.device,
            precision=precision,
            cost=trained_cost,
        )
        if self.accelerator.is_main_process:
            autocast = self.accelerator.autocast
            record = results.write(self.out, self.model, self.config, self.val_set, result, record, autocast=autocast)
        self.accelerator.wait_for_everyone()
        return record

    def _save(self, iteration: int) -> None:
        states = [folder.random_state()]
        if self.accelerator.num_processes > 1:
            states = gather_object(states)
        if self.accelerator.is_main_process:
            folder.save(self.out, self.state, iteration, states)
        self.accelerator.wait_for_everyone()


def _accelerator(config: Experiment, device: str) -> Accelerator:
    found = resolve_device(device)
    precision = resolve_precision(config.optimization.precision, found)
    AcceleratorState._reset_state(reset_partial_state=False)  # a study trains several networks in one process
    return Accelerator(cpu=found.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)


def _sum_over_processes(accelerator: Accelerator) -> Callable[[torch.Tensor], torch.Tensor]:
    def total(counts: torch.Tensor) -> torch.Tensor:
        summed: torch.Tensor = accelerator.reduce(counts.to(accelerator.device), "sum")
        return summed

    return total
