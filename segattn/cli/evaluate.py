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

from segattn import config
from segattn.cli.arguments import parse, size
from segattn.records import Scores, Strata

if TYPE_CHECKING:
    from segattn.data import Dataset


@dataclass(frozen=True)
class EvaluateArguments:
    """Score a trained network on a split of the data set that it was trained on."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    split: str | None = None
    """Split to score; the validation split of the experiment unless given."""
    data_root: str | None = None
    """Folder of the data set, where it has moved since training."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set that replace those of training, such as version=10k."""
    mode: Literal["whole", "slide"] | None = None
    """Whole image or sliding window; as in the experiment unless given."""
    crop: str | None = None
    """Sliding window, HEIGHTxWIDTH."""
    stride: str | None = None
    """Step of the window, HEIGHTxWIDTH; two thirds of it unless given."""
    flip: bool = False
    """Average with the mirrored image; always where the experiment does."""
    scales: tuple[float, ...] | None = None
    """Average over these scales; as in the experiment unless given."""
    strata: bool = False
    """Also score boundaries, and by the size and the width of what is labelled."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None
    """As in training unless given; auto is bf16 where it is faster."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    json: Path | None = None
    """Also write the scores to this file."""
    write_predictions: Path | None = None
    """Also write every prediction into this folder, for Cityscapes, ADE20K and VOC as their test servers take them."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(EvaluateArguments, arguments, command="evaluate", description=EvaluateArguments.__doc__ or "")
    import torch
    from accelerate import PartialState

    from segattn import checkpoint, records
    from segattn.data.splits import notices, open_split
    from segattn.device import autocast, resolve_device, resolve_precision
    from segattn.evaluation.evaluate import evaluate, inference_of
    from segattn.evaluation.official import PredictionFiles, predict_split

    device, rank, world_size = resolve_device(chosen.device), 0, 1
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun: each process takes its share of the images
        state = PartialState(cpu=device.type == "cpu")
        device, rank, world_size = state.device, state.process_index, state.num_processes
    model = checkpoint.load_model(chosen.run, device=device)
    experiment: config.Experiment = model.experiment  # type: ignore[assignment]
    evaluation = dataclasses.replace(
        experiment.evaluation,
        mode=chosen.mode or experiment.evaluation.mode,
        crop_size=size(chosen.crop) if chosen.crop else experiment.evaluation.crop_size,
        stride=size(chosen.stride) if chosen.stride else experiment.evaluation.stride,
        flip=chosen.flip or experiment.evaluation.flip,
        scales=chosen.scales or experiment.evaluation.scales,
    )
    if evaluation.mode == "whole":
        if chosen.crop or chosen.stride:
            raise ValueError("--crop and --stride are for --mode slide")
        evaluation = dataclasses.replace(evaluation, crop_size=None, stride=None)
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
    inference = inference_of(evaluation)
    precision = resolve_precision(chosen.precision or experiment.optimization.precision, device)
    in_precision = partial(autocast, precision, device)
    if chosen.write_predictions is None:
        result = evaluate(model, dataset, inference, strata=chosen.strata, autocast=in_precision)
    else:
        files = PredictionFiles(dataset, chosen.write_predictions)
        if world_size > 1:
            torch.distributed.barrier()  # all have seen an empty folder
        if dataset.lazily(0).label is None:
            if chosen.json is not None:
                raise ValueError(f"{dataset.name} {dataset.split} has no labels, so no scores for --json; leave it out")
            predict_split(
                model, dataset, files, inference=inference, rank=rank, world_size=world_size, autocast=in_precision
            )
            console.print(
                f"{len(dataset)} predictions, no labels to score: {chosen.write_predictions}", highlight=False
            )
            return
        result = evaluate(model, dataset, inference, strata=chosen.strata, autocast=in_precision, on_prediction=files)
    _show(console, result.scores, dataset, precision)
    if result.strata is not None:
        _show_strata(console, result.strata)
    if chosen.json is not None and rank == 0:
        records.write(result.scores, chosen.json)


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
    for what, found in (("segments", strata.sizes), ("places", strata.widths)):
        for stratum in found:
            table.add_row(f"{stratum.name} {what}", _percent(stratum.share), _percent(stratum.mean_iou))
    console.print()
    console.print(table)
    console.print(f"[dim]{strata.definition}[/dim]", highlight=False)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
