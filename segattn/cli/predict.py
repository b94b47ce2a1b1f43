"""`segattn predict`: labels for photos and videos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from segattn import zoo
from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Device, Modules, Size

if TYPE_CHECKING:
    from rich.console import Console

    from segattn.config import Evaluation
    from segattn.inference.export import ExportedModel
    from segattn.model import SegmentationModel


@dataclass(frozen=True)
class PredictArguments:
    """Label photos and videos of any size.

        segattn predict runs/quick/danet-controlled-s0 photos/ clip.mp4 -o labels
        segattn predict streets/ccnet photos/ -o labels
        segattn predict net.onnx photos/ -o labels

    For each photo it writes NAME-label.png with class indices and NAME-overlay.png with the photo in colours and a legend; for
    each video NAME-overlay.mp4, without sound (needs pip install 'segattn[video]'). If a file cannot be read, its name is
    printed, all others are labelled, and the exit code is 1.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN] PHOTO ...")]
    """RUN: folder of a trained network, or of a study with one network, or a name of `segattn zoo`, or a file of `segattn
    export`; by default the best network of the zoo's trunk streets. PHOTO: image and video files, or folders of them."""
    out: Path
    """Folder for the results."""
    confidence: bool = False
    """Also write NAME-confidence.png: the higher the probability, the brighter the pixel."""
    probabilities: bool = False
    """Also write NAME-probabilities.npz for photos: the probabilities of all classes as float16 (classes, height, width), and
    class_names. 2 bytes per class and pixel: 80 MB of 19 classes at 2 megapixels. The peak of memory above the network is 7 bytes
    per class and pixel, 16 with --flip or --scales."""
    opacity: float = 0.55
    """Opacity of the colours over the photo, 0 to 1."""
    batch_size: int = 1
    """Photos of one size, or frames, in one forward pass."""
    mode: Literal["whole", "slide"] = "whole"
    """whole: the image in one pass; slide: a sliding window."""
    crop_size: Size | None = None
    """Size of the sliding window."""
    flip: bool = False
    """Average with the mirrored image."""
    scales: tuple[float, ...] = (1.0,)
    """Average over the image at these scales."""
    max_pixels: int | None = None
    """Most pixels of a photo, instead of the limit that protects from decompression bombs."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """bf16 is several times faster on GPUs and on CPUs with AMX, but labels a few pixels differently; auto: bf16 on those,
    fp32 elsewhere."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""


def run(arguments: Sequence[str]) -> int:
    chosen = parse(PredictArguments, arguments, command="predict")
    from segattn.records.pictures import most_pixels

    with most_pixels(chosen.max_pixels):
        return _predict(chosen)


