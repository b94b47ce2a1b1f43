"""Training of one network: SGD with a polynomial schedule, counted in iterations, resumable exactly.

Device, mixed precision and processes are accelerate's; which sample comes when is the data stream's (a pure function of seed
and iteration); files are written by the main process only. A run's folder:

    log.jsonl           one line every `log_every` iterations
    checkpoints/        complete snapshots to resume from; removed when the run has ended
    model.safetensors, config.json, record.json, per_image.npz, examples/    when the run has ended
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from segattn import __version__, checkpoint, cost, data, records, run_folder
from segattn import config as configuration
from segattn.config import Experiment
from segattn.data.loader import TrainingStream
from segattn.data.transforms import Augment
from segattn.evaluate import evaluate, inference_of, write_examples
from segattn.losses import Ohem, segmentation_loss
from segattn.model import SegmentationModel
from segattn.optimization import learning_rate, resolve_device, resolve_precision, sgd
from segattn.profile.environment import environment


class Interrupted(Exception):
    """A signal ended the run; a checkpoint to resume from was written."""


@dataclass(frozen=True)
class Progress:
    """Where a run is, for progress bars."""

    stage: str
    """`train` or `evaluate`."""
    done: int
    total: int
    loss: float | None = None


OnProgress = Callable[[Progress], object]


def open_data(config: configuration.Data) -> tuple[data.Dataset, data.Dataset]:
    """The training and the validation split of an experiment, checked sample by sample.

    Raises:
        ValueError: a file or value that training would trip over, or a setting that this data set does not have.
    """
    return (
        open_split(config, config.train_split, config.train_images),
        open_split(config, config.val_split, config.val_images),
    )


def open_split(config: configuration.Data, split: str, limit: int | None) -> data.Dataset:
    """One split of an experiment's data set, its first `limit` images or all, checked sample by sample.

    Raises:
        ValueError: a file or value that would be tripped over later, or a setting that this data set does not have.
    """
    options: dict[str, Any] = {}
    if config.size is not None:
        options.update(height=config.size[0], width=config.size[1])
    if config.name == "streets" and limit is not None:
        options["num_images"] = limit
    dataset = data.load(config.name, split, root=config.root, **options)
    if limit is not None and len(dataset) > limit:
        dataset = dataset.first(limit)
    data.verify(dataset)
    return dataset


def train(
    config: Experiment,
    out: str | Path,
    *,
    device: str = "auto",
    num_workers: int = 0,
    on_progress: OnProgress = lambda progress: None,
) -> records.RunRecord:
    """Train, evaluate and record one network; goes on from the newest checkpoint in `out`, if there is one.

    Raises:
        ValueError: the experiment or its data cannot be used, `out` holds another experiment's run, or the loss is not finite.
        Interrupted: SIGINT or SIGTERM came; the run can be continued by the same call.
    """
    configuration.check(config)
    out = Path(out)
    run_folder.claim(out, config)
    train_set, val_set = open_data(config.data)
    accelerator = _accelerator(config, device)
    torch.manual_seed(config.seed)
    model = checkpoint.build_model(config.model, train_set.num_classes)
    if accelerator.device.type == "cuda" and accelerator.num_processes > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = sgd(model, config.optimization)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    start = run_folder.restore(out, accelerator.unwrap_model(prepared), optimizer)
    augment = Augment(**vars(config.augmentation))
    stream = TrainingStream(
        train_set,
        augment,
        batch_size=config.optimization.batch_size,
        seed=config.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        num_workers=num_workers,
    )
    log = run_folder.Log(out / "log.jsonl", start, active=accelerator.is_main_process)
    loop = _Loop(config, out, accelerator, prepared, optimizer, log, val_set, on_progress)
    with _signals() as stop:
        seconds = loop.run(stream, start, stop)
    return _finish(loop, train_set, log, seconds)


class _Loop:
    """The iterations of one run."""

    def __init__(
        self,
        config: Experiment,
        out: Path,
        accelerator: Accelerator,
        prepared: nn.Module,
        optimizer: Any,
        log: run_folder.Log,
        val_set: data.Dataset,
        on_progress: OnProgress,
    ) -> None:
        self.config, self.out, self.accelerator, self.prepared = config, out, accelerator, prepared
        self.optimizer, self.log, self.val_set, self.on_progress = optimizer, log, val_set, on_progress
        self.model: SegmentationModel = accelerator.unwrap_model(prepared)
        self.inference = inference_of(config.evaluation)

    def run(self, stream: TrainingStream, start: int, stop: list[int]) -> float:
        """Iterations `start` to the last; seconds spent, over all sittings."""
        optimization = self.config.optimization
        before = self.log.seconds
        began = time.perf_counter()
        self.prepared.train()
        for iteration, batch in enumerate(stream.batches(start, optimization.iterations), start):
            lr = learning_rate(iteration, optimization)
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group["lr_factor"]
            total, losses = self._step(batch)
            done = iteration + 1
            if not math.isfinite(total):
                raise ValueError(
                    f"the loss is {total} at iteration {iteration} ({', '.join(batch['names'])}); the last good checkpoint "
                    f"is kept in {self.out / 'checkpoints'}. Try a lower optimization.lr, a warm-up, or precision fp32"
                )
            seconds = before + time.perf_counter() - began
            last = done == optimization.iterations
            every = self.config.validate_every
            mean_iou = self._validate() if every and done % every == 0 and not last else None
            if done % self.config.log_every == 0 or last or mean_iou is not None:
                self.log.add(
                    records.CurvePoint(iteration=done, loss=total, lr=lr, losses=losses, mean_iou=mean_iou), seconds
                )
            self.on_progress(Progress("train", done, optimization.iterations, total))
            if (done % self.config.checkpoint_every == 0 or stop) and not last:
                self._save(done)
            if stop and not last:
                raise Interrupted(
                    f"stopped by {signal.Signals(stop[0]).name} at iteration {done}; run the same command again"
                )
        return before + time.perf_counter() - began

    def _step(self, batch: Any) -> tuple[float, dict[str, float]]:
        device = self.accelerator.device
        images = batch["image"].to(device, memory_format=torch.channels_last, non_blocking=True)
        label = batch["label"].to(device, non_blocking=True)
        with self.accelerator.autocast():
            outputs = self.prepared(images)
        ohem = Ohem() if self.config.optimization.ohem else None
        total, losses = segmentation_loss(outputs, label, self.model.loss_weights, ohem=ohem)
        self.optimizer.zero_grad()
        self.accelerator.backward(total)
        self.optimizer.step()
        values = self.accelerator.reduce(torch.stack([total.detach(), *losses.values()]), "mean").tolist()
        return values[0], dict(zip(losses, values[1:], strict=True))

    def _validate(self) -> float:
        mean_iou = self.evaluate().scores.mean_iou
        self.prepared.train()
        return mean_iou

    def evaluate(self) -> Any:
        def report(done: int, total: int) -> None:
            self.on_progress(Progress("evaluate", done, total))

        return evaluate(
            self.model, self.val_set, self.inference, autocast=self.accelerator.autocast, on_image=report, batch_size=4
        )

    def _save(self, iteration: int) -> None:
        if self.accelerator.is_main_process:
            snapshot = checkpoint.Snapshot(
                iteration=iteration,
                model=self.model.state_dict(),
                optimizer=run_folder.momentum(self.model, self.optimizer),
                random=run_folder.random_state(),
            )
            checkpoint.save_snapshot(snapshot, self.out)
        self.accelerator.wait_for_everyone()


def _accelerator(config: Experiment, device: str) -> Accelerator:
    found = resolve_device(device)
    precision = resolve_precision(config.optimization.precision, found)
    AcceleratorState._reset_state(reset_partial_state=False)  # a study trains several networks in one process
    return Accelerator(cpu=found.type == "cpu", mixed_precision="no" if precision == "fp32" else precision)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying in the middle of a step; a second one dies as usual."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            signal.signal(number, previous[number])
            signal.raise_signal(number)
        received.append(number)

    try:
        previous = {int(number): signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _finish(loop: _Loop, train_set: data.Dataset, log: run_folder.Log, seconds: float) -> records.RunRecord:
    """Evaluate, and write the model, its pictures and its record."""
    config, out, model = loop.config, loop.out, loop.model
    began = time.perf_counter()
    result = loop.evaluate()
    spent = time.perf_counter() - began
    model.eval()
    log.points[-1] = type(log.points[-1])(**{**vars(log.points[-1]), "mean_iou": result.scores.mean_iou})
    precision = {"no": "fp32"}.get(loop.accelerator.mixed_precision, loop.accelerator.mixed_precision)
    record = records.RunRecord(
        experiment=config.name,
        head=config.model.head,
        mode=config.model.mode,
        seed=config.seed,
        dataset=train_set.name,
        split=loop.val_set.split,
        class_names=list(train_set.class_names),
        palette=list(train_set.palette),
        ignore_index=train_set.ignore_index,
        config=configuration.to_dict(config),
        scores=result.scores,
        curve=log.points,
        iterations=config.optimization.iterations,
        train_seconds=round(seconds, 3),
        evaluate_seconds=round(spent, 3),
        environment=environment_of(loop.accelerator.device, precision),
        cost=_trained_cost(config, train_set.num_classes),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        per_image="per_image.npz",
    )
    if not loop.accelerator.is_main_process:
        return record
    examples = write_examples(
        model,
        loop.val_set,
        out / "examples",
        count=config.evaluation.examples,
        inference=loop.inference,
        autocast=loop.accelerator.autocast,
    )
    record = type(record)(**{**vars(record), "examples": examples})
    checkpoint.save_model(
        model, out, experiment=config, class_names=record.class_names, palette=list(train_set.palette)
    )
    np.savez_compressed(out / "per_image.npz", confusion=result.per_image, names=np.array(result.names))
    records.write(record, out / "record.json")
    checkpoint.remove_snapshots(out)
    return record


def _trained_cost(config: Experiment, num_classes: int) -> records.Cost:
    """Cost of the network that was trained, at its crop size."""
    model = config.model
    return cost.network_cost(
        model.head,
        input_size=config.augmentation.crop_size,
        num_classes=num_classes,
        backbone=model.backbone,
        output_stride=model.output_stride,
        mode=model.mode,
        head_options=model.head_options,
        backbone_options=model.backbone_options,
    )


def environment_of(device: torch.device, precision: str) -> records.Environment:
    """Where figures are being measured."""
    found = environment(__version__, device=device, path=Path(__file__).parent)
    return records.Environment(**found, precision=precision)
