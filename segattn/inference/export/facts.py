"""What an exported file says of its network: JSON by name in ONNX's `metadata_props`, and in one extra file of a .pt2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from segattn import __version__, config
from segattn.data.files.palette import voc_palette
from segattn.data.transforms import Normalization
from segattn.model import SegmentationModel
from segattn.profile.environment import commit

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The network, how images enter its graph, and what the graph returns."""

    segattn: str
    """The version that wrote the file."""
    format: int = FORMAT
    commit: str | None
    head: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    in_channels: int
    mean: tuple[float, ...]
    """Per channel of RGB, in [0, 1]."""
    std: tuple[float, ...]
    channel_order: str
    """Order in which the network takes RGB; with preprocessing inside, the graph takes RGB and reorders it."""
    align_corners: bool
    output_stride: int | None
    """None for a network without an experiment; so are `crop_size` and `experiment`."""
    crop_size: tuple[int, int] | None
    """Height and width of the training crops."""
    precision: str
    labels: bool
    """The output is class indices, (batch, height, width), instead of logits."""
    preprocessing: bool
    """The input is uint8 (batch, height, width, channels), instead of normalised float32 (batch, channels, height, width)."""
    experiment: dict[str, Any] | None
    data: dict[str, Any] | None = None
    """The fingerprint of the data that the network was trained on."""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format}; this version of segattn reads {FORMAT}")
        if not 1 <= len(self.classes) == len(self.palette):
            raise ValueError(f"{len(self.classes)} classes and {len(self.palette)} colours")
        if not all(0 <= value <= 255 for each in self.palette for value in each):
            raise ValueError("a colour of the palette is not from 0 to 255")
        Normalization(self.mean, self.std, self.channel_order, self.in_channels)

    @property
    def input_text(self) -> str:
        """Type and shape of the input."""
        if self.preprocessing:
            return f"uint8 (batch, height, width, {self.in_channels})"
        return f"float32 (batch, {self.in_channels}, height, width)"

    @property
    def output_text(self) -> str:
        """Type and shape of the output."""
        if self.labels:
            return f"{str(label_type(len(self.classes))).removeprefix('torch.')} (batch, height, width)"
        return f"float32 (batch, {len(self.classes)}, height, width)"

    def to_strings(self) -> dict[str, str]:
        """Each field as JSON."""
        return {name: json.dumps(value) for name, value in msgspec.to_builtins(self).items()}


def label_type(num_classes: int) -> torch.dtype:
    """The type of class indices in a graph.

    >>> label_type(256), label_type(257)
    (torch.uint8, torch.int64)
    """
    return torch.uint8 if num_classes <= 256 else torch.int64


def facts_of(
    model: SegmentationModel,
    *,
    precision: str = "fp32",
    labels: bool = False,
    preprocessing: bool = False,
    data: Mapping[str, Any] | None = None,
) -> Facts:
    """What an exported file will say of `model`."""
    experiment, K = model.experiment, model.num_classes
    return Facts(
        segattn=__version__,
        commit=commit(Path(__file__).parent),
        head=type(model.head).__module__.rpartition(".")[2] if experiment is None else experiment.model.head,
        classes=model.class_names or tuple(f"class {index}" for index in range(K)),
        palette=model.palette or tuple(voc_palette(K)),
        in_channels=model.in_channels,
        mean=Normalization.of(model).mean,
        std=Normalization.of(model).std,
        channel_order=model.channel_order,
        align_corners=model.align_corners,
        output_stride=None if experiment is None else experiment.model.output_stride,
        crop_size=None if experiment is None else experiment.augmentation.crop_size,
        precision=precision,
        labels=labels,
        preprocessing=preprocessing,
        experiment=None if experiment is None else config.to_dict(experiment),
        data=None if data is None else dict(data),
    )


def from_strings(strings: Mapping[str, str]) -> Facts | None:
    """The facts in a file's metadata; None where there are none of segattn.

    Raises:
        ValueError: they are incomplete or damaged; one line.
    """
    if "segattn" not in strings or "classes" not in strings:
        return None
    names = Facts.__dataclass_fields__
    try:
        return msgspec.convert({name: json.loads(strings[name]) for name in names if name in strings}, Facts)
    except (ValueError, RecursionError) as error:  # among them JSON's and msgspec's
        raise ValueError(f"its metadata cannot be read ({error!s:.300})") from None
