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
from collections.abc import Callable
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
from segattn.evaluate import Evaluated, evaluate, inference_of, write_examples
from segattn.interruption import Interrupted, signals
from segattn.losses import Ohem, segmentation_loss
from segattn.model import SegmentationModel
from segattn.optimization import learning_rate, resolve_device, resolve_precision, sgd
from segattn.profile.environment import environment


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
    run_folder.refuse_another(out, config)
    train_set, val_set = open_data(config.data)
    trained_cost = cost.experiment_cost(config, train_set.num_classes)  # an operator without formula is an error now
    accelerator = _accelerator(config, device)
    torch.manual_seed(config.seed)
    model = checkpoint.build_model(config.model, train_set.num_classes)
    if accelerator.device.type == "cuda" and accelerator.num_processes > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = sgd(model, config.optimization)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    stream = TrainingStream(
        train_set,
        Augment(**vars(config.augmentation)),
        batch_size=config.optimization.batch_size,
        seed=config.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        num_workers=num_workers,
    )
    run_folder.claim(out, config)  # from here on files are written
    start = run_folder.restore(out, accelerator.unwrap_model(prepared), optimizer)
    log = run_folder.Log(out / "log.jsonl", start, active=accelerator.is_main_process)
    with signals() as stop:
        loop = _Loop(config, out, accelerator, prepared, optimizer, log, val_set, on_progress, stop)
        seconds = loop.run(stream, start)
        record = _finish(loop, trained_cost, seconds)
        if stop:
            raise Interrupted(f"stopped by {signal.Signals(stop[0]).name} when {out} had just been finished")
    return record


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
        stop: list[int],
    ) -> None:
        self.config, self.out, self.accelerator, self.prepared = config, out, accelerator, prepared
        self.optimizer, self.log, self.val_set = optimizer, log, val_set
        self.on_progress, self.stop = on_progress, stop
        self.model: SegmentationModel = accelerator.unwrap_model(prepared)
        self.inference = inference_of(config.evaluation)

    def run(self, stream: TrainingStream, start: int) -> float:
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
            mean_iou = self.evaluate().scores.mean_iou if every and done % every == 0 and not last else None
            if done % self.config.log_every == 0 or last or mean_iou is not None:
                self.log.add(
                    records.CurvePoint(iteration=done, loss=total, lr=lr, losses=losses, mean_iou=mean_iou), seconds
                )
            self.on_progress(Progress("train", done, optimization.iterations, total))
            if done % self.config.checkpoint_every == 0 or self.stop or last:
                self._save(done)
            self._interrupt_if_asked(f"at iteration {done}")
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

    def _interrupt_if_asked(self, where: str) -> None:
        if self.stop:
            name = signal.Signals(self.stop[0]).name
            raise Interrupted(f"stopped by {name} {where}; run the same command again to go on")

    def evaluate(self, *, final: bool = False) -> Evaluated:
        """Scores on the validation split; the final ones can be interrupted, since a checkpoint lies before them."""

        def report(done: int, total: int) -> None:
            self.on_progress(Progress("evaluate", done, total))
            if final:
                self._interrupt_if_asked("in the last evaluation")

        return evaluate(
            self.model,
            self.val_set,
            self.inference,
            batch_size=4,
            strata=final and self.config.evaluation.strata,
            autocast=self.accelerator.autocast,
            on_image=report,
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


def _finish(loop: _Loop, trained_cost: records.Cost, seconds: float) -> records.RunRecord:
    """Evaluate, and write the model, its pictures and its record."""
    config, out, model, log, val_set = loop.config, loop.out, loop.model, loop.log, loop.val_set
    began = time.perf_counter()
    result = loop.evaluate(final=True)
    spent = time.perf_counter() - began
    model.eval()
    log.points[-1] = type(log.points[-1])(**{**vars(log.points[-1]), "mean_iou": result.scores.mean_iou})
    precision = {"no": "fp32"}.get(loop.accelerator.mixed_precision, loop.accelerator.mixed_precision)
    record = records.RunRecord(
        experiment=config.name,
        head=config.model.head,
        mode=config.model.mode,
        seed=config.seed,
        dataset=val_set.name,
        split=val_set.split,
        class_names=list(val_set.class_names),
        palette=list(val_set.palette),
        ignore_index=val_set.ignore_index,
        config=configuration.to_dict(config),
        scores=result.scores,
        curve=log.points,
        iterations=config.optimization.iterations,
        train_seconds=round(seconds, 3),
        evaluate_seconds=round(spent, 3),
        environment=environment_of(loop.accelerator.device, precision),
        cost=trained_cost,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        per_image="per_image.npz",
        strata=result.strata,
    )
    if not loop.accelerator.is_main_process:
        return record
    examples = write_examples(
        model,
        val_set,
        out / "examples",
        count=config.evaluation.examples,
        inference=loop.inference,
        autocast=loop.accelerator.autocast,
    )
    record = type(record)(**{**vars(record), "examples": examples})
    checkpoint.save_model(model, out, experiment=config, class_names=record.class_names, palette=record.palette)
    counts = {"confusion": result.per_image, "names": np.array(result.names)}
    if result.per_image_boundary is not None and result.per_image_strata is not None:
        counts |= {"boundary": result.per_image_boundary, "strata": result.per_image_strata}
    np.savez_compressed(out / "per_image.npz", **counts)  # type: ignore[arg-type]
    records.write(record, out / "record.json")
    checkpoint.remove_snapshots(out)
    return record


def environment_of(device: torch.device, precision: str) -> records.Environment:
    """Where figures are being measured."""
    found = environment(__version__, device=device, path=Path(__file__).parent)
    return records.Environment(**found, precision=precision)
