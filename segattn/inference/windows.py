"""Prediction on images of any size: whole image or sliding window, with flip and several scales.

Window placement and averaging are mmsegmentation's:

* windows start every `stride` pixels, ceil((size - crop) / stride) + 1 of them per axis, at least one; the last one is
  shifted inside the image; an image smaller than the crop is one window of its own size; logits are divided by the
  number of windows that saw the pixel.
* the image is resized to every scale and, where asked, flipped; the logits of each pass are flipped back and resized to
  the output size; then softmax probabilities are averaged over the passes.

All resizing is bilinear with the model's own `align_corners`, of images too (mmsegmentation resizes images, as 8-bit
pixels, always without).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from segattn.data.transforms import fit_short_side

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Inference:
    """How predictions are made.

    Raises:
        ValueError: a value out of range, windows that would leave holes, or a setting that would be ignored.
    """

    mode: Literal["whole", "slide"] = "whole"
    crop: tuple[int, int] | None = None
    """Height and width of the sliding window in pixels; with `slide` only."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal step of the window in pixels, at most the crop; with `slide` only."""
    flip: bool = False
    """Also predict the image mirrored left to right."""
    scales: tuple[float, ...] = (1.0,)
    """Factors on height and width."""
    short_side: int | None = None
    """Images are first brought to this short side, the long one at most 4 times that, as in training (antialiased)."""
    window_batch: int = 4
    """Windows that pass through the model at once."""

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise ValueError(f"mode is {self.mode!r}; it is 'whole' or 'slide'")
        if self.mode == "whole" and (self.crop is not None or self.stride is not None):
            raise ValueError("crop and stride are for sliding windows; leave them out or set mode='slide'")
        if self.mode == "slide":
            self._check_windows()
        if not self.scales or not all(0 < scale < float("inf") for scale in self.scales):
            raise ValueError(f"scales is {self.scales}; at least one factor above 0 is needed, e.g. (1.0,)")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"short_side is {self.short_side}; it is at least 1 pixel, or None")
        if self.window_batch < 1:
            raise ValueError(f"window_batch is {self.window_batch}; it is at least 1")

    def _check_windows(self) -> None:
        if self.crop is None or self.stride is None:
            raise ValueError("sliding windows need crop and stride, e.g. crop=(769, 769), stride=(513, 513)")
        for crop, stride in zip(self.crop, self.stride, strict=True):
            if crop < 1 or stride < 1:
                raise ValueError(f"crop is {self.crop} and stride {self.stride}; all sizes are at least 1 pixel")
            if stride > crop:
                raise ValueError(
                    f"stride {self.stride} is larger than crop {self.crop}: pixels between two windows would never be "
                    "predicted; use a stride of at most the crop (usual: two thirds of it)"
                )

    @property
    def num_passes(self) -> int:
        """Predictions per image that are averaged."""
        return len(self.scales) * (2 if self.flip else 1)


def describe(inference: Inference) -> str:
    """The settings in words, for reports.

    >>> describe(Inference(mode="slide", crop=(769, 769), stride=(513, 513), flip=True))
    'sliding window 769x769 (height x width) with stride 513x513; scale 1; with left-right flip; softmax probabilities \
averaged over 2 passes'
    """
    if inference.crop is not None and inference.stride is not None:
        (h, w), (step_h, step_w) = inference.crop, inference.stride
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
    inference: Inference | None = None,
    output_size: tuple[int, int] | None = None,
) -> Float[Tensor, "B K h w"]:
    """Class scores in float32 at `output_size`, by default the images' own size.

    Logits if there is a single pass, averaged probabilities if there are several (flip or scales). `model` is in eval
    mode and gives logits (B, K, H, W) at its input's size. `inference`: whole image by default.

    Raises:
        ValueError: the model is in training mode.
    """
    return _scores(model, images, inference or Inference(), output_size or _size(images), keep_scale=True)


