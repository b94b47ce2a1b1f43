"""Training of one network: SGD with a polynomial schedule, counted in iterations, resumable exactly.

accelerate handles devices, mixed precision and processes. The data stream decides the order of samples, as a pure function of
seed and iteration. Only rank 0 writes files, under a lease of the run's folder (`segattn.records.lease`). A run's folder:

    log.jsonl           one line every `log_every` iterations
    checkpoints/        complete snapshots to resume from; removed when the run is finished
    model.safetensors, config.json, record.json, per_image.npz, examples/    when the run is finished
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch

from segattn import config as configuration
from segattn import cost, data, records
from segattn.config import Experiment
from segattn.data.loader import TrainingStream
from segattn.data.splits import notices, open_data
from segattn.model import build_model
from segattn.training import execution, folder
from segattn.training.averaging import WeightAverage
from segattn.training.class_weights import class_weights
from segattn.training.interruption import Interrupted, Stop, signals
from segattn.training.optimization import set_learning_rate, sgd
from segattn.training.run import OnProgress, Run
from segattn.training.step import Step

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
    """Train and evaluate one network and write its record; resumes from the newest checkpoint in `out`, if there is one.

    A finished run is not trained again; its record is returned.

    Args:
        num_workers: processes that prepare images.
        opened: the experiment's training and validation splits from `splits.open_data`, if they are already open.
        on_notice: called on rank 0 with each notice about the labels, and when it waits for the folder's lease.

    Raises:
        ValueError: the experiment or its data cannot be used, `out` holds another experiment's run, or the loss is not finite.
        Held, LeaseLost (ValueErrors of `segattn.records`): another process writes `out`, from the start or since.
        Interrupted: SIGINT or SIGTERM was received; the same call continues the run.
    """
    # Open: the folder, the data, the devices.
    configuration.check(config)
    optimization, out = config.optimization, Path(out)
    folder.refuse_another(out, config)
    if (ended := folder.ended(out)) is not None:
        return ended
    train_set, val_set = open_data(config.data) if opened is None else opened
    trained_cost = cost.experiment_cost(config, train_set.num_classes)  # fails now if an operator has no formula
    accelerator = execution.accelerator(optimization.precision, device)
    rank, world_size = accelerator.process_index, accelerator.num_processes
    if opened is None and accelerator.is_main_process:
        for notice in notices(train_set, val_set):
            on_notice(notice)

    # Build: the network, the optimiser, the stream of batches.
    torch.manual_seed(config.seed)
    model = build_model(config.model, train_set.num_classes)
    synchronize = accelerator.device.type == "cuda" and world_size > 1
    model = execution.arrange(model, optimization, synchronize=synchronize)
    network, optimizer = accelerator.prepare(model, sgd(model, optimization))
    weights = class_weights(
        optimization,
        train_set,
        rank=rank,
        world_size=world_size,
        total=lambda counts: accelerator.reduce(counts.to(accelerator.device), "sum"),
    )
    step = Step(optimization, accelerator, network, optimizer, model, weights)
    average = WeightAverage(model, optimization.ema_decay) if optimization.ema_decay else None
    stream = TrainingStream(
        train_set,
        config.augmentation,
        batch_size=optimization.batch_size,
        seed=config.seed,
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
    )

    # Restore: from here on files are written, under the folder's lease.
    state = folder.State(model, optimizer, accelerator.scaler, average)
    log = folder.open_log(out, config, state, accelerator, on_notice)

    with closing(log), signals() as received:
        stop = Stop(accelerator, received)
        run = Run(config, out, accelerator, state, log, val_set, stop, on_progress)

        # Loop: an evaluation that an interrupted run did not finish comes first.
        run.evaluate_if_due(log.start)
        network.train()
        for iteration, batch in enumerate(stream.batches(log.start, optimization.iterations), log.start):
            lr = set_learning_rate(optimizer, iteration, optimization)
            loss, losses = step(batch)
            run.check_finite(loss, iteration, batch["names"])
            if average is not None:
                average.update(iteration + 1)
            run.note(records.CurvePoint(iteration=iteration + 1, loss=loss, lr=lr, losses=losses))
            run.save_if_due(iteration + 1)
            run.evaluate_if_due(iteration + 1)

        # Finish: the last evaluation, the trained network, the record.
        record = run.finish(trained_cost)
        if stop.asked_for():
            raise Interrupted(f"stopped by {signal.Signals(received[0]).name} just after {out} was finished")
    return record
