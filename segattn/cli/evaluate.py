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

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Device, Modules, Size
from segattn.records import Strata

if TYPE_CHECKING:
    from segattn.data import Dataset
    from segattn.evaluation.evaluate import Evaluated
    from segattn.inference.export import ExportedModel
    from segattn.model import SegmentationModel


@dataclass(frozen=True)
class EvaluateArguments:
    """Score a trained network on a split of the data set that it was trained on.

    segattn evaluate runs/quick/ccnet-controlled-s0 --split test
    segattn evaluate streets/ccnet
    segattn evaluate net.onnx
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, a name of `segattn zoo`, or a file of `segattn export`."""
    split: str | None = None
    """Split to score; by default the validation split of the experiment."""
    images: int | None = None
    """Score the first images of the split, this many, or as many generated scenes; by default as many as in the experiment."""
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
    without_attention: bool = False
    """Also score the network with its mechanism removed, without retraining."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None = None
    """By default as in training; auto: bf16 on GPUs and CPUs where it is faster, fp32 elsewhere."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Also write the scores to this file."""
    write_predictions: Path | None = None
    """Also write every prediction to this folder; for Cityscapes, ADE20K and VOC in the format of their test servers."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(EvaluateArguments, arguments, command="evaluate")
    from segattn.records.pictures import most_pixels
    from segattn.training.processes import naming_the_lost

    with naming_the_lost(), most_pixels(chosen.max_pixels):
        _evaluate(chosen)


def _evaluate(chosen: EvaluateArguments) -> None:
    import torch
    from accelerate import PartialState

    from segattn import checkpoint
    from segattn.data.splits import notices, open_split
    from segattn.data.tools.images import outside
    from segattn.data.tools.labels import refuse_unscorable, unscorable
    from segattn.device import autocast, resolve_device, resolve_precision
    from segattn.evaluation.evaluate import class_order, evaluate
    from segattn.evaluation.official import PredictionFiles, predict_split
    from segattn.evaluation.without_attention import collected, evaluate_without, replacement
    from segattn.inference.export import is_exported, words
    from segattn.training.fingerprint import noted
    from segattn.training.processes import PATIENCE

    device, rank, world_size = resolve_device(chosen.device), 0, 1
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun: each process takes its share of the images
        state = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
        device, rank, world_size = state.device, state.process_index, state.num_processes
    exported = _exported(chosen, "cpu" if world_size > 1 else chosen.device) if is_exported(chosen.run) else None
    model: Any = exported or checkpoint.load_model(chosen.run, device=device, allow_modules=chosen.allow_module)
    trained_on = exported.facts.data if exported else checkpoint.read_config(chosen.run).get("data")
    experiment = model.experiment
    if chosen.without_attention:
        replacement(model)  # a head that has no mechanism is an error before anything is evaluated
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
    if chosen.images is not None:
        if chosen.images < 1:
            raise ValueError(f"--images {chosen.images}: at least 1")
        section = dataclasses.replace(section, val_images=chosen.images)
    dataset = open_split(section, section.val_split, section.val_images)
    class_order(model, dataset)  # other classes are refused before anything is said or computed
    if chosen.write_predictions is None:
        refuse_unscorable(dataset)
    console = terminal.console(quiet=rank > 0)
    changed = noted(model.class_names or (), trained_on, dataset)
    for notice in filter(None, [*notices(dataset), changed, outside(model.image_range, dataset)]):
        console.print(notice, highlight=False, markup=False)
    precision = resolve_precision(chosen.precision or experiment.optimization.precision, device)
    in_precision = partial(autocast, "fp32" if exported else precision, device)
    if exported:
        precision = f"{exported.facts.precision} in {words.runtime_name(chosen.run.suffix)}"
        exported.check(evaluation)
    score = plain = partial(evaluate, model, dataset, evaluation, strata=chosen.strata, autocast=in_precision)
    if chosen.write_predictions is not None:
        files = PredictionFiles(dataset, chosen.write_predictions)
        if world_size > 1:
            torch.distributed.barrier()  # until every process has seen that the folder is empty
        if dataset.label(0) is None or unscorable(dataset):
            for option, is_chosen in (("--out", chosen.out), ("--without-attention", chosen.without_attention)):
                if is_chosen:
                    raise ValueError(
                        f"{dataset.name} {dataset.split} has no labels, so no scores for {option}; leave it out"
                    )
            predict_split(
                model, dataset, files, inference=evaluation, rank=rank, world_size=world_size, autocast=in_precision
            )
            what = f"{len(dataset)} predictions, no labels to score: {chosen.write_predictions}"
            console.print(what, highlight=False, soft_wrap=True)
            next_step.label_photos(console, chosen.run, modules=chosen.allow_module)
            return
        plain = partial(score, on_prediction=files)
    without = None
    if chosen.without_attention:
        with collected(model) as means:
            result = plain()
        without = evaluate_without(model, score, means)
    else:
        result = plain()
    _show(console, model, result, without, dataset, precision)
    if chosen.out is not None and rank == 0:
        _write(chosen.out, model, result, without, dataset.split)
    next_step.label_photos(console, chosen.run, modules=chosen.allow_module)


def _exported(chosen: EvaluateArguments, device: str) -> ExportedModel:
    """A file of `segattn export`, after the options were checked that it does not take."""
    from segattn.inference.export import load_exported

    if chosen.without_attention or chosen.precision is not None:
        option = "--without-attention" if chosen.without_attention else "--precision"
        raise ValueError(
            f"{option} needs the network itself, and {chosen.run} is an exported file; leave it out, or give the run"
        )
    model = load_exported(chosen.run, device=device, allow_modules=chosen.allow_module)
    if model.experiment is None:
        raise ValueError(
            f"{chosen.run} does not say what data its network was trained on; it was exported without a run"
        )
    return model


def _show(
    console: Console,
    model: SegmentationModel,
    result: Evaluated,
    without: Evaluated | None,
    dataset: Dataset,
    precision: str,
) -> None:
    """The tables of classes and strata, each line with the scores of both networks if there are two."""
    scores, cut = result.scores, None if without is None else without.scores
    table = _table("class", "IoU %", *_BOTH[: 2 * (cut is not None)], "accuracy %")
    for index, name in enumerate(dataset.class_names):
        values = _values(scores.iou[index], None if cut is None else (cut.iou[index],))
        table.add_row(name, *values, _percent(scores.accuracy[index]))
    console.print(table)
    images = f"{scores.num_images} image{'' if scores.num_images == 1 else 's'}"
    console.print(
        f"\nmIoU {_percent(scores.mean_iou)} %   pixel accuracy {_percent(scores.pixel_accuracy)} %   "
        f"mean accuracy {_percent(scores.mean_accuracy)} %   on {images} of {dataset.title} {dataset.split}",
        highlight=False,
        markup=False,
    )
    if cut is not None:
        console.print(_what_was_cut(model, scores.mean_iou, cut.mean_iou), highlight=False, markup=False)
    console.print(f"{scores.inference}; {precision}\n{scores.definition}", style="dim", highlight=False)
    if result.strata is not None:
        _show_strata(console, result.strata, None if without is None else without.strata)


def _show_strata(console: Console, strata: Strata, cut: Strata | None) -> None:
    table = _table("where", "share of pixels %", "mIoU %", *_BOTH[: 2 * (cut is not None)])
    others = [None] * 7 if cut is None else [(value,) for _, _, value in _means(cut)]
    for (where, share, value), other in zip(_means(strata), others, strict=True):
        table.add_row(where, "" if share is None else _percent(share), *_values(value, other))
    console.print()
    console.print(table)
    console.print(strata.definition, style="dim", highlight=False)


def _means(strata: Strata) -> list[tuple[str, float | None, float | None]]:
    """Name, share of the pixels and mean IoU of boundaries and of each stratum."""
    named = [("segments", strata.sizes), ("places", strata.widths)]
    return [("boundaries", None, strata.boundary_mean_iou)] + [
        (f"{stratum.name} {what}", stratum.share, stratum.mean_iou) for what, group in named for stratum in group
    ]


def _what_was_cut(model: SegmentationModel, mean_iou: float, cut: float) -> str:
    """The score without the mechanism, what replaced it, and the gates that the network has learnt."""
    from segattn.evaluation.without_attention import DEFINITIONS, learnt_gates, replacement

    text = f"without attention: mIoU {_percent(cut)} %, difference {_points(mean_iou, cut)} points. Not retrained: "
    text += f"{DEFINITIONS[replacement(model)]}."
    gates = [f"{name} {value:z.3f}" for name, value in learnt_gates(model).items()]
    return f"{text}\nlearnt gate{'s' * (len(gates) > 1)}: {', '.join(gates)}" if gates else text


def _write(path: Path, model: SegmentationModel, result: Evaluated, without: Evaluated | None, split: str) -> None:
    """The scores and their split as JSON; the scores of the network without its mechanism under `without_attention`."""
    from segattn import records
    from segattn.evaluation.without_attention import record

    more = {} if without is None else {"without_attention": record(model, without)}
    records.write({"split": split, **vars(result.scores), **more}, path)


_BOTH = ("without %", "difference")


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(first)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _values(value: float | None, other: tuple[float | None] | None) -> list[str]:
    """The cells of a score; with that of the network without its mechanism and their difference if there is an `other`."""
    if other is None:
        return [_percent(value)]
    return [_percent(value), _percent(other[0]), _points(value, other[0])]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _points(value: float | None, other: float | None) -> str:
    """`other` minus `value` in percentage points, signed."""
    if value is None or other is None:
        return "-"
    text = f"{100 * (other - value):+.2f}"
    return text if float(text) else text[1:]
