"""Prediction on images of any size: whole image or sliding window, with flip and several scales.

Window placement and averaging are mmsegmentation's:

* windows start every `stride` pixels, ceil((size - crop) / stride) + 1 of them per axis, at least one; the last one is
  shifted inside the image; an image smaller than the crop is one window of its own size; logits are divided by the
  number of windows that cover the pixel.
* the image is resized to every scale and, with `flip`, also flipped; the logits of each pass are flipped back and resized to
  the output size; then softmax probabilities are averaged over the passes.

All resizing, of images too, is bilinear with the model's own `align_corners`; mmsegmentation resizes images as 8-bit pixels and
always without `align_corners`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from segattn.config import Evaluation
from segattn.data.transforms import fit_short_side

Model = Callable[[Tensor], Tensor]
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
    images: Float[Tensor, "B 3 H W"],
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
        ValueError: the model is in training mode, or `window_batch` is below 1.
    """
    return _scores(
        model, images, inference or Evaluation(), output_size or _size(images), window_batch, keep_scale=True
    )


@torch.no_grad()
def predict_labels(
    model: Model,
    images: Float[Tensor, "B 3 H W"],
    *,
    inference: Evaluation | None = None,
    output_size: tuple[int, int] | None = None,
    window_batch: int = WINDOW_BATCH,
) -> Integer[Tensor, "B h w"]:
    """Class indices at `output_size`, uint8 up to 256 classes, int64 above; the same as `predict(...).argmax(1)`.

    For a single pass over the whole image, a model with a method `logits` (`SegmentationModel.logits`) needs no float map at full
    resolution: its logits are upsampled a strip of rows at a time, with the same result up to rounding. For a single pass of
    windows, the sum of their logits is the only such map; it is not divided by counts or normalised, because neither changes the
    maximum.
    """
    inference, output_size = inference or Evaluation(), output_size or _size(images)
    if output_size == _size(images) and inference.one_plain_pass and hasattr(model, "logits"):
        _check_eval(model)
        return labels_in_strips(model.logits(images).float(), output_size, bool(getattr(model, "align_corners", False)))
    scores = _scores(model, images, inference, output_size, window_batch, keep_scale=False)
    labels = _no_labels(scores, _size(scores))
    for image, best in zip(scores, labels, strict=True):
        best.copy_(image.max(0).indices)  # argmax takes four times as long; int64 for one image at a time
    return labels


def _scores(
    model: Model,
    images: Tensor,
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    keep_scale: bool,
) -> Tensor:
    _check_eval(model)
    if window_batch < 1:
        raise ValueError(f"window_batch is {window_batch}; it must be at least 1")
    single = inference.num_passes == 1
    total: Tensor | None = None
    for scores in _passes(model, images, inference, output_size, window_batch, keep_scale=keep_scale or not single):
        if single:
            return scores
        probabilities = scores.softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
        del scores, probabilities  # freed before the next pass
    assert total is not None
    return total.div_(inference.num_passes) if keep_scale else total


def _check_eval(model: Model) -> None:
    if getattr(model, "training", False):
        raise ValueError("the model is in training mode, where it returns several outputs; call model.eval() first")


def _no_labels(scores: Tensor, size: tuple[int, int]) -> Tensor:
    dtype = torch.uint8 if scores.shape[1] <= 256 else torch.int64
    return torch.empty(scores.shape[0], *size, dtype=dtype, device=scores.device)


