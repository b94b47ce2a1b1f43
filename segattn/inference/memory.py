"""Whether a prediction fits into memory, asked before the network runs: a system that has none left kills without a word."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from segattn.config import Evaluation
from segattn.inference.tiles import TILE_BYTES, Model
from segattn.profile import in_use
from segattn.profile.liveness import Liveness

_LEAST_BYTES = 2**28
"""Less than this is not compared with what is available."""
_LEAST_PIXELS = 2**21
"""A network's own peak is predicted for inputs of more pixels than this in a forward pass; smaller ones fit, or nothing does."""
_peaks: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], int]] = WeakKeyDictionary()


def refuse_too_large(
    model: Model,
    images: Tensor,
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    maps: bool,
) -> None:
    """Compare an estimate with the memory that is available now; `maps` says whether all scores exist at once.

    Nothing is estimated for a model that does not tell its `num_classes`.

    Raises:
        ValueError: it cannot fit; the message says how much is needed and what to choose instead.
    """
    num_classes = getattr(model, "num_classes", None)
    if not isinstance(num_classes, int):
        return
    size = (images.shape[-2], images.shape[-1])
    needed = estimate(model, len(images), size, num_classes, inference, output_size, window_batch, maps=maps)
    if needed < _LEAST_BYTES or needed <= (free := available(images.device)):
        return
    raise ValueError(
        f"{len(images)} x {size[1]}x{size[0]} pixels with {num_classes} classes need about {needed / 1e9:.1f} GB, and "
        f"{free / 1e9:.1f} GB are available; {advice(len(images), inference, maps=maps)}"
    )


def advice(num_images: int, inference: Evaluation, *, maps: bool = False) -> str:
    """What to choose where a prediction with these settings does not fit into memory."""
    if num_images > 1:
        return (
            "use a smaller batch"  # no option: `predict` has --batch-size, `evaluate` and training choose it themselves
        )
    if inference.mode == "whole":
        return "use a sliding window (--mode slide --crop-size 769x769), or scale the image down"
    if maps:
        return "the scores of all classes do not fit at this size: ask for labels only, or scale the image down"
    height, width = inference.window[0]
    if max(height, width) > 512:
        return "use a smaller window (--crop-size 512x512), or scale the image down"
    return "scale the image down, or cut it into pieces"


@contextmanager
def in_words(what: str, num_images: int, inference: Evaluation, *, option: str = "") -> Iterator[None]:
    """Memory that runs out becomes a ValueError: `what`, and the advice for these settings; `option` sets the batch size."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError on a GPU, a plain RuntimeError on a CPU
        if not isinstance(error, MemoryError) and "alloc" not in str(error) and "memory" not in str(error):
            raise
        named = f" ({option})" if option and num_images > 1 else ""
        raise ValueError(f"{what}; {advice(num_images, inference)}{named}") from None


def available(device: torch.device) -> int:
    """Bytes that can be allocated now: of a GPU, also what torch's allocator holds unused."""
    free = in_use.available(str(device))
    if device.type == "cuda":
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free


def estimate(
    model: Model,
    num_images: int,
    size: tuple[int, int],
    num_classes: int,
    inference: Evaluation,
    output_size: tuple[int, int],
    window_batch: int,
    *,
    maps: bool,
) -> int:
    """Bytes that a prediction needs above its images and weights; rather too few than too many."""
    pixels, passes = math.prod(output_size), inference.num_passes
    full = 4 * num_images * num_classes * pixels
    needed = full * maps
    if inference.mode == "slide":
        crop = (min(inference.window[0][0], size[0]), min(inference.window[0][1], size[1]))
        tile = min(TILE_BYTES, 4 * num_classes * pixels)
        return needed + num_images * pixels + tile * min(passes, 2) + _peak(model, window_batch, crop)
    scale = max(inference.scales)
    scaled = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale))) if inference.short_side is None else (1, 1)
    network = _peak(model, num_images, scaled)
    if not maps:
        return num_images * pixels + network
    # one map while the network runs for the second pass; then logits, probabilities and their sum
    return max(full * min(passes, 3), network + full * (1 if passes == 1 else 2))


def _peak(model: Model, batch: int, size: tuple[int, int]) -> int:
    """Bytes of the network's own tensors, weights excepted, in a forward pass up to the logits; 0 where it is not predicted."""
    if batch * math.prod(size) < _LEAST_PIXELS or not (isinstance(model, nn.Module) and hasattr(model, "logits")):
        return 0
    known = _peaks.setdefault(model, {})
    if (batch, *size) not in known:
        known[batch, *size] = _predicted(model, batch, size)
    return known[batch, *size]


def _predicted(model: nn.Module, batch: int, size: tuple[int, int]) -> int:
    weight = next(model.parameters())
    watch = Liveness("cuda" if weight.device.type == "cuda" else "cpu")
    twin = copy.deepcopy(model).to("meta")
    for module in twin.modules():  # a hook collects real values, as for the means of `without_attention`
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    watch.adopt(twin, "weights")
    image = watch.tensor(batch, getattr(model, "in_channels", 3), *size)
    held = watch.live
    try:
        with torch.compiler.set_stance("force_eager"), watch, torch.no_grad():
            twin.logits(image)  # type: ignore[operator]
    except Exception:  # a head of one's own that reads values: only the maps are counted
        return 0
    return watch.peak().total - held
