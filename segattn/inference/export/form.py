"""What is exported: the settings, and the network as the module that becomes a graph."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from segattn.data.transforms import Normalization
from segattn.inference.export.facts import label_type
from segattn.inference.optimized import optimize
from segattn.model import SegmentationModel

SUFFIXES = (".onnx", ".pt2")
OPSETS = range(18, 24)
DEFAULT_OPSET = 20
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.float32}
_SAMPLE = (2, 129, 97)
"""Batch, height and width that a graph is recorded with; torch.export takes a batch of 1 for a constant."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of an exported network; a value out of range raises ValueError."""

    precision: str = "fp32"
    """`fp32`; `fp16`: weights and arithmetic in half precision; `int8`: convolutions in 8 bits, ONNX only."""
    labels: bool = False
    """Return class indices instead of logits."""
    preprocessing: bool = False
    """Take 8-bit RGB images, (batch, height, width, channels), and normalise them in the graph."""
    opset: int | None = None
    """ONNX's; 20 by default."""

    def __post_init__(self) -> None:
        if self.precision not in _DTYPES:
            raise ValueError(f"precision {self.precision!r} is not known; use {', '.join(_DTYPES)}")
        if self.opset is not None and self.opset not in OPSETS:
            raise ValueError(f"opset {self.opset} is not possible; use {OPSETS[0]} to {OPSETS[-1]}")

    def check(self, path: Path) -> None:
        """Whether a file of this name can have this form.

        Raises:
            ValueError: another suffix, a setting that the format does not have, or packages that are not installed.
        """
        if path.suffix not in SUFFIXES:
            raise ValueError(
                f"{path}: the name of an exported file ends with {' or '.join(SUFFIXES)}, such as net.onnx"
            )
        if path.is_dir():
            raise ValueError(f"{path} is a folder; give the name of a file, such as {path / 'net.onnx'}")
        if path.suffix == ".pt2":
            if self.precision == "int8":
                raise ValueError(f"{path}: precision int8 is for ONNX; give a name that ends with .onnx, or use fp16")
            if self.opset is not None:
                raise ValueError(f"{path}: an opset is for ONNX; give a name that ends with .onnx, or leave it out")
            return
        need("onnx", "onnxscript", "onnxruntime", what="export to ONNX")


def need(*packages: str, what: str) -> None:
    """Raise ValueError, with the command that installs them, unless all packages are there."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ValueError(f"{what} needs {', '.join(missing)}: pip install 'segattn[export]'")


class Recorded(nn.Module):
    """A network from its input to its output, both as `Form` says. No decorator of torch is in it, which a graph would keep."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: SegmentationModel, form: Form) -> None:
        super().__init__()
        self.network = optimize(model, dtype=_DTYPES[form.precision], channels_last=False).network
        self.form, self.dtype = form, _DTYPES[form.precision]
        self.label_type = label_type(model.num_classes)
        normalization = Normalization.of(model)
        self.reversed = normalization.channel_order == "bgr"
        shift = [-mean / std for mean, std in zip(normalization.mean, normalization.std, strict=True)]
        self.register_buffer("scale", torch.tensor([1 / (255 * std) for std in normalization.std])[:, None, None])
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        if self.form.preprocessing:  # as `segattn.data.transforms.to_tensor`
            images = images.permute(0, 3, 1, 2).float() * self.scale + self.shift
            images = images.flip(1) if self.reversed else images
        logits = self.network.upsample(self.network.logits(images.to(self.dtype)).float(), images.shape[-2:])
        return logits.argmax(1).to(self.label_type) if self.form.labels else logits

    def sample(self) -> Tensor:
        """An input to record the graph with."""
        batch, height, width = _SAMPLE
        if self.form.preprocessing:
            return torch.zeros(batch, height, width, self.network.in_channels, dtype=torch.uint8)
        return torch.zeros(batch, self.network.in_channels, height, width)

    def dynamic_axes(self) -> dict[int, object]:
        """The axes of the input that are dynamic: batch, height and width."""
        axes = (0, 1, 2) if self.form.preprocessing else (0, 2, 3)
        return dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
