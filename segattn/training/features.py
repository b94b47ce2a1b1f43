"""Computes the maps of a frozen backbone once, for all heads and seeds of a head-only study, into files.

A folder of features is named after a hash of everything that can change them: the backbone's weights and options, the data and
their files, the augmentation, the type, the precision. So a change of any of these never reuses the wrong ones. Several processes
may fill one folder: each part is written by the one that holds its lease, under a temporary name, and renamed when complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from segattn.config import Experiment, Features
from segattn.data import Dataset
from segattn.data.features import (
    Layout,
    Sample,
    StoredFeatures,
    StoredSplit,
    missing_bytes,
    same_index,
    size_text,
    write_index,
)
from segattn.data.items import Images, Items
from segattn.data.splits import open_data
from segattn.device import DTYPES
from segattn.model import map_shapes
from segattn.records import Held, Lease, writing
from segattn.training import execution
from segattn.training.checks import check
from segattn.training.fingerprint import facts
from segattn.training.frozen import Frozen, augmented_copies, stages_read
from segattn.training.start import build, refuse_other_trunks

OnSample = Callable[[int, int], object]
"""Called with the number of samples that are computed, and of all."""


@dataclass(frozen=True)
class Plan:
    """What would be stored, and where."""

    folder: Path
    facts: dict[str, Any]
    frozen: Frozen
    layouts: dict[str, Layout]
    """By split: train, and val if the evaluation predicts whole images once."""
    items: dict[str, Items]
    opened: tuple[Dataset, Dataset]
    settings: Features

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(layout.num_bytes for layout in self.layouts.values())

    @property
    def is_complete(self) -> bool:
        """Whether everything is stored already."""
        return same_index(self.folder, self.facts) and self.missing_bytes == 0

    @property
    def missing_bytes(self) -> int:
        """Size of the files that are still to be written."""
        return missing_bytes(self.folder, self.layouts.values())

    def without_train(self) -> Plan:
        """The same for the validation split alone."""
        return dataclasses.replace(self, layouts={name: self.layouts[name] for name in self.layouts if name != "train"})

    def describe(self) -> str:
        """What is stored, in words, with its size."""
        train = self.layouts["train"]
        shapes = train.samples[0].maps.items()
        maps = ", ".join(f"stage {stage + 1} {'x'.join(map(str, shape))}" for stage, shape in shapes)
        val = f" and {len(self.layouts['val'].samples)} validation images" if "val" in self.layouts else ""
        return (
            f"{len(train.samples)} crops ({self.settings.copies} of each image){val}, {maps} in {self.settings.dtype}: "
            f"{size_text(self.num_bytes)} in {self.folder}"
        )

    def open(self) -> StoredFeatures:
        """The complete features.

        Raises:
            ValueError: a part is missing or cut off.
        """
        splits = {}
        for name, dataset in zip(("train", "val"), self.opened, strict=True):
            if name in self.layouts:
                layout, copies = self.layouts[name], self.settings.copies if name == "train" else 1
                for part in range(len(layout.parts)):
                    layout.check(self.folder, part)
                splits[name] = StoredSplit(self.folder, layout, dataset, copies)
        return StoredFeatures(self.folder, splits.get("train"), splits.get("val"))


def plan_features(
    experiments: Sequence[Experiment], opened: tuple[Dataset, Dataset], root: str | Path, *, device: str = "auto"
) -> Plan:
    """What the heads of these head-only experiments, which differ in head and seed only, need of the frozen backbone.

    Features that hold more stages than are needed serve too.

    Raises:
        ValueError: an experiment that trains the whole network, or whose pretrained network does not fit.
    """
    first = experiments[0]
    for experiment in experiments:
        check(experiment)
        if experiment.optimization.train != "head":
            raise ValueError(
                f"features are for head-only training, and {experiment.name} trains the whole network; add --train head"
            )
    train_set, val_set = opened
    accelerator = execution.accelerator(first.optimization.precision, device)
    model, _ = build(first, opened)
    refuse_other_trunks(experiments)
    alike = dataclasses.replace(first.optimization, freeze="")  # of the head, which others may not have
    backbone = execution.arrange(model, alike, synchronize=False).backbone.to(accelerator.device)
    stages = stages_read(experiments, backbone.channels, train_set.num_classes)  # type: ignore[arg-type]
    common = facts(first, backbone, opened, precision=accelerator.mixed_precision)
    key = hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()[:12]
    folders = {wider: Path(root) / _folder_name(key, wider) for wider in _subsets(4) if set(wider) >= set(stages)}
    existing = [wider for wider in folders if wider != stages and folders[wider].exists()]
    plan_of = _Planner(first, model.backbone, common, opened, accelerator)
    plans = (plan_of(wider, folders[wider]) for wider in [stages, *existing])
    return next((plan for plan in plans if plan.is_complete), None) or plan_of(stages, folders[stages])


def _folder_name(key: str, stages: Sequence[int]) -> str:
    return f"{key}-stage{''.join(str(stage + 1) for stage in stages)}"


def _subsets(count: int) -> list[tuple[int, ...]]:
    """All sets of stages, the smaller ones first."""
    return sorted((tuple(i for i in range(count) if number >> i & 1) for number in range(1, 2**count)), key=len)


class _Planner:
    """Plans for several choices of stages; the images' sizes are read once, and the backbone runs once for each size."""

    def __init__(
        self,
        experiment: Experiment,
        backbone: nn.Module,
        common: dict[str, Any],
        opened: tuple[Dataset, Dataset],
        accelerator: Accelerator,
    ) -> None:
        self.experiment, self.backbone, self.common = experiment, backbone, common
        self.opened, self.accelerator = opened, accelerator
        self.items: dict[str, Items] = {"train": augmented_copies(opened[0], experiment)}
        self.sizes = {"train": [experiment.augmentation.crop_size] * len(self.items["train"])}
        if experiment.evaluation.one_plain_pass:
            val_set = opened[1]
            self.items["val"] = Images(val_set, experiment.network)
            self.sizes["val"] = [val_set.lazily(index).size for index in range(len(val_set))]
        channels, sizes = experiment.model.in_channels, {size for sizes in self.sizes.values() for size in sizes}
        self.shapes = {size: map_shapes(backbone, size, in_channels=channels) for size in sizes}

    def __call__(self, stages: tuple[int, ...], folder: Path) -> Plan:
        samples = {size: Sample({i: maps[i] for i in stages}, size) for size, maps in self.shapes.items()}
        dtype = DTYPES[self.experiment.features.dtype]
        return Plan(
            folder=folder,
            facts={**self.common, "stages": list(stages)},
            frozen=Frozen(self.backbone, self.experiment, self.accelerator, stages),
            layouts={
                split: Layout(split, [samples[size] for size in sizes], dtype) for split, sizes in self.sizes.items()
            },
            items=self.items,
            opened=self.opened,
            settings=self.experiment.features,
        )


