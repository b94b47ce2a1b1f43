"""Training of one network, counted in iterations, resumable exactly.

accelerate handles devices, mixed precision and processes. The data stream decides the order of samples, as a pure function of
seed and iteration. Only rank 0 writes files. A run's folder:

    log.jsonl           one line every `log_every` iterations
    checkpoints/        complete snapshots to resume from; removed when the run is finished
    model.safetensors, config.json           when it is trained
    record.json, per_image.npz, examples/    when it is evaluated too: the run is finished
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch

from segattn import cost, data, records
from segattn.config import Experiment
from segattn.data.features import StoredFeatures
from segattn.data.loader import Batch, TrainingStream
from segattn.data.splits import open_data
from segattn.evaluation import without_attention
from segattn.training import execution, extension, folder, frozen, rare_classes, rates, resume, trackers
from segattn.training.averaging import WeightAverage
from segattn.training.checks import check
from segattn.training.class_weights import class_weights
from segattn.training.dropout import shared
from segattn.training.interruption import Interrupted, Stop, signals
from segattn.training.optimization import optimizer_of, set_learning_rate
from segattn.training.processes import naming_the_lost
from segattn.training.run import OnProgress, Run
from segattn.training.start import build
from segattn.training.step import Step

OnNotice = Callable[[str], object]


@naming_the_lost()
def train(
    config: Experiment,
    out: str | Path,
    *,
    device: str = "auto",
    num_workers: int = 0,
    opened: tuple[data.Dataset, data.Dataset] | None = None,
    stored: StoredFeatures | None = None,
    resume_from_good: bool = False,
    extend_to: int | None = None,
    track: Sequence[str] | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_notice: OnNotice = print,
) -> records.RunRecord:
    """Train and evaluate one network and write its record; resumes from the newest checkpoint in `out`. A finished run is not
    trained again; its record is returned.

    Args:
        num_workers: processes that prepare images.
        opened: the experiment's training and validation splits from `splits.open_data`, if they are already open.
        stored: the frozen backbone's maps of these splits, for head-only training; computed on the fly without.
        resume_from_good: let a diverged run go on from its last good checkpoint with other settings of `fits.ADJUSTABLE`.
        extend_to: iterations of a longer schedule, with which a finished or interrupted run goes on.
        track: trackers that the run is written to, as in `trackers.check`.
        on_notice: called on rank 0 with each notice: labels, what the network starts from, waiting for the folder's lease.

    Raises:
        ValueError: experiment, data or checkpoints cannot be used, `out` holds another run, or the network is not finite.
        Held, LeaseLost (ValueErrors of `segattn.records`): another process writes `out`, from the start or since.
        Interrupted: SIGINT or SIGTERM was received; the same call continues the run.
    """
    config, adjust = extension.may_differ(out := Path(out), config, resume_from_good, extend_to)
    check(config)
    trackers.check(track)
    folder.refuse_another(out, config, adjust=adjust)
    if (ended := folder.ended(out)) is not None and ended.iterations >= config.optimization.iterations:
        return ended
    received: list[int] = []
    job = Training(config, out, received, device, num_workers, opened, stored, on_progress, on_notice, adjust, track)
    with closing(job), signals(received):
        for iteration, batch in job.batches():
            job.advance(iteration, batch)
        return job.finish()


class Training:
    """One network in training, opened, built and restored: `advance` takes it through an iteration, `finish` ends it."""

    def __init__(
        self,
        config: Experiment,
        out: Path,
        received: list[int],
        device: str,
        num_workers: int,
        opened: tuple[data.Dataset, data.Dataset] | None,
        stored: StoredFeatures | None,
        on_progress: OnProgress,
        on_notice: OnNotice,
        adjust: tuple[str, ...] = (),
        track: Sequence[str] | None = None,
    ) -> None:
        # Open: the data, the devices.
        optimization, self.config = config.optimization, config
        train_set, val_set = splits = open_data(config.data) if opened is None else opened
        self.cost = cost.experiment_cost(config, train_set.num_classes)  # fails now if an operator has no formula
        without_attention.check(config, train_set.num_classes)  # and now if its mechanism cannot be cut out at the end
        accelerator = execution.accelerator(optimization.precision, device)
        place = {"rank": accelerator.process_index, "world_size": accelerator.num_processes}

        # Build: the network, the optimiser, the stream of batches.
        torch.manual_seed(config.seed)
        model, start = build(config, splits, on_notice if accelerator.is_main_process else None)
        synchronize = accelerator.device.type == "cuda" and accelerator.num_processes > 1
        model = execution.arrange(model, optimization, synchronize=synchronize)
        trained, self.source = frozen.split(model, config, accelerator, splits, stored)
        self.network, self.optimizer = accelerator.prepare(trained, optimizer_of(model, optimization))
        if accelerator.is_main_process and (table := rates.table(model, self.optimizer, optimization)):
            on_notice(table)
        weights = class_weights(optimization, train_set, **place, total=execution.total(accelerator), say=on_notice)
        self.step = Step(optimization, accelerator, self.network, self.optimizer, model, weights)
        self.average = WeightAverage(model, optimization.ema_decay) if optimization.ema_decay else None
        sizes = {"batch_size": optimization.batch_size, "seed": config.seed, "num_workers": num_workers, **place}
        items, network, crops = self.source.train, config.network, config.augmentation
        rare = rare_classes.sampling(config, train_set, items, accelerator, on_notice)
        self.stream = TrainingStream(train_set, crops, items=items, network=network, rare=rare, **sizes)

        # Restore: from here on files are written, under the folder's lease.
        dropout = shared(model, optimization, accelerator)
        state = resume.State(model, self.optimizer, accelerator.scaler, self.average, dropout)
        log = folder.open_log(out, config, splits, state, accelerator, on_notice, adjust=adjust, track=track)
        self.start = log.start
        stop, val_items = Stop(accelerator, received), self.source.val
        self.run = Run(config, out, accelerator, state, log, val_set, stop, on_progress, val_items, start)

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """The remaining iterations and their batches; an evaluation that an interrupted run did not finish comes first."""
        self.run.evaluate_if_due(self.start)
        self.network.train()
        batches = self.source.batches(self.stream.batches(self.start, self.config.optimization.iterations))
        return enumerate(batches, self.start)

    def advance(self, iteration: int, batch: Batch) -> None:
        """One iteration, and the checkpoint and evaluation that are due after it."""
        lr = set_learning_rate(self.optimizer, iteration, self.config.optimization)
        loss, losses = self.step(batch)
        self.run.check_finite(loss, iteration, batch["names"])
        if self.average is not None:
            self.average.update(iteration + 1)
        self.run.note(records.CurvePoint(iteration=iteration + 1, loss=loss, lr=lr, losses=losses))
        self.run.save_if_due(iteration + 1)
        self.run.evaluate_if_due(iteration + 1)

    def finish(self) -> records.RunRecord:
        """The last evaluation, the trained network, the record."""
        record = self.run.finish(self.cost, self.stream.dataset)
        if self.run.stop.asked_for():
            name = signal.Signals(self.run.stop.received[0]).name
            raise Interrupted(f"stopped by {name} just after {self.run.out} was finished")
        return record

    def close(self) -> None:
        """Close the log and release the folder's lease."""
        self.run.log.close()
