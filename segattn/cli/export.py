"""`segattn export`: a trained network as a file for other runtimes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Modules

if TYPE_CHECKING:
    from segattn.evaluation.lost import Loss
    from segattn.inference.export import ExportedModel
    from segattn.model import SegmentationModel

CALIBRATION_IMAGES, TEST_IMAGES = 32, 50
LIMITS = {"points of mIoU": 1.0, "% of the labels": 5.0}


@dataclass(frozen=True)
class ExportArguments:
    """Write a trained network for other runtimes: ONNX, or torch.export's .pt2.

        segattn export runs/quick/ccnet-controlled-s0 -o net.onnx
        segattn export streets/ccnet -o net.onnx --precision int8

    The graph takes any number of images, of any size. The file is compared with the network at two batches and sizes before it
    gets its name. Then predict, evaluate and segattn.predict take the file in place of a run.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, or a name of `segattn zoo`."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write: NAME.onnx (needs pip install 'segattn[export]') or NAME.pt2."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """int8: convolutions in 8 bits, calibrated on images; for ONNX only."""
    labels: bool = False
    """Return class indices instead of logits; sliding windows, flip and scales need logits."""
    preprocessing: bool = False
    """Take RGB images from 0 to 255, uint8 (batch, height, width, 3), and normalise them in the graph."""
    opset: int | None = None
    """Of ONNX, 18 to 23; by default 20."""
    calibration: tuple[Path, ...] = ()
    """Image files, or folders of them, for int8; by default images of the training split."""
    calibration_images: int | None = None
    """Number of images for calibration; by default 32."""
    test_images: int | None = None
    """Number of images that measure what int8 costs: mIoU on the first of the validation split, or, of images without labels, the
    share of pixels whose label changes; by default 50."""
    max_loss: Annotated[float | None, tyro.conf.arg(metavar="POINTS")] = None
    """Most that int8 may lose: points of mIoU (by default 1), or percent of the pixels (by default 5); nothing is written above
    it."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Folder of the data set, if it has moved since training."""
    data_options: dict[str, Any] = field(default_factory=dict)
    """Options of the data set, such as version=10k; they replace those of training."""
    max_pixels: int | None = None
    """Most pixels of an image, instead of the limit that protects from decompression bombs."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(ExportArguments, arguments, command="export")
    from segattn.records.pictures import most_pixels

    _refuse_unused(chosen)
    with most_pixels(chosen.max_pixels):
        _export(chosen)


def _refuse_unused(chosen: ExportArguments) -> None:
    """Raise ValueError for options that these settings would ignore, and for numbers out of range."""
    only_int8 = (
        "calibration",
        "calibration_images",
        "test_images",
        "max_loss",
        "data_root",
        "data_options",
        "max_pixels",
    )
    given = [name for name in only_int8 if getattr(chosen, name) not in (None, (), {})]
    if given and chosen.precision != "int8":
        raise ValueError(f"--{given[0].replace('_', '-')} is for --precision int8; leave it out, or add that")
    if chosen.calibration and (chosen.data_root or chosen.data_options):
        raise ValueError("--calibration takes the place of the data set; leave out --data-root and --data-options")
    for name in ("calibration_images", "test_images"):
        if (number := getattr(chosen, name)) is not None and number < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {number}; give 1 or more")
    if chosen.max_loss is not None and not chosen.max_loss >= 0:
        raise ValueError(f"--max-loss is {chosen.max_loss:g}; give 0 or more points")


def _export(chosen: ExportArguments) -> None:
    from segattn import checkpoint
    from segattn.inference.export import words
    from segattn.inference.export.form import Form
    from segattn.inference.export.write import export

    form: dict[str, Any] = {name: getattr(chosen, name) for name in ("precision", "labels", "preprocessing", "opset")}
    Form(**form).check(chosen.out)  # before the network is loaded
    console = terminal.console(highlight=False)
    model = checkpoint.load_model(chosen.run, allow_modules=chosen.allow_module)
    fingerprint = checkpoint.read_config(chosen.run).get("data")
    if chosen.precision == "int8":
        form["calibration"], measured = _int8(chosen, model)

        def accept(exported: ExportedModel) -> None:
            _judge(chosen, console, measured(exported))

        form["accept"] = accept
    written = export(model, chosen.out, data=fingerprint, **form)
    runtime = words.runtime_name(chosen.out.suffix)
    lines = [
        f"{chosen.run} in {runtime}, compared with the network:",
        *words.agreement_lines(written.agreements),
        "Differences are in standard deviations of the network's logits.",
        *words.file_lines(written),
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    next_step.label_photos(console, chosen.out)


def _int8(
    chosen: ExportArguments, model: SegmentationModel
) -> tuple[list[np.ndarray], Callable[[ExportedModel], Loss]]:
    """Images that calibrate, and the function that measures what an exported network loses."""
    from segattn.config import Evaluation
    from segattn.data.splits import load_split, open_split
    from segattn.data.tools.labels import unscorable
    from segattn.evaluation.lost import labels_changed, mean_iou_lost

    experiment, number = model.experiment, chosen.calibration_images or CALIBRATION_IMAGES
    most = chosen.test_images or TEST_IMAGES
    assert experiment is not None  # as of every network that was loaded
    inference = dataclasses.replace(experiment.evaluation, flip=False, scales=(1.0,))
    if chosen.labels:
        inference = Evaluation()
    window = inference.crop_size if inference.mode == "slide" else None
    if chosen.calibration:
        images = _of_files(chosen.calibration, model, number + most)
        test = images[number:] or images
        return [_cut(image, window) for image in images[:number]], lambda exported: labels_changed(
            model, exported, test, inference
        )
    section = dataclasses.replace(
        experiment.data,
        root=chosen.data_root or experiment.data.root,
        options={**experiment.data.options, **chosen.data_options},
    )
    training = load_split(section, section.train_split, section.train_images)
    indices = np.unique(np.linspace(0, len(training) - 1, min(number, len(training))).round().astype(int))
    calibration = [_cut(training[int(index)].image, window) for index in indices]
    validation = open_split(section, section.val_split, min(most, section.val_images or most))
    if validation.label(0) is None or unscorable(validation):
        unlabelled = [validation[index].image for index in range(len(validation))]
        return calibration, lambda exported: labels_changed(model, exported, unlabelled, inference)
    return calibration, lambda exported: mean_iou_lost(model, exported, validation, inference)


def _of_files(paths: Sequence[Path], model: SegmentationModel, most: int) -> list[np.ndarray]:
    """At most so many images of the files and folders, evenly spaced over them.

    Raises:
        ValueError: no such file, no image in a folder, or a video or unreadable file.
    """
    from segattn.data.files.decode import read_image
    from segattn.data.files.pixels import reading_for
    from segattn.inference.files import find_images
    from segattn.inference.video import is_video

    how = reading_for(model)
    files = [path for path in find_images(paths, how=how) if not is_video(path)]
    if not files:
        raise ValueError(f"{', '.join(map(str, paths))}: videos only; int8 is calibrated on images")
    indices = np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))
    return [read_image(files[index], how) for index in indices]


def _cut(image: np.ndarray, window: tuple[int, int] | None) -> np.ndarray:
    """The middle of an image, as large as a window; the image where there are no windows."""
    if window is None:
        return image
    top, left = ((extent - min(extent, size)) // 2 for extent, size in zip(image.shape, window, strict=False))
    return image[top : top + window[0], left : left + window[1]]


def _judge(chosen: ExportArguments, console: Console, loss: Loss) -> None:
    """Print what int8 costs.

    Raises:
        ValueError: more than the limit.
    """
    console.print(loss.text, soft_wrap=True)
    limit = LIMITS[loss.what] if chosen.max_loss is None else chosen.max_loss
    if not loss.points <= limit:
        accepted = f", or accept it with --max-loss {math.ceil(loss.points)}" if math.isfinite(loss.points) else ""
        raise ValueError(
            f"{chosen.out} is not written: int8 changes {loss.points:.2f} {loss.what}, and at most {limit:g} are allowed; "
            f"try more --calibration-images, use --precision fp16{accepted}"
        )
