"""Checkpoints as mmsegmentation writes them, small: ResNet-18 of width 8, heads of 32 channels."""

from pathlib import Path

import torch
from torch import Tensor

from segattn.convert.mmseg_keys import HEADS

CLASSES = 5
CHANNELS = 32
HEAD_NAMES = sorted(HEADS)
# Width there -> width here, for ResNet-101 and 19 classes.
_SMALL = {2048: 64, 1024: 32, 512: CHANNELS, 2560: 64 + CHANNELS, 256: 16, 2304: 64 + 16, 64: 4, 19: CLASSES}


def head_keys(section: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a head in mmsegmentation, from `mmseg_keys.txt`."""
    text = Path(__file__).with_name("mmseg_keys.txt").read_text()
    lines = text.split(f"[{section}]\n")[1].split("\n\n")[0].splitlines()
    shapes = {}
    for line in lines:
        name, *sizes = line.split()
        shape = tuple(map(int, sizes))
        norm = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"{name}.{part}": shape for part in norm} if name.endswith(".bn") else {name: shape}
    return shapes


def small_shape(head: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a small network's parameter."""
    if name == "ema_module.bases":
        return (1, CHANNELS, 7)
    if head == "isanet" and name.startswith("out_conv.conv"):
        return (CHANNELS, 2 * CHANNELS, 1, 1)
    if head in ("psp", "aspp") and name == "bottleneck.conv.weight":
        inputs = 64 + 4 * CHANNELS if head == "psp" else 5 * CHANNELS
        return (CHANNELS, inputs, 3, 3)
    if name == "1.object_context_block.bottleneck.conv.weight":
        return (CHANNELS, 2 * CHANNELS, 1, 1)
    if shape[2:] == (3, 3) or shape[2:] == (1, 1):
        return (*(_SMALL.get(size, size) for size in shape[:2]), *shape[2:])
    return tuple(_SMALL.get(size, size) for size in shape)


def decode_head(head: str, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A random state dict of a small head, keys as mmsegmentation has them, nothing 0."""
    generator = torch.Generator().manual_seed(seed)
    section = "non_local" if head == "fcn" else head  # the same convolutions, without the block
    state = {}
    for name, shape in head_keys(section).items():
        if head == "fcn" and name.startswith("nl_block."):
            continue
        shape = small_shape(head, name, shape)
        fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 4
        value = torch.randn(shape, generator=generator, dtype=dtype) * (2 / fan_in) ** 0.5
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        if name == "ema_module.bases":
            value = value / value.norm(dim=1, keepdim=True)
        state[name] = value
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(11)
    return state


def segmentor(head: str, *, seed: int = 0, plain: bool = False) -> dict[str, Tensor]:
    """A random state dict of a whole small segmentor."""
    generator = torch.Generator().manual_seed(seed + 1)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * (2 / (torch.Size(shape[1:]).numel() or 4)) ** 0.5

    def norm(name: str, channels: int) -> dict[str, Tensor]:
        parts = {part: random(channels) for part in ("weight", "bias", "running_mean")}
        named = {f"{name}.{part}": value for part, value in parts.items()}
        variance = random(channels).abs() + 0.5
        return named | {f"{name}.running_var": variance, f"{name}.num_batches_tracked": torch.tensor(11)}

    state: dict[str, Tensor] = {}
    if plain:
        state |= {"backbone.conv1.weight": random(8, 3, 7, 7)} | norm("backbone.bn1", 8)
    else:
        for index, (inputs, outputs) in zip((0, 3, 6), ((3, 4), (4, 4), (4, 8)), strict=True):
            state[f"backbone.stem.{index}.weight"] = random(outputs, inputs, 3, 3)
            state |= norm(f"backbone.stem.{index + 1}", outputs)
    inputs = 8
    for stage, width in enumerate((8, 16, 32, 64), start=1):
        for block in (0, 1):
            name = f"backbone.layer{stage}.{block}"
            state[f"{name}.conv1.weight"] = random(width, inputs, 3, 3)
            state[f"{name}.conv2.weight"] = random(width, width, 3, 3)
            state |= norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)
            if inputs != width:
                state[f"{name}.downsample.0.weight"] = random(width, inputs, 1, 1)
                state |= norm(f"{name}.downsample.1", width)
            inputs = width
    state |= {f"decode_head.{name}": value for name, value in decode_head(head, seed=seed).items()}
    if head == "ocr":  # its first head is in the place of the auxiliary one
        return state
    state["auxiliary_head.convs.0.conv.weight"] = random(256, 32, 3, 3)
    state |= norm("auxiliary_head.convs.0.bn", 256)
    return state | {
        "auxiliary_head.conv_seg.weight": random(CLASSES, 256, 1, 1),
        "auxiliary_head.conv_seg.bias": random(CLASSES),
    }
