"""`segattn evaluate`: score a trained network again, on another split or with other inference."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from segattn.cli.arguments import parse
from segattn.cli.values import Device, Size
from segattn.records import Scores, Strata

if TYPE_CHECKING:
    from segattn.data import Dataset


@dataclass(frozen=True)
class EvaluateArguments:
    """Score a trained network on a split of the data set that it was trained on.

    segattn evaluate runs/quick/ccnet-faithful-s0 --split test
    segattn evaluate streets/ccnet
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, or a name of `segattn zoo`."""
    split: str | None = None
    """Split to score; by default the validation split of the experiment."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Folder of the data set, if it has moved since training."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k; they replace those of training."""
    mode: Literal["whole", "slide"] | None = None
    """whole: the image in one pass; slide: a sliding window; by default as in the experiment."""
    crop_size: Size | None = None
    """Size of the sliding window."""
    stride: Size | None = None
    """Step of the sliding window; by default two thirds of its size."""
    flip: bool = False
    """Average with the mirrored image; always on if the experiment has it on."""
    scales: tuple[float, ...] | None = None
    """Average over the image at these scales; by default as in the experiment."""
    strata: bool = False
    """Also score boundaries, and segments by size and width."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None
    """By default as in training; auto: bf16 on GPUs and CPUs where it is faster, fp32 elsewhere."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Also write the scores to this file."""
    write_predictions: Path | None = None
    """Also write every prediction to this folder; for Cityscapes, ADE20K and VOC in the format of their test servers."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(EvaluateArguments, arguments, command="evaluate")
    import torch
    from accelerate import PartialState

    from segattn import checkpoint, records
    from segattn.data.splits import notices, open_split
    from segattn.device import autocast, resolve_device, resolve_precision
    from segattn.evaluation.evaluate import evaluate
    from segattn.evaluation.official import PredictionFiles, predict_split

    device, rank, world_size = resolve_device(chosen.device), 0, 1
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun: each process takes its share of the images
        state = PartialState(cpu=device.type == "cpu")
        device, rank, world_size = state.device, state.process_index, state.num_processes
    model = checkpoint.load_model(chosen.run, device=device)
    experiment = model.experiment
    assert experiment is not None  # as of every network that was loaded
    trained = experiment.evaluation
    mode = chosen.mode or trained.mode
    crop_size = chosen.crop_size or trained.crop_size
    stride = chosen.stride or trained.stride
    if mode == "whole":
        if chosen.crop_size or chosen.stride:
            raise ValueError("--crop-size and --stride are for --mode slide")
        crop_size = stride = None
    evaluation = dataclasses.replace(
        trained,
        mode=mode,
        crop_size=crop_size,
        stride=stride,
        flip=chosen.flip or trained.flip,
        scales=chosen.scales or trained.scales,
    )
    section = dataclasses.replace(
        experiment.data,
        root=chosen.data_root or experiment.data.root,
        options={**experiment.data.options, **chosen.data_options},
    )
    if chosen.split is not None:
        section = dataclasses.replace(section, val_split=chosen.split)
    dataset = open_split(section, section.val_split, section.val_images)
    console = Console(quiet=rank > 0)
    for notice in notices(dataset):
        console.print(notice, highlight=False, markup=False)
    precision = resolve_precision(chosen.precision or experiment.optimization.precision, device)
    in_precision = partial(autocast, precision, device)
    if chosen.write_predictions is None:
        result = evaluate(model, dataset, evaluation, strata=chosen.strata, autocast=in_precision)
    else:
        files = PredictionFiles(dataset, chosen.write_predictions)
        if world_size > 1:
            torch.distributed.barrier()  # until every process has seen that the folder is empty
        if dataset.lazily(0).label is None:
            if chosen.out is not None:
                raise ValueError(f"{dataset.name} {dataset.split} has no labels, so no scores for --out; leave it out")
            predict_split(
                model, dataset, files, inference=evaluation, rank=rank, world_size=world_size, autocast=in_precision
            )
            console.print(
                f"{len(dataset)} predictions, no labels to score: {chosen.write_predictions}", highlight=False
            )
            return
        result = evaluate(model, dataset, evaluation, strata=chosen.strata, autocast=in_precision, on_prediction=files)
    _show(console, result.scores, dataset, precision)
    if result.strata is not None:
        _show_strata(console, result.strata)
    if chosen.out is not None and rank == 0:
        records.write(result.scores, chosen.out)


def _show(console: Console, scores: Scores, dataset: Dataset, precision: str) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("class")
    table.add_column("IoU %", justify="right")
    table.add_column("accuracy %", justify="right")
    for name, iou, accuracy in zip(dataset.class_names, scores.iou, scores.accuracy, strict=True):
        table.add_row(name, _percent(iou), _percent(accuracy))
    console.print(table)
    console.print(
        f"\nmIoU {_percent(scores.mean_iou)} %   pixel accuracy {_percent(scores.pixel_accuracy)} %   "
        f"mean accuracy {_percent(scores.mean_accuracy)} %   on {scores.num_images} images of {dataset.name} {dataset.split}",
        highlight=False,
    )
    console.print(f"[dim]{scores.inference}; {precision}\n{scores.definition}[/dim]", highlight=False)


def _show_strata(console: Console, strata: Strata) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("where")
    table.add_column("share of pixels %", justify="right")
    table.add_column("mIoU %", justify="right")
    table.add_row("boundaries", "", _percent(strata.boundary_mean_iou))
    for what, strata_of in (("segments", strata.sizes), ("places", strata.widths)):
        for stratum in strata_of:
            table.add_row(f"{stratum.name} {what}", _percent(stratum.share), _percent(stratum.mean_iou))
    console.print()
    console.print(table)
    console.print(f"[dim]{strata.definition}[/dim]", highlight=False)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
