"""`segattn predict`: labels for photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import track

from segattn.cli._arguments import parse, size


@dataclass(frozen=True)
class PredictArguments:
    """Label photos: NAME-label.png has class indices, NAME-overlay.png the photo in colours with a legend."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files, or folders of them."""
    checkpoint: Path
    """Folder of a trained network (a run of segattn train or study)."""
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))]
    """Folder for the results."""
    mode: Literal["whole", "slide"] = "whole"
    crop: str | None = None
    """Sliding window, HEIGHTxWIDTH."""
    flip: bool = False
    """Average with the mirrored image."""
    scales: tuple[float, ...] = (1.0,)
    """Average over these scales."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(PredictArguments, arguments, command="predict", description=PredictArguments.__doc__ or "")
    if not chosen.images:
        raise ValueError("segattn predict needs image files or folders")
    from segattn import checkpoint, config
    from segattn.evaluate import inference_of
    from segattn.optimization import resolve_device
    from segattn.predict import find_images, predict_files

    images = find_images(chosen.images)
    settings = config.Evaluation(
        mode=chosen.mode, crop_size=size(chosen.crop) if chosen.crop else None, flip=chosen.flip, scales=chosen.scales
    )
    inference = inference_of(settings)
    model = checkpoint.load_model(chosen.checkpoint, device=resolve_device(chosen.device))
    raw = checkpoint.read_config(chosen.checkpoint)
    palette = tuple((red, green, blue) for red, green, blue in raw["palette"])
    console = Console()
    files = predict_files(
        model, images, chosen.out, class_names=raw["class_names"], palette=palette, inference=inference
    )
    for _ in track(files, total=len(images), description="predicting", console=console, transient=True):
        pass
    console.print(f"{len(images)} images labelled in {chosen.out}", highlight=False)