def labels_in_strips(
    logits: Float[Tensor, "B K h w"], size: tuple[int, int], align_corners: bool, *, rows: int = 32
) -> Integer[Tensor, "B H W"]:
    """Labels of bilinearly resized logits; each row of a strip is interpolated from two rows of the map, then its columns."""
    labels, (h, (H, W)) = _no_labels(logits, size), (logits.shape[2], size)
    at = torch.arange(H, device=logits.device, dtype=torch.float64)
    at = at * ((h - 1) / max(H - 1, 1)) if align_corners else ((at + 0.5) * (h / H) - 0.5).clamp_min(0)
    above = at.long().clamp_max(h - 1)
    below, share = (above + 1).clamp_max(h - 1), (at - above).to(logits.dtype)[:, None]  # (H, 1)
    for image, best in zip(logits, labels, strict=True):
        for top in range(0, H, rows):
            here = slice(top, top + rows)
            strip = torch.lerp(image[:, above[here]], image[:, below[here]], share[here])  # (K, rows, w)
            strip = _resize(strip[None], (strip.shape[1], W), align_corners)[0]
            best[here] = strip.max(0).indices
    return labels


def _passes(
    model: Model,
    images: Tensor,
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    keep_scale: bool,
) -> Iterator[Tensor]:
    """Logits (B, K, h, w) of every scale and flip, flipped back and resized to the output size."""
    align_corners = bool(getattr(model, "align_corners", False))
    if inference.short_side is not None:
        images = _to_short_side(images, inference.short_side)
    H, W = _size(images)
    for scale in inference.scales:
        scaled = _resize(images, (max(1, int(H * scale + 0.5)), max(1, int(W * scale + 0.5))), align_corners)
        for flip in (False, True) if inference.flip else (False,):
            seen = scaled.flip(-1) if flip else scaled
            if inference.mode == "slide":
                logits = _slide(model, seen, inference.window, window_batch, keep_scale=keep_scale)
            else:
                logits = model(seen).float()
            yield _resize(logits.flip(-1) if flip else logits, output_size, align_corners)


def _slide(
    model: Model,
    images: Tensor,
    window: tuple[tuple[int, int], tuple[int, int]],
    window_batch: int,
    *,
    keep_scale: bool,
) -> Tensor:
    """Sum of the windows' logits, (B, K, H, W), divided by the number of windows at each pixel if `keep_scale`."""
    crop, stride = window
    B, _, H, W = images.shape
    h, w = min(crop[0], H), min(crop[1], W)
    tops, lefts = window_starts(H, h, stride[0]), window_starts(W, w, stride[1])
    windows = [(b, y, x) for b in range(B) for y in tops for x in lefts]
    total: Tensor | None = None
    for start in range(0, len(windows), window_batch):
        batch = windows[start : start + window_batch]
        logits = model(torch.stack([images[b, :, y : y + h, x : x + w] for b, y, x in batch]))
        if total is None:
            total = torch.zeros(B, logits.shape[1], H, W, device=logits.device)
        for (b, y, x), scores in zip(batch, logits, strict=True):
            total[b, :, y : y + h, x : x + w] += scores
    assert total is not None
    if keep_scale:
        counts = _coverage(H, h, tops)[:, None] * _coverage(W, w, lefts)
        total.div_(counts.to(total))
    return total


def window_starts(size: int, crop: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis of `size` pixels; the last window ends with the image.

    >>> window_starts(1024, 769, 513), window_starts(2048, 769, 513), window_starts(500, 769, 513)
    ([0, 255], [0, 513, 1026, 1279], [0])
    """
    crop = min(crop, size)
    count = max(size - crop + stride - 1, 0) // stride + 1
    return [min(i * stride, size - crop) for i in range(count)]


def _coverage(size: int, crop: int, starts: list[int]) -> Tensor:
    """Number of windows over each pixel of one axis, (size,)."""
    counts = torch.zeros(size)
    for start in starts:
        counts[start : start + crop] += 1
    return counts


def _resize(maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    if _size(maps) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)


def _to_short_side(images: Tensor, short_side: int) -> Tensor:
    factor = fit_short_side(_size(images), short_side)
    H, W = (max(1, round(extent * factor)) for extent in _size(images))
    return F.interpolate(images, size=(H, W), mode="bilinear", align_corners=False, antialias=True)


def _size(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
