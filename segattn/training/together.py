"""Head-only training of several heads side by side: one forward pass of the frozen backbone serves them all.

Each head has its own optimiser, random state, folder, record and checkpoints, as if it were trained alone, and ends with the
same weights to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from segattn import data
from segattn.config import Experiment, with_head
from segattn.data.features import StoredFeatures
from segattn.training import folder, resume, snapshots, trackers
from segattn.training.checks import check
from segattn.training.frozen import Frozen, stages_read
from segattn.training.interruption import Interrupted, signals
from segattn.training.processes import naming_the_lost
from segattn.training.run import Progress
from segattn.training.train import OnNotice, Training

OnProgress = Callable[[int, Progress], object]
"""Called with the index of a run among those given, and its progress."""


@naming_the_lost()
def train_side_by_side(
    runs: Sequence[tuple[Experiment, Path]],
    *,
    opened: tuple[data.Dataset, data.Dataset],
    device: str = "auto",
    num_workers: int = 0,
    stored: StoredFeatures | None = None,
    track: Sequence[str] | None = None,
    on_progress: OnProgress = lambda index, progress: None,
    on_notice: OnNotice = lambda notice: None,
) -> None:
    """Train the experiments, which differ in their head only, each into its folder; what is finished is left alone.

    Args:
        stored: the backbone's maps of the validation split, if they are stored; those of training are computed on the fly.
        track: as in `trackers.check`; each run has a tracker run of its own.

    Raises:
        ValueError: as `train`; the other runs keep a checkpoint of the iteration they have reached.
        Interrupted: SIGINT or SIGTERM was received; the same call continues all runs.
    """
    if stored is not None:
        stored = replace(stored, train=None)
    trackers.check(track, runs=len(runs))
    for config, out in runs:
        check(config)
        folder.refuse_another(out, config)
        if (
            with_head(config, runs[0][0].model.head, seed=runs[0][0].seed) != runs[0][0]
            or config.seed != runs[0][0].seed
        ):
            raise ValueError(f"{out}: runs side by side have one protocol and one seed, and differ in their head only")
    received: list[int] = []
    with ExitStack() as stack:
        members: list[_Member] = []
        for index, (config, out) in enumerate(runs):
            if folder.ended(out) is None:

                def report(progress: Progress, index: int = index) -> None:
                    on_progress(index, progress)

                training = Training(
                    config, out, received, device, num_workers, opened, stored, report, on_notice, track=track
                )
                stack.enter_context(closing(training))
                members.append(_Member(training, members[0].training if members else None))
        if not members:
            return
        stack.enter_context(signals(received))
        _loop(members)


class _Member:
    """One of the runs, with a random state of its own."""

    def __init__(self, training: Training, first: Training | None) -> None:
        self.training, self.random, self.done = training, resume.random_state(), training.start
        if first is not None:  # the same weights: one copy in memory
            training.run.state.model.backbone = first.run.state.model.backbone

    @contextmanager
    def in_turn(self) -> Iterator[Training]:
        """This run, with its own random state."""
        resume.set_random_state(self.random)
        try:
            yield self.training
        finally:
            self.random = resume.random_state()

    def save(self) -> None:
        """Write a checkpoint of the iteration that it has reached, unless there is one."""
        run = self.training.run
        if folder.ended(run.out) is None and snapshots.latest_iteration(run.out) != self.done > 0:
            with self.in_turn():
                run.save(self.done)


def _loop(members: Sequence[_Member]) -> None:
    first = members[0].training
    model = first.run.state.model
    configs = [member.training.config for member in members]
    stages = stages_read(configs, model.backbone.channels, model.num_classes)  # type: ignore[arg-type]
    backbone = Frozen(model.backbone, first.config, first.run.accelerator, stages)
    for member in members:
        with member.in_turn() as training:
            training.run.evaluate_if_due(training.start)
            training.network.train()
    start = min(member.done for member in members)
    batches = first.stream.batches(start, first.config.optimization.iterations)
    current = members[0]
    try:
        for iteration, batch in enumerate(backbone.batches(batches), start):
            for current in members:
                if current.done == iteration:
                    with current.in_turn() as training:
                        training.advance(iteration, batch)
                    current.done += 1
        for current in members:
            with current.in_turn() as training:
                training.finish()
    except (Interrupted, ValueError):
        for other in members:
            if other is not current:  # whose own checkpoint is written, or whose weights are no numbers
                other.save()
        raise
