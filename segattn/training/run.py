"""A run in progress: logging, checkpoints and evaluation between the steps of `segattn.training.train`, and at the end."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object

from segattn import checkpoint, records
from segattn.config import Experiment
from segattn.data import Dataset
from segattn.data.items import Items
from segattn.data.tools.images import range_of
from segattn.data.tools.labels import unscorable
from segattn.evaluation import without_attention
from segattn.evaluation.evaluate import Evaluated, evaluate
from segattn.training import results, resume, snapshots
from segattn.training.interruption import Stop
from segattn.training.log import Log, fingerprint
from segattn.training.processes import agreed


@dataclass(frozen=True)
class Progress:
    """Progress of a run, for progress bars."""

    stage: str
    """`features`, `train` or `evaluate`."""
    done: int
    total: int
    loss: float | None = None
    before: int = 0
    """Of those done, the iterations that an earlier, interrupted call did."""


OnProgress = Callable[[Progress], object]


@dataclass
class Run:
    """One process's part of a run. `done` is the number of finished iterations.

    All processes call the methods at the same points, because they may wait for each other; only rank 0 writes files.
    """

    config: Experiment
    out: Path
    """The run's folder."""
    accelerator: Accelerator
    state: resume.State
    """Everything that training changes: weights, momentum, loss scale of fp16, weight average."""
    log: Log
    val_set: Dataset
    stop: Stop
    on_progress: OnProgress
    val_items: Items | None = None
    """Samples of the validation split with the maps of a frozen backbone instead of images."""
    start: records.Start | None = None
    """What the network started from, if it had pretrained weights."""
    began: float = field(default_factory=time.perf_counter)
    """`time.perf_counter()` when this process started the run."""
    seconds_before: float = field(init=False)
    """Seconds that earlier, interrupted processes spent on the run."""

    def __post_init__(self) -> None:
        self.seconds_before = self.log.seconds

    @property
    def seconds(self) -> float:
        """Seconds spent on the run so far, without the time between an interruption and its continuation."""
        return self.seconds_before + time.perf_counter() - self.began

    def check_finite(self, loss: float, iteration: int, names: Sequence[str]) -> None:
        """Raise ValueError, naming the images, unless the loss of `iteration` (counted from 0) is a number."""
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at iteration {iteration} ({', '.join(names)})")

    def check_weights(self, done: int) -> None:
        """Raise ValueError in all processes unless all weights, statistics, momenta and averages are finite in each of them."""
        named = checkpoint.not_finite({**self.state.moving, **self.state.model.state_dict()})
        num_diverged = torch.tensor(float(bool(named)), device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            num_diverged = self.accelerator.reduce(num_diverged, "sum")
        if num_diverged:
            where = checkpoint.some(named) if named else "a statistic of another process"
            raise self._diverged(f"the network is not finite after iteration {done}: {where}")

    def _diverged(self, what: str) -> ValueError:
        good = snapshots.latest_iteration(self.out)
        lr = self.config.optimization.lr / 2
        kept = (
            f"the last good checkpoint, of iteration {good}, is kept in {self.out / 'checkpoints'}. To go on from it with a "
            f"lower learning rate: segattn train as before with --resume-from-good --optimization.lr {lr:g} -o {self.out}. Or try"
            if good
            else "there is no checkpoint yet. Try a lower optimization.lr,"
        )
        return ValueError(f"{what}; {kept} a warm-up, optimization.clip_norm (usual: 1), or precision fp32")

    def note(self, point: records.CurvePoint) -> None:
        """Log the point if one is due, and report progress."""
        done, iterations = point.iteration, self.config.optimization.iterations
        if done % self.config.log_every == 0 or done == iterations or self._is_validated(done):
            with agreed(self.accelerator):
                self.log.add(point, self.seconds)
        self.on_progress(Progress("train", done, iterations, point.loss, self.log.start))

    def save_if_due(self, done: int) -> None:
        """Write a checkpoint if one is due or if a signal was received.

        Raises:
            Interrupted: one of the processes received a signal.
        """
        stopping = self.stop.asked_for()
        last = done == self.config.optimization.iterations
        if done % self.config.checkpoint_every == 0 or stopping or last or self._is_validated(done):
            self.save(done)
        if stopping:
            self.stop.raise_interrupted(f"at iteration {done}")

    def save(self, done: int) -> None:
        """Write a checkpoint with the random states of all processes; none of a network that has diverged."""
        self.check_weights(done)
        states = [resume.random_state()]
        if self.accelerator.num_processes > 1:
            states = gather_object(states)
            if self.state.dropout is not None:
                self.state.dropout.follow(states[0])
        with agreed(self.accelerator):
            if self.accelerator.is_main_process:
                self.log.check()
                facts = {**self.log.facts, "log": fingerprint(self.log.lines)}
                resume.save(self.out, self.state, done, states, facts, first=self.log.sync)

    def evaluate_if_due(self, done: int) -> None:
        """Evaluate if due after iteration `done` and not in the log yet; a checkpoint has been written before."""
        if not self._is_validated(done):
            return
        point = next((point for point in self.log.points[-1:] if point.iteration == done), None)
        if point is not None and point.mean_iou is None:
            mean_iou = self.evaluate(f"in the evaluation after iteration {done}").scores.mean_iou
            with agreed(self.accelerator):
                self.log.replace_last(dataclasses.replace(point, mean_iou=mean_iou))

    def evaluate(self, when: str, *, final: bool = False, part: int = 0, parts: int = 1) -> Evaluated:
        """Scores on the validation split; can be interrupted, because a checkpoint has been written before.

        Progress is that of the `part`-th of `parts` evaluations.
        """
        if self.accelerator.num_processes > 1:
            for buffer in self.state.model.buffers():  # norm statistics differ between processes: use rank 0's
                buffer.copy_(broadcast(buffer))
        with self._averaged():
            return evaluate(
                self.state.model,
                self.val_set,
                self.config.evaluation,
                batch_size=4,
                items=self.val_items,
                strata=final and self.config.evaluation.strata,
                autocast=self.accelerator.autocast,
                on_image=lambda done, total: self.on_progress(Progress("evaluate", part * total + done, parts * total)),
                watched=lambda batches: self.stop.until_asked_for(batches, when),
            )

    def _averaged(self) -> AbstractContextManager[None]:
        """The averaged weights inside the context, where the run has any."""
        return nullcontext() if self.state.average is None else self.state.average.applied()

    def finish(self, trained_cost: records.Cost, train_set: Dataset) -> records.RunRecord:
        """Write the network; evaluate it, with its mechanism and without; write example pictures and record.

        `train_set` is read only as far as the range of its images is not known yet.
        """
        self.check_weights(self.config.optimization.iterations)
        train_seconds = self.seconds
        model = self.state.model.eval()
        with agreed(self.accelerator), self._averaged():
            if self.accelerator.is_main_process:
                facts: dict[str, Any] = {"data": self.log.facts["data"], "images": range_of(train_set)}
                results.write_network(self.out, model, self.config, self.val_set, check=self.log.check, **facts)
        began = time.perf_counter()
        try:
            result, without = self._evaluate_last()
        except ValueError as error:
            raise ValueError(f"{error}. The trained network is in {self.out}, without scores") from error
        evaluate_seconds = time.perf_counter() - began
        if self.state.average is not None:
            model.load_state_dict(self.state.average.values, strict=False)
        precision = {"no": "fp32"}.get(self.accelerator.mixed_precision, self.accelerator.mixed_precision)
        record = results.record_of(
            self.config,
            self.val_set,
            result,
            self.log.points,
            without=None if without is None else without_attention.record(model, without),
            gates=without_attention.learnt_gates(model),
            train_seconds=train_seconds,
            evaluate_seconds=evaluate_seconds,
            device=self.accelerator.device,
            precision=precision,
            cost=trained_cost,
            start=self.start,
            earlier=[records.EarlierSettings(**each) for each in self.log.facts["earlier"]],
        )
        with agreed(self.accelerator):
            if self.accelerator.is_main_process:
                record = results.write(
                    self.out,
                    model,
                    self.config,
                    self.val_set,
                    result,
                    record,
                    without=without,
                    autocast=self.accelerator.autocast,
                    check=self.log.check,
                )
                self.log.trackers.scores(record)
        return record

    def _evaluate_last(self) -> tuple[Evaluated, Evaluated | None]:
        """The scores that are recorded, and those with the mechanism cut out where that is chosen and there is one."""
        when, model = "in the last evaluation", self.state.model
        if not (self.config.evaluation.without_attention and without_attention.has_mechanism(model)):
            return self.evaluate(when, final=True), None
        with without_attention.collected(model) as means:
            result = self.evaluate(when, final=True, parts=2)
        score = functools.partial(self.evaluate, when, final=True, part=1, parts=2)
        return result, without_attention.evaluate_without(model, score, means)

    def _is_validated(self, done: int) -> bool:
        """Whether the network is evaluated after iteration `done`; `finish` does the last evaluation, or says why it cannot."""
        every = self.config.validate_every
        is_due = bool(every) and 0 < done < self.config.optimization.iterations and done % every == 0
        return is_due and not unscorable(self.val_set)