def compute(plan: Plan, *, on_sample: OnSample = lambda done, total: None) -> StoredFeatures:
    """Store what is missing; several processes may call this at once, also on several machines that share the folder.

    Raises:
        ValueError: the disk is full or the folder cannot be written; complete parts are kept.
    """
    total = sum(len(layout.samples) for layout in plan.layouts.values())
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if not same_index(plan.folder, plan.facts):
            write_index(plan.folder, plan.facts)
        _fill(plan, lambda done: on_sample(done, total))
    except OSError as error:
        raise ValueError(
            f"features cannot be written into {plan.folder}: {error.strerror or error}; complete parts are kept. Free some "
            "disk space, or choose another folder, and run the same command again"
        ) from error
    return plan.open()


def compute_with(
    workers: int,
    plan: Plan,
    experiments: Sequence[Experiment],
    root: str | Path,
    *,
    device: str = "auto",
    on_sample: OnSample = lambda done, total: None,
) -> StoredFeatures:
    """As `compute`, shared by `workers` processes; the other arguments are those that `plan_features` made the plan from."""
    threads = torch.get_num_threads()
    share = max(1, threads // workers)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_help, args=(list(experiments), Path(root), device, share), daemon=True)
        for _ in range(workers - 1)
    ]
    for other in others:
        other.start()
    torch.set_num_threads(share)
    try:
        return compute(plan, on_sample=on_sample)
    finally:
        torch.set_num_threads(threads)
        for other in others:
            other.terminate()  # nothing is left to do, or this process has failed
            other.join()


def _help(experiments: list[Experiment], root: Path, device: str, threads: int) -> None:
    """What another process of `compute_with` does; its mistakes are those of the first process, which reports them."""
    torch.set_num_threads(threads)
    with contextlib.suppress(ValueError):
        compute(plan_features(experiments, open_data(experiments[0].data), root, device=device))


def _fill(plan: Plan, on_done: Callable[[int], object]) -> None:
    """Write every part that is missing and that no other process writes, until all are there."""
    parts = [(layout, part) for layout in plan.layouts.values() for part in range(len(layout.parts))]
    waiting = [(layout, part) for layout, part in parts if not layout.is_stored(plan.folder, part)]
    done, all_held = sum(len(layout.parts[part]) for layout, part in parts if (layout, part) not in waiting), False
    while waiting:
        held = []
        for layout, part in waiting:
            if not layout.is_stored(plan.folder, part):
                try:
                    name = f".{layout.name(part)}.lease"
                    with Lease(plan.folder, "features", name=name, watch=all_held) as lease:
                        if not layout.is_stored(plan.folder, part):
                            _write(plan, layout, part, lease, on_done, done)
                except Held:
                    held.append((layout, part))
                    continue
            done += len(layout.parts[part])
            on_done(done)
        all_held = len(held) == len(waiting)  # then a holder is watched: it may be dead
        waiting = held
        if waiting:
            time.sleep(0.2)


def _write(plan: Plan, layout: Layout, part: int, lease: Lease, on_done: Callable[[int], object], before: int) -> None:
    """Compute a part and write it in one step; `before` samples are done already."""
    with writing(plan.folder / layout.name(part)) as temporary:
        with temporary.open("wb") as file:
            for done, item in enumerate(layout.parts[part], before + 1):
                image, label, name, _ = plan.items[layout.split][item]
                if label is None:
                    raise ValueError(f"{name} has no label; features are stored with labels")
                assert isinstance(image, Tensor)
                file.write(layout.record(item, plan.frozen.maps(image), label))
                on_done(done)
        lease.check()
