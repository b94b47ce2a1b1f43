"""Labels for photos and videos: index mask, overlay with a legend, confidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segattn import records
from segattn.config import Evaluation
from segattn.data.files.decode import read_image
from segattn.data.files.pixels import AS_SHOWN, Reading, reading_for
from segattn.data.files.shown import shown
from segattn.data.transforms import Normalization, to_tensor
from segattn.inference import video
from segattn.inference.export import ExportedModel
from segattn.inference.legend import Palette, beside, colour, legend, with_legend
from segattn.inference.memory import in_words
from segattn.inference.optimized import OptimizedModel
from segattn.inference.photos import find_images as find_images
from segattn.inference.photos import output_names as output_names
from segattn.inference.probabilities import write_probabilities
from segattn.inference.windows import predict_confidence, predict_labels
from segattn.model import SegmentationModel

Network = SegmentationModel | OptimizedModel | ExportedModel


@dataclass(frozen=True)
class Labelled:
    """A photo and its labels."""

    image: np.ndarray
    """uint8 (H, W, bands)."""
    label: np.ndarray
    """uint8 (H, W), class indices."""
    confidence: np.ndarray | None = None
    """uint8 (H, W), 255 times the softmax probability of the label; None unless requested."""


def label_image(model: Network, path: Path, inference: Evaluation | None = None) -> Labelled:
    """Label one photo of any size, read as the network's training images were.

    Raises:
        ValueError: the file is not a readable image.
    """
    return label_images(model, [read_image(path, reading_for(model))], inference)[0]


@torch.no_grad()
def label_images(
    model: Network,
    images: Sequence[np.ndarray],
    inference: Evaluation | None = None,
    *,
    confidence: bool = False,
) -> list[Labelled]:
    """Label photos of one size, uint8 (H, W, bands), in one pass.

    Raises:
        ValueError: the photos have other bands than the network takes, or do not fit into memory.
    """
    device, normalization = next(model.parameters()).device, Normalization.of(model)
    inference = inference or Evaluation()
    height, width = images[0].shape[:2]
    what = f"{len(images)} x {width}x{height} pixels do not fit into memory"
    with in_words(what, len(images), inference, option="--batch-size"):
        tensors = [to_tensor(image, normalization).to(device) for image in images]
        batch = tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)
        del tensors
        if not confidence:
            labels = predict_labels(model, batch, inference=inference).cpu().numpy()
            return [Labelled(image, label) for image, label in zip(images, labels, strict=True)]
        classes, probability = predict_confidence(model, batch, inference=inference)
    labels, sure = classes.byte().cpu().numpy(), probability.mul_(255).round_().byte().cpu().numpy()
    return [Labelled(*each) for each in zip(images, labels, sure, strict=True)]


def overlay(labelled: Labelled, palette: Palette, opacity: float = 0.55) -> np.ndarray:
    """The photo blended with the colours of its labels, uint8 (H, W, 3)."""
    mixed = shown(labelled.image) * (1 - opacity) + colour(labelled.label, tuple(palette)) * opacity
    return mixed.round().astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How files are labelled, and what is written."""

    class_names: Sequence[str]
    palette: Palette
    inference: Evaluation | None = None
    batch: int = 1
    """Batch size: photos of one size, or video frames."""
    confidence: bool = False
    """Also write NAME-confidence.png for photos: grey, 255 is a probability of 1."""
    probabilities: bool = False
    """Also write NAME-probabilities.npz for photos: see `write_probabilities`."""
    opacity: float = 0.55
    """Opacity of the colours over the photo."""
    how: Reading = AS_SHOWN
    """How the pixels of photos are understood."""
    on_image: Callable[[Path, np.ndarray], object] = lambda path, image: None
    """Called with each photo and each frame that is read."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch size {self.batch} is not possible; use 1 or more")
        if not 0 <= self.opacity <= 1:
            raise ValueError(
                f"opacity is {self.opacity}; it must be between 0 (only the photo) and 1 (only the colours)"
            )


def predict_files(
    model: Network,
    files: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    on_error: Callable[[Path, ValueError], object] | None = None,
    on_frame: Callable[[int, int | None], object] = lambda done, total: None,
) -> Iterator[Path]:
    """Label photos and videos; yields the path of each overlay.

    For a photo it writes NAME-label.png (class indices, with a palette) and NAME-overlay.png, for a video NAME-overlay.mp4. If a
    file cannot be labelled, `on_error(path, error)` is called and the next file follows; without `on_error` the error, a
    ValueError that names the file, is raised. `on_frame(done, total)` is called after each batch of video frames.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot create the folder {out} for the results: {error.strerror}") from None

    def failed(path: Path, error: ValueError) -> None:
        if on_error is None:
            raise error
        on_error(path, error)

    for group in _groups(files, settings, failed):
        if group[0].image is None:
            try:
                path = out / f"{group[0].name}-overlay.mp4"
                yield label_video(model, group[0].path, path, settings, on_frame=on_frame)
            except ValueError as error:
                failed(group[0].path, error)
            continue
        for file, result in _label_group(model, group, settings):
            try:
                if isinstance(result, ValueError):
                    raise result
                if settings.probabilities:
                    probabilities = out / f"{file.name}-probabilities.npz"
                    write_probabilities(probabilities, model, result.image, settings.inference, settings.class_names)
                written = _write(result, out, file.name, settings)
            except ValueError as error:
                failed(file.path, error)
                continue
            yield written


