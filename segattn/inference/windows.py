"""Prediction on images of any size: whole image or sliding window, with flip and several scales.

Window placement and averaging are mmsegmentation's:

* windows start every `stride` pixels, ceil((size - crop) / stride) + 1 of them per axis, at least one; the last one is
  shifted inside the image; an image smaller than the crop is one window of its own size; logits are divided by the
  number of windows that cover the pixel.
* the image is resized to every scale and, with `flip`, also flipped; the logits of each pass are flipped back and resized to
  the output size; then softmax probabilities are averaged over the passes.

All resizing, of images too, is bilinear with the model's own `align_corners`; mmsegmentation resizes images as 8-bit pixels and
always without `align_corners`.

A sliding window finishes the image in tiles (`tiles.py`), so that memory grows with the window and hardly with the image.
Settings that cannot fit into memory are refused before the network runs (`memory.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from segattn.config import Evaluation
from segattn.data.transforms import fit_short_side
from segattn.inference import tiles
from segattn.inference.memory import refuse_too_large
from segattn.inference.tiles import Model, resize
from segattn.inference.tiles import window_starts as window_starts

WINDOW_BATCH = 4
"""Windows per forward pass: more are faster on a GPU but need more memory."""


def describe(inference: Evaluation) -> str:
    """The settings in words, for reports.

    >>> describe(Evaluation(mode="slide", crop_size=(769, 769), flip=True))
    'sliding window 769x769 (height x width) with stride 513x513; scale 1; with left-right flip; softmax probabilities \
averaged over 2 passes'
    """
    if inference.mode == "slide":
        (h, w), (step_h, step_w) = inference.window
        where = f"sliding window {h}x{w} (height x width) with stride {step_h}x{step_w}"
    else:
        where = "whole image"
    if inference.short_side is not None:
        where += f" of the image resized to short side {inference.short_side}, scored at its own size"
    scales = f"scale{'s' if len(inference.scales) > 1 else ''} {', '.join(f'{scale:g}' for scale in inference.scales)}"
    parts = [where, scales, "with left-right flip" if inference.flip else "no flip"]
    if inference.num_passes > 1:
        parts.append(f"softmax probabilities averaged over {inference.num_passes} passes")
    return "; ".join(parts)


@torch.no_grad()
def predict(
    model: Model,
    images: Float[Tensor, "B C H W"],
    *,
    inference: Evaluation | None = None,
    output_size: tuple[int, int] | None = None,
    window_batch: int = WINDOW_BATCH,
) -> Float[Tensor, "B K h w"]:
    """Class scores in float32 at `output_size`, by default the images' own size.

    Logits if there is a single pass, averaged probabilities if there are several (flip or scales). `model` is in eval
    mode and returns logits (B, K, H, W) at its input's size. `inference` is the whole image by default; its fields about scores
    and examples are not used. `window_batch` is the number of windows per forward pass.

    Raises:
        ValueError: the model is in training mode, `window_batch` is below 1, or the scores do not fit into memory.
    """
    inference, output_size = inference or Evaluation(), output_size or _size(images)
    _check(model, images, inference, output_size, window_batch, maps=1)
    if inference.mode == "whole":
        return _whole(model, images, inference, output_size, keep_scale=True)
    scores: Tensor | None = None
    for tile, part in tiles.scored(
        model, _resized(images, inference), inference, output_size, window_batch, keep_scale=True
    ):
        if scores is None:
            scores = torch.empty(len(images), part.shape[1], *output_size, device=part.device)
        tile.of(scores).copy_(part[0])
    assert scores is not None
    return scores


@torch.no_grad()
def predict_labels(
    model: Model,
    images: Float[Tensor, "B C H W"],
    *,
    inference: Evaluation | None = None,
    output_size: tuple[int, int] | None = None,
    window_batch: int = WINDOW_BATCH,
) -> Integer[Tensor, "B h w"]:
    """Class indices at `output_size`, uint8 up to 256 classes, int64 above; the same as `predict(...).argmax(1)`.

    For a single pass over the whole image, a model with a method `logits` (`SegmentationModel.logits`) needs no float map at full
    resolution: its logits are upsampled a strip of rows at a time, with the same result up to rounding. Sliding windows need none
    either. The logits of a single pass of windows are not divided by counts, because that does not change the maximum. For such a
    pass, a model with a method `labels` (an exported graph of labels) is asked for them.

    Raises:
        ValueError: as `predict`.
    """
    inference, output_size = inference or Evaluation(), output_size or _size(images)
    network: Any = model
    if inference.one_plain_pass and output_size == _size(images) and hasattr(model, "labels"):
        _check(model, images, inference, output_size, window_batch, maps=0)
        return network.labels(images)
    if inference.one_plain_pass and output_size == _size(images) and hasattr(model, "logits"):
        _check(model, images, inference, output_size, window_batch, maps=0)
        align_corners = bool(getattr(model, "align_corners", False))
        return labels_in_strips(network.logits(images).float(), output_size, align_corners)
    _check(model, images, inference, output_size, window_batch, maps=0 if inference.mode == "slide" else 1)
    labels: Tensor | None = None
    for tile, scores in _parts(model, images, inference, output_size, window_batch, keep_scale=False):
        if labels is None:
            labels = _no_labels(len(images), scores, output_size)
        tile.of(labels).copy_(scores[0].max(0).indices)  # argmax takes four times as long; int64 for one part at a time
    assert labels is not None
    return labels


@torch.no_grad()
def predict_confidence(
    model: Model,
    images: Float[Tensor, "B C H W"],
    *,
    inference: Evaluation | None = None,
    window_batch: int = WINDOW_BATCH,
) -> tuple[Integer[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """Class indices, as in `predict_labels`, and the softmax probability of each, averaged over the passes.

    Raises:
        ValueError: as `predict`.
    """
    inference, size = inference or Evaluation(), _size(images)
    _check(model, images, inference, size, window_batch, maps=0 if inference.mode == "slide" else 1)
    labels, confidence = None, torch.empty(len(images), *size, device=images.device)
    for tile, scores in _parts(model, images, inference, size, window_batch, keep_scale=True):
        best = (scores.softmax(1) if inference.num_passes == 1 else scores)[0].max(0)
        if labels is None:
            labels = _no_labels(len(images), scores, size)
        tile.of(labels).copy_(best.indices)
        tile.of(confidence).copy_(best.values)
    assert labels is not None
    return labels, confidence


def _parts(
    model: Model, images: Tensor, inference: Evaluation, size: tuple[int, int], window_batch: int, *, keep_scale: bool
) -> Iterator[tuple[tiles.Tile, Tensor]]:
    """Scores (1, K, h, w) of tiles, or of one whole image after another."""
    if inference.mode == "slide":
        yield from tiles.scored(
            model, _resized(images, inference), inference, size, window_batch, keep_scale=keep_scale
        )
        return
    for index, scores in enumerate(_whole(model, images, inference, size, keep_scale=keep_scale).split(1)):
        yield tiles.Tile(index, range(size[0]), range(size[1])), scores


def _whole(
    model: Model, images: Tensor, inference: Evaluation, output_size: tuple[int, int], *, keep_scale: bool
) -> Tensor:
    """Scores of the whole images, (B, K, h, w); with several passes and without `keep_scale` their sum."""
    single = inference.num_passes == 1
    total: Tensor | None = None
    for scores in _passes(model, images, inference, output_size):
        if single:
            return scores
        probabilities = scores.softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
        del scores, probabilities  # freed before the next pass
    assert total is not None
    return total.div_(inference.num_passes) if keep_scale else total


def _check(
    model: Model,
    images: Tensor,
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    maps: int,
) -> None:
    if getattr(model, "training", False):
        raise ValueError("the model is in training mode, where it returns several outputs; call model.eval() first")
    if window_batch < 1:
        raise ValueError(f"window_batch is {window_batch}; it must be at least 1")
    refuse_too_large(model, images, inference, output_size, window_batch, maps=bool(maps))


def _no_labels(num_images: int, scores: Tensor, size: tuple[int, int]) -> Tensor:
    dtype = torch.uint8 if scores.shape[1] <= 256 else torch.int64
    return torch.empty(num_images, *size, dtype=dtype, device=scores.device)


def labels_in_strips(
    logits: Float[Tensor, "B K h w"], size: tuple[int, int], align_corners: bool, *, rows: int = 32
) -> Integer[Tensor, "B H W"]:
    """Labels of bilinearly resized logits; each row of a strip is interpolated from two rows of the map, then its columns."""
    labels, (h, (H, W)) = _no_labels(len(logits), logits, size), (logits.shape[2], size)
    at = torch.arange(H, device=logits.device, dtype=torch.float64)
    at = at * ((h - 1) / max(H - 1, 1)) if align_corners else ((at + 0.5) * (h / H) - 0.5).clamp_min(0)
    above = at.long().clamp_max(h - 1)
    below, share = (above + 1).clamp_max(h - 1), (at - above).to(logits.dtype)[:, None]  # (H, 1)
    for image, best in zip(logits, labels, strict=True):
        for top in range(0, H, rows):
            here = slice(top, top + rows)
            strip = torch.lerp(image[:, above[here]], image[:, below[here]], share[here])  # (K, rows, w)
            strip = resize(strip[None], (strip.shape[1], W), align_corners)[0]
            best[here] = strip.max(0).indices
    return labels


def _passes(
    model: Model, images: Tensor, inference: Evaluation, output_size: tuple[int, int]
) -> Iterator[Float[Tensor, "B K h w"]]:
    """Logits of every scale and flip of the whole images, flipped back and resized to the output size."""
    align_corners = bool(getattr(model, "align_corners", False))
    images = _resized(images, inference)
    H, W = _size(images)
    for scale in inference.scales:
        scaled = resize(images, (max(1, int(H * scale + 0.5)), max(1, int(W * scale + 0.5))), align_corners)
        for flip in (False, True) if inference.flip else (False,):
            logits = model(scaled.flip(-1) if flip else scaled).float()
            yield resize(logits.flip(-1) if flip else logits, output_size, align_corners)


def _resized(images: Tensor, inference: Evaluation) -> Tensor:
    """The images at the short side that is chosen, or as they are."""
    if inference.short_side is None:
        return images
    factor = fit_short_side(_size(images), inference.short_side)
    H, W = (max(1, round(extent * factor)) for extent in _size(images))
    return F.interpolate(images, size=(H, W), mode="bilinear", align_corners=False, antialias=True)


def _size(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
