"""Finished runs as networks of the zoo: read, rounded as they are stored, checked against their trunk and their own scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segattn import checkpoint, config, heads, records, zoo
from segattn.data.splits import open_split
from segattn.evaluation.evaluate import evaluate, scores
from segattn.model import SegmentationModel

ROUNDING, ARITHMETIC = 0.001, 0.01
"""Largest differences in mIoU: by the storage type; by the arithmetic of the run's own evaluation, such as bf16."""
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    model: SegmentationModel
    record: records.RunRecord

    @property
    def experiment(self) -> config.Experiment:
        assert self.model.experiment is not None
        return self.model.experiment

    @property
    def network(self) -> str:
        """Name of its network within the trunk."""
        head, mode = self.record.head, self.record.mode
        return head if mode == "controlled" else f"{head}-{mode}"

    @property
    def machine(self) -> str:
        where = self.record.environment
        device = f"{where.processor}, {where.cores} cores" if where.device == "cpu" else where.device
        return f"{device}, {where.precision}"


def read_run(folder: Path) -> Run:
    """A finished run.

    Raises:
        ValueError: it is not finished, or damaged; its head is none of segattn's.
    """
    run = Run(folder, checkpoint.load_model(folder), records.read(folder / "record.json"))
    if run.record.head not in heads.names():
        raise ValueError(f"{folder}: head {run.record.head} is not one of segattn, so no installation could load it")
    return run


def tensors(run: Run, *prefixes: str) -> dict[str, Tensor]:
    """The network's tensors whose names begin so."""
    return {name: value for name, value in run.model.state_dict().items() if name.startswith(prefixes)}


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are stored: of two dimensions or more in fp16 or bf16, whichever is nearer (sum of squares)."""

    def nearest(value: Tensor) -> Tensor:
        if value.dim() < 2 or not value.is_floating_point():
            return value.float() if value.is_floating_point() else value
        rounded = [value.to(dtype) for dtype in TYPES]  # fp16 first: it is taken if both lose the same
        return min(rounded, key=lambda each: (each.double() - value.double()).square().sum().item())

    return {name: nearest(value.detach().cpu()).contiguous() for name, value in state.items()}


@dataclass(frozen=True)
class Trunk:
    """What every network on a trunk shares, of a run or packed."""

    folder: Path
    settings: config.Model
    class_names: tuple[str, ...]
    weights: Mapping[str, Tensor]
    """As they are stored."""

    @classmethod
    def of_run(cls, run: Run) -> Trunk:
        weights = stored(tensors(run, "backbone.", "head."))
        return cls(run.folder, run.experiment.model, tuple(run.record.class_names), weights)

    @classmethod
    def of_entry(cls, entry: zoo.Entry) -> Trunk:
        settings = config.from_dict(entry.experiment).model
        file = entry.trunk_file
        return cls(file.path.parent, settings, entry.class_names, checkpoint.read_tensors(file.verified()))


def check(run: Run, trunk: Trunk, scenes: Mapping[str, Any]) -> None:
    """Raise ValueError unless the run's network is a head on the trunk's backbone, scored on these scenes."""
    for setting in ("backbone", "output_stride", "backbone_options"):
        own, shared = getattr(run.experiment.model, setting), getattr(trunk.settings, setting)
        if own != shared:
            raise ValueError(f"{run.folder}: model.{setting} is {own}, that of the trunk {trunk.folder} {shared}")
    state = tensors(run, "backbone.")
    for name in state:
        if name.endswith("num_batches_tracked"):  # a counter that nothing reads
            continue
        # trained on the trunk, rounded or not
        if not torch.equal(state[name].to(trunk.weights[name].dtype), trunk.weights[name]):
            advice = "a network of the zoo is a head on the frozen trunk"
            raise ValueError(f"{run.folder}: {name} differs from the trunk's ({trunk.folder}); {advice}")
    if tuple(run.record.class_names) != trunk.class_names:
        raise ValueError(f"{run.folder}: other classes than the trunk {trunk.folder}")
    if run.record.scores.num_images != scenes["val_images"]:
        raise ValueError(
            f"{run.folder}: scored on {run.record.scores.num_images} scenes, not {scenes['val_images']}; give --scenes"
        )


def measured(run: Run, entry: zoo.Entry, say: Callable[[str], object]) -> float:
    """mIoU of the stored network on the first scenes, in fp32.

    Raises:
        ValueError: it is not that of the run, or the run's own counts are not those of these scenes.
    """
    packed = checkpoint.load_model(entry)
    assert packed.experiment is not None
    section = packed.experiment.data
    dataset = open_split(section, section.val_split, entry.first_images)
    exact, rounded = (
        evaluate(model, dataset, run.experiment.evaluation).scores.mean_iou for model in (run.model, packed)
    )
    say(
        f"{entry.name}: {100 * rounded:.2f} % on {len(dataset)} scenes; rounding: {100 * (rounded - exact):+.3f} points"
    )
    if abs(rounded - exact) > ROUNDING:
        raise ValueError(
            f"{run.folder}: {100 * exact:.2f} % on the first {len(dataset)} scenes, rounded {100 * rounded:.2f} %"
        )
    with np.load(run.folder / "per_image.npz", allow_pickle=False) as counts:
        recorded = scores(counts["confusion"][: len(dataset)].sum(0), len(dataset), "").mean_iou
    if abs(recorded - exact) > ARITHMETIC:
        raise ValueError(
            f"{run.folder}: {100 * exact:.2f} % on the first {len(dataset)} generated scenes, but {100 * recorded:.2f} % in the "
            "run's own evaluation; the run was scored on other scenes: give --scenes"
        )
    return rounded