def _predict(chosen: PredictArguments) -> int:
    network, photos = network_and_photos(chosen.paths)
    import torch

    from segattn import checkpoint, config
    from segattn.data.files.pixels import reading_for, reading_of
    from segattn.device import DTYPES, resolve_device, resolve_precision
    from segattn.inference.export import is_exported
    from segattn.inference.files import Network, Settings, find_images, predict_files
    from segattn.inference.optimized import optimize
    from segattn.records.image_range import Outside, read_range

    console = terminal.console()
    evaluation = config.Evaluation(mode=chosen.mode, crop_size=chosen.crop_size, flip=chosen.flip, scales=chosen.scales)
    model: Network
    trained_on = None
    if is_exported(network):
        model = exported = _exported(Path(str(network)), chosen, evaluation)
        names, colours, how = exported.class_names, exported.palette, reading_for(exported)
    else:
        raw = checkpoint.read_config(network)
        described = raw["experiment"]
        names, colours = raw["class_names"], raw["palette"]
        trained_on = read_range(raw.get("images"), f"{network}/config.json")
        how = reading_of(described.get("data", {}), described["model"].get("in_channels", 3), trained_on)
    files = find_images(photos, chosen.out, how)
    if isinstance(network, zoo.Entry) and len(photos) == len(chosen.paths):
        what = f"No network given: {network} of segattn zoo, {100 * network.mean_iou:.1f} % mIoU on generated street scenes."
        console.print(what, highlight=False, markup=False, soft_wrap=True)
    compared = Outside(trained_on)
    settings = Settings(
        class_names=names,
        palette=[(red, green, blue) for red, green, blue in colours],
        inference=evaluation,
        batch=chosen.batch_size,
        confidence=chosen.confidence,
        probabilities=chosen.probabilities,
        opacity=chosen.opacity,
        how=how,
        on_image=lambda path, image: compared.note(path.name, image),
    )
    if not is_exported(network):
        device = resolve_device(chosen.device)
        loaded = checkpoint.load_model(network, device=device, allow_modules=chosen.allow_module)
        model = optimize(
            loaded,
            dtype=DTYPES[resolve_precision(chosen.precision, device)],
            example=torch.randn(1, loaded.in_channels, *chosen.crop_size) if chosen.crop_size else None,
        )
    failures: list[Path] = []
    columns = (terminal.Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        images, frames = bar.add_task("labelling", total=len(files)), bar.add_task("frames", visible=False)

        def on_error(path: Path, error: ValueError) -> None:
            failures.append(path)
            bar.update(images, advance=1)
            print(f"segattn: error: {error}", file=sys.stderr)

        def on_frame(done: int, total: int | None) -> None:
            bar.update(frames, completed=done, total=total, visible=True)

        for _ in predict_files(model, files, chosen.out, settings, on_error=on_error, on_frame=on_frame):
            bar.update(images, advance=1)
            bar.update(frames, visible=False)
    console.print(f"{_count(files, failures)} labelled in {chosen.out}", highlight=False, markup=False, soft_wrap=True)
    if unusual := compared.sentence():
        print(f"segattn: warning: {unusual}", file=sys.stderr)
    if failures:
        print(f"segattn: {len(failures)} of {len(files)} files could not be labelled", file=sys.stderr)
    elif not is_exported(network):
        _look(console, network, loaded, files[0], chosen.allow_module)
    return 1 if failures else 0


def _look(console: Console, network: zoo.Source, model: SegmentationModel, photo: Path, modules: Sequence[str]) -> None:
    """The next step: where the network looks from the middle of the first photo."""
    from segattn import heads
    from segattn.inference.video import is_video
    from segattn.records.pictures import picture_size

    attends = hasattr(model.head, "attention_maps") and heads.declared(model.head, "family") != "baseline"
    if not attends or is_video(photo) or not photo.is_file():
        next_step.show(console, "maps", network, "--receptive-field", modules=modules)
        return
    try:
        width, height = picture_size(photo, ("PNG", "JPEG"))
    except Exception:  # bands in other formats; Pillow raises errors of any type
        return
    middle = f"{width // 2},{height // 2}"
    next_step.show(console, "maps", network, "--image", photo, "--pixel", middle, modules=modules)


def _exported(path: Path, chosen: PredictArguments, evaluation: Evaluation) -> ExportedModel:
    """A file of `segattn export`, after the options were checked that it does not take."""
    from segattn.inference.export import load_exported

    if chosen.precision not in ("fp32", "auto"):
        raise ValueError(
            f"{path}: its precision is that of its export; leave --precision out, or export with --precision fp16"
        )
    model = load_exported(path, device=chosen.device, allow_modules=None)
    scores = [f"--{name}" for name in ("confidence", "probabilities") if getattr(chosen, name)]
    model.check(evaluation, needs_scores=" and ".join(scores))
    return model


def network_and_photos(paths: Sequence[Path]) -> tuple[zoo.Source, list[Path]]:
    """The network among the words of the command, and all other words; without one the best network of the zoo's `streets`.

    Raises:
        ValueError: no network, several of them, or nothing to label.
    """
    from segattn import checkpoint
    from segattn.inference.export import is_exported

    networks: dict[Path, list[zoo.Source]] = {}
    for path in paths:
        if (
            zoo.is_named(path)
            or zoo.hub.is_on_hub(path)
            or (path / "model.safetensors").is_file()
            or (path / "study.json").is_file()
        ):
            networks[path] = checkpoint.find_models(path)
        elif is_exported(path):
            networks[path] = [path]
    example = "segattn predict runs/quick/danet-controlled-s0 PHOTO ... -o OUT"
    if not networks and zoo.FULL in zoo.trunks() and not any((path / "experiment.json").exists() for path in paths):
        best = max(zoo.networks(zoo.FULL), key=lambda entry: entry.mean_iou)
        networks[Path(best.name)] = [best]
    if not networks:
        named = ", ".join(map(str, paths)) or "nothing"
        raise ValueError(f"no model here: {named}; give the folder of a finished run first, such as {example}")
    sources = [source for inside in networks.values() for source in inside]
    if len(sources) > 1:
        raise ValueError(f"{', '.join(map(str, networks))}: {len(sources)} networks; give one, such as {sources[0]}")
    photos = [path for path in paths if path not in networks]
    if not photos:
        raise ValueError(f"segattn predict needs image files or folders: {example}")
    return sources[0], photos


def _count(files: Sequence[Path], failures: Sequence[Path]) -> str:
    """`3 images and 1 video` of those that did not fail."""
    from segattn.inference.video import is_video

    kinds = {
        "image": [path for path in files if not is_video(path)],
        "video": [path for path in files if is_video(path)],
    }
    parts = []
    for kind, paths in kinds.items():
        done = len(paths) - sum(path in failures for path in paths)
        if done or (kind == "image" and not kinds["video"]):
            parts.append(f"{done} {kind}{'' if done == 1 else 's'}")
    return " and ".join(parts) or "nothing"
