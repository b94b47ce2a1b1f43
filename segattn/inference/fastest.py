"""The fastest form of a network on this machine, for one size: each form is timed once."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from segattn.inference import forms
from segattn.model import SegmentationModel
from segattn.records import integrity


@dataclass(frozen=True)
class Choice:
    """Which form is the fastest, and what the others took."""

    form: str
    batch_size: int
    size: tuple[int, int]
    """Height and width in pixels."""
    milliseconds: dict[str, float]
    """Median time of a pass, by form, the fastest first."""
    left_out: dict[str, str]
    """Forms that were not timed, and why."""

    def __str__(self) -> str:
        """One line for each form.

        >>> print(Choice("onnx", 1, (65, 97), {"onnx": 2.0, "eager": 3.0}, {"openvino": "openvino is not installed"}))
        onnx is the fastest at 65x97, batch 1
          onnx: 2.00 ms
          eager: 3.00 ms
          openvino: left out, openvino is not installed
        """
        height, width = self.size
        lines = [f"{self.form} is the fastest at {height}x{width}, batch {self.batch_size}"]
        lines += [f"  {form}: {milliseconds:.2f} ms" for form, milliseconds in self.milliseconds.items()]
        return "\n".join([*lines, *(f"  {form}: left out, {reason}" for form, reason in self.left_out.items())])


def fastest(
    model: SegmentationModel,
    size: tuple[int, int],
    *,
    batch_size: int = 1,
    candidates: Sequence[str] | None = None,
    calibration: Sequence[np.ndarray] = (),
    rounds: int = 5,
    on_progress: Callable[[str], object] = lambda form: None,
) -> nn.Module:
    """`model` for inference in the form that takes the least time for images of `size` on its device; `choice` of it says which.

    The result takes normalised images (B, C, H, W) and returns float32 logits (B, K, H, W), as `model` does; `segattn.predict`
    takes it too. The forms are those of `segattn.inference.forms`: `eager`, `optimized`, `channels-last`, `inductor`, `onnx`,
    `openvino`, and `bf16` where the device has instructions for it. One that is not possible here, or whose logits are not those
    of the network, is left out, and `choice` says why. Building all of them takes a minute or two, most of it for inductor.

    Args:
        size: height and width in pixels.
        candidates: the forms to time; `int8`, which rounds most, only if it is named here.
        calibration: uint8 images (H, W, bands) that set the ranges of int8, which needs at least one.
        rounds: timed passes of each form, in turns.
        on_progress: is called with each form before it is built.

    Raises:
        ValueError: not a network of `load_model` or `create_model`, an unknown form, a number below 1, int8 without images, or
            no form is possible.
    """
    if not isinstance(model, SegmentationModel):
        raise ValueError(f"{type(model).__name__} has one form; give the network of load_model or create_model itself")
    if min(*size, batch_size, rounds) < 1:
        raise ValueError(f"size {size}, batch_size {batch_size} and rounds {rounds} should be at least 1")
    names = tuple(dict.fromkeys((*forms.EXACT, "bf16") if candidates is None else candidates))
    device = next(model.parameters()).device
    left_out = {form: reason for form in names if (reason := forms.missing(form, device.type))}
    if "int8" in names and not len(calibration):
        raise ValueError(
            "int8 needs calibration images, whose ranges it takes: calibration=[image, ...], uint8 (H, W, bands)"
        )
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, model.in_channels, *size, generator=generator).to(device)
    model.eval()
    with torch.no_grad():
        expected = model(images)
    networks: dict[str, nn.Module] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in names:
            if form in left_out:
                continue
            on_progress(form)
            try:
                network = forms.build(model, form, Path(folder), calibration)
                _check(network, form, images, expected)
                networks[form] = network
            except Exception as error:  # of compilers and runtimes
                left_out[form] = integrity.one_line(error)
    if not networks:
        raise ValueError("no form is possible: " + "; ".join(left_out.values()))
    milliseconds = _times(networks, images, rounds)
    form = next(iter(milliseconds))
    chosen = networks[form]
    chosen.choice = Choice(form, batch_size, (size[0], size[1]), milliseconds, left_out)  # type: ignore[assignment]
    return chosen


def _check(network: nn.Module, form: str, images: Tensor, expected: Tensor) -> None:
    """Raise ValueError where a form's logits are not those of the network; this pass also compiles and warms up."""
    with torch.no_grad():
        logits = network(images)
    difference = (logits - expected).abs().max().item() / max(expected.std().item(), 1e-12)
    most = 5e-3 if form in forms.EXACT else float("inf")
    if not difference <= most:  # nan too
        raise ValueError(f"its logits differ from the network's by {difference:.2g} standard deviations")


def _times(networks: dict[str, nn.Module], images: Tensor, rounds: int) -> dict[str, float]:
    """Median milliseconds of a pass, the fastest first; each round runs all networks in another order."""
    samples: dict[str, list[float]] = {form: [] for form in networks}
    order = random.Random(0)
    for _ in range(rounds):
        for form in order.sample(list(networks), len(networks)):
            with torch.no_grad():
                _finish(images)
                begun = time.perf_counter()
                networks[form](images)
                _finish(images)
                samples[form].append(1e3 * (time.perf_counter() - begun))
    times = {form: median(each) for form, each in samples.items()}
    return dict(sorted(times.items(), key=lambda pair: pair[1]))


def _finish(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