def label_video(
    model: Network,
    path: Path,
    out: Path,
    settings: Settings,
    *,
    on_frame: Callable[[int, int | None], object] = lambda done, total: None,
) -> Path:
    """Write the video `out` (.mp4), without sound: each frame's overlay, beside a legend of all classes.

    Raises:
        ValueError: PyAV is not installed, the video cannot be read, or a frame does not fit into memory.
    """
    source, done = video.Video(path), 0
    column: Image.Image | None = None
    with video.VideoWriter(out, rate=source.rate) as writer:
        frames = iter(source)
        while batch := list(islice(frames, settings.batch)):
            try:
                labelled = label_images(model, [frame.image for frame in batch], settings.inference)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            for frame, result in zip(batch, labelled, strict=True):
                settings.on_image(path, frame.image)
                if column is None:
                    column = legend(frame.image.shape[0], settings.class_names, settings.palette)
                picture = beside(overlay(result, settings.palette, settings.opacity), column)
                writer.add(np.asarray(picture), frame.time)
            done += len(batch)
            on_frame(done, source.num_frames)
        if not done:
            raise ValueError(f"{path}: this video has no frames")
    return out


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    name: str
    image: np.ndarray | None = None
    """None for a video."""


def _groups(
    files: Sequence[Path], settings: Settings, failed: Callable[[Path, ValueError], None]
) -> Iterator[list[_File]]:
    """Groups of up to `settings.batch` consecutive photos of one size, or of one video."""
    waiting: list[_File] = []
    for path, name in zip(files, output_names(files, settings.how), strict=True):
        try:
            file = _File(path, name, None if video.is_video(path) else read_image(path, settings.how))
            if file.image is not None:
                settings.on_image(path, file.image)
        except ValueError as error:
            failed(path, error)
            continue
        full = len(waiting) == settings.batch
        if waiting and (full or file.image is None or waiting[0].image.shape != file.image.shape):  # type: ignore[union-attr]
            yield waiting
            waiting = []
        if file.image is None:
            yield [file]
        else:
            waiting.append(file)
    if waiting:
        yield waiting


def _label_group(
    model: Network, group: list[_File], settings: Settings
) -> Iterator[tuple[_File, Labelled | ValueError]]:
    """Each photo with its labels or its error; a batch that does not fit into memory is labelled one photo at a time."""
    images = [file.image for file in group if file.image is not None]
    try:
        labelled = label_images(model, images, settings.inference, confidence=settings.confidence)
    except ValueError as error:
        if len(group) == 1:
            yield group[0], ValueError(f"{group[0].path}: {error}")
        else:
            for file in group:
                yield from _label_group(model, [file], settings)
        return
    yield from zip(group, labelled, strict=True)


def _write(labelled: Labelled, out: Path, name: str, settings: Settings) -> Path:
    flat = [channel for colours in settings.palette for channel in colours]
    mask = Image.fromarray(labelled.label)
    mask.putpalette(flat + [0] * (768 - len(flat)))
    _save(mask, out / f"{name}-label.png", optimize=True)
    if labelled.confidence is not None:
        _save(Image.fromarray(labelled.confidence), out / f"{name}-confidence.png", optimize=True)
    mixed, written = overlay(labelled, settings.palette, settings.opacity), out / f"{name}-overlay.png"
    _save(with_legend(mixed, labelled.label, settings.class_names, settings.palette), written)
    return written


def _save(picture: Image.Image, path: Path, *, optimize: bool = False) -> None:
    with records.writing(path, synced=False) as temporary:
        picture.save(temporary, optimize=optimize)
