"""`segattn predict`: labels for photos and videos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segattn.cli.arguments import parse, size


@dataclass(frozen=True)
class PredictArguments:
    """Label photos and videos of any size.

    Of a photo: NAME-label.png has class indices, NAME-overlay.png the photo in colours with a legend. Of a video:
    NAME-overlay.mp4, without sound (needs pip install 'segattn[video]'). A file that cannot be read is named, the others
    are labelled, and the exit code is 1.
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image and video files, or folders of them."""
    checkpoint: Path
    """Folder of a trained network (a run of segattn train or study)."""
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))]
    """Folder for the results."""
    confidence: bool = False
    """Also write NAME-confidence.png: grey, white where the network is sure."""
    opacity: float = 0.55
    """Of the colours over the photo, 0 to 1."""
    batch: int = 1
    """Photos of one size, or frames, that pass through the network at once."""
    mode: Literal["whole", "slide"] = "whole"
    crop: str | None = None
    """Sliding window, HEIGHTxWIDTH."""
    flip: bool = False
    """Average with the mirrored image."""
    scales: tuple[float, ...] = (1.0,)
    """Average over these scales."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """bf16 is several times faster on GPUs and on processors with AMX, and labels a few pixels differently; auto: bf16
    where it is."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def run(arguments: Sequence[str]) -> int:
    chosen = parse(PredictArguments, arguments, command="predict", description=PredictArguments.__doc__ or "")
    if not chosen.images:
        raise ValueError("segattn predict needs image files or folders")
    import torch

    from segattn import checkpoint, config
    from segattn.device import DTYPES, resolve_device, resolve_precision
    from segattn.evaluation.evaluate import inference_of
    from segattn.inference.files import Settings, find_images, predict_files
    from segattn.inference.optimized import optimize

    files = find_images(chosen.images, chosen.out)
    evaluation = config.Evaluation(
        mode=chosen.mode, crop_size=size(chosen.crop) if chosen.crop else None, flip=chosen.flip, scales=chosen.scales
    )
    raw = checkpoint.read_config(chosen.checkpoint)
    settings = Settings(
        class_names=raw["class_names"],
        palette=[(red, green, blue) for red, green, blue in raw["palette"]],
        inference=inference_of(evaluation),
        batch=chosen.batch,
        confidence=chosen.confidence,
        opacity=chosen.opacity,
    )
    device = resolve_device(chosen.device)
    model = optimize(
        checkpoint.load_model(chosen.checkpoint, device=device),
        dtype=DTYPES[resolve_precision(chosen.precision, device)],
        example=torch.randn(1, 3, *size(chosen.crop)) if chosen.crop else None,
    )
    console = Console()
    failures: list[Path] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        photos, frames = bar.add_task("labelling", total=len(files)), bar.add_task("frames", visible=False)

        def on_error(path: Path, error: ValueError) -> None:
            failures.append(path)
            bar.update(photos, advance=1)
            print(f"segattn: error: {error}", file=sys.stderr)

        def on_frame(done: int, total: int | None) -> None:
            bar.update(frames, completed=done, total=total, visible=True)

        for _ in predict_files(model, files, chosen.out, settings, on_error=on_error, on_frame=on_frame):
            bar.update(photos, advance=1)
            bar.update(frames, visible=False)
    console.print(f"{_count(files, failures)} labelled in {chosen.out}", highlight=False, markup=False, soft_wrap=True)
    if failures:
        print(f"segattn: {len(failures)} of {len(files)} files could not be labelled", file=sys.stderr)
    return 1 if failures else 0


def _count(files: Sequence[Path], failures: Sequence[Path]) -> str:
    """`3 images and 1 video` of those that did not fail."""
    from segattn.inference.files import is_video

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