@torch.no_grad()
def predict_labels(
    model: Model,
    images: Float[Tensor, "B 3 H W"],
    *,
    inference: Inference | None = None,
    output_size: tuple[int, int] | None = None,
) -> Integer[Tensor, "B h w"]:
    """Class indices at `output_size`, uint8 up to 256 classes, int64 above; as `predict(...).argmax(1)`.

    With a single pass over the whole image no float map at full resolution exists if the model gives its logits as its head
    makes them (`SegmentationModel.logits`): they are brought to full size a strip of rows at a time, up to rounding the same.
    With a single pass of windows their sum is the only one: neither divided by counts nor normalised, which would change
    no maximum.
    """
    inference, output_size = inference or Inference(), output_size or _size(images)
    if output_size == _size(images) and _one_plain_pass(inference) and hasattr(model, "logits"):
        _check_eval(model)
        return _labels_in_strips(
            model.logits(images).float(), output_size, bool(getattr(model, "align_corners", False))
        )
    scores = _scores(model, images, inference, output_size, keep_scale=False)
    labels = _no_labels(scores, _size(scores))
    for image, best in zip(scores, labels, strict=True):
        best.copy_(image.argmax(0))  # int64 for one image at a time
    return labels


def _scores(
    model: Model, images: Tensor, inference: Inference, output_size: tuple[int, int], *, keep_scale: bool
) -> Tensor:
    _check_eval(model)
    single = inference.num_passes == 1
    total: Tensor | None = None
    for scores in _passes(model, images, inference, output_size, keep_scale=keep_scale or not single):
        if single:
            return scores
        probabilities = scores.softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
        del scores, probabilities  # not kept while the next pass runs
    assert total is not None
    return total.div_(inference.num_passes) if keep_scale else total


def _check_eval(model: Model) -> None:
    if getattr(model, "training", False):
        raise ValueError("the model is in training mode, where it gives several outputs; call model.eval() first")


def _one_plain_pass(inference: Inference) -> bool:
    return (inference.mode, inference.scales, inference.flip, inference.short_side) == ("whole", (1.0,), False, None)


def _no_labels(scores: Tensor, size: tuple[int, int]) -> Tensor:
    dtype = torch.uint8 if scores.shape[1] <= 256 else torch.int64
    return torch.empty(scores.shape[0], *size, dtype=dtype, device=scores.device)


def _labels_in_strips(
    logits: Float[Tensor, "B K h w"], size: tuple[int, int], align_corners: bool, *, rows: int = 32
) -> Integer[Tensor, "B H W"]:
    """Labels of bilinearly resized logits: each strip's rows are mixed from two of the map's, then its columns resized."""
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
            best[here] = strip.argmax(0)
    return labels


def _passes(
    model: Model, images: Tensor, inference: Inference, output_size: tuple[int, int], *, keep_scale: bool
) -> Iterator[Tensor]:
    """Logits (B, K, h, w) of every scale and flip, turned back and at the output size."""
    align_corners = bool(getattr(model, "align_corners", False))
    if inference.short_side is not None:
        images = _to_short_side(images, inference.short_side)
    H, W = _size(images)
    for scale in inference.scales:
        scaled = _resize(images, (max(1, int(H * scale + 0.5)), max(1, int(W * scale + 0.5))), align_corners)
        for flip in (False, True) if inference.flip else (False,):
            seen = scaled.flip(-1) if flip else scaled
            if inference.mode == "slide":
                logits = _slide(model, seen, inference, keep_scale=keep_scale)
            else:
                logits = model(seen).float()
            yield _resize(logits.flip(-1) if flip else logits, output_size, align_corners)


def _slide(model: Model, images: Tensor, inference: Inference, *, keep_scale: bool) -> Tensor:
    """Sum of the windows' logits, (B, K, H, W), divided by the number of windows at each pixel if `keep_scale`."""
    assert inference.crop is not None
    assert inference.stride is not None
    B, _, H, W = images.shape
    h, w = min(inference.crop[0], H), min(inference.crop[1], W)
    tops, lefts = window_starts(H, h, inference.stride[0]), window_starts(W, w, inference.stride[1])
    windows = [(b, y, x) for b in range(B) for y in tops for x in lefts]
    total: Tensor | None = None
    for start in range(0, len(windows), inference.window_batch):
        batch = windows[start : start + inference.window_batch]
        logits = model(torch.stack([images[b, :, y : y + h, x : x + w] for b, y, x in batch]))
        if total is None:
            total = torch.zeros(B, logits.shape[1], H, W, device=logits.device)
        for (b, y, x), window in zip(batch, logits, strict=True):
            total[b, :, y : y + h, x : x + w] += window
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
