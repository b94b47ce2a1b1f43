"""Where a network looks when it labels one pixel: its attention maps, drawn in notebooks, as arrays everywhere.

>>> import numpy as np, segattn
>>> model = segattn.create_model("ccnet", num_classes=19, backbone="resnet18").eval()
>>> result = segattn.attention_maps(model, np.zeros((64, 96, 3), np.uint8), pixel=(40, 20))  # 40 to the right, 20 down
>>> result.position, {name: map.values.shape for name, map in result.maps.items()}
((2, 5), {'cross': (8, 12), 'composed': (8, 12)})
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.data.files.decode import read_image
from segattn.data.files.palette import voc_palette
from segattn.data.files.pixels import Reading, reading_for
from segattn.data.files.shown import shown
from segattn.data.transforms import Normalization, resized, to_image, to_tensor
from segattn.maps.placement import position_under
from segattn.maps.types import AttentionMap, Kind, PixelMaps
from segattn.model import SegmentationModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor


class NoMapsError(ValueError):
    """The head has no attention maps, like a baseline without attention."""


class AttentionMaps(PixelMaps):
    """`PixelMaps` that draw themselves in a notebook."""

    def figure(self, *, every_map: bool = True) -> Figure:
        """A matplotlib figure of the image, the maps (only the main one with `every_map=False`) and the prediction."""
        from segattn.maps import figure  # matplotlib: a third of a second

        return figure.draw([self], every_map=every_map)

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        from segattn.maps import figure

        return figure.png(self.figure())


@dataclass(frozen=True, eq=False)
class Look:
    """An image as one network sees it: backbone and head have run, and any pixel's maps follow from that."""

    name: str
    model: SegmentationModel
    image: np.ndarray
    """What figures show: uint8 (H, W, 3)."""
    size: tuple[int, int]
    """Height and width of what was given; larger than `image` only with `max_side`."""
    features: list[Tensor]
    prediction: np.ndarray
    """int64 (H, W), class indices."""
    confidence: np.ndarray
    """float32 (H, W), the softmax probability of the class."""

    @property
    def num_bytes(self) -> int:
        """What it keeps in memory."""
        arrays = self.image.nbytes + self.prediction.nbytes + self.confidence.nbytes
        return arrays + sum(feature.nbytes for feature in self.features)

    @torch.no_grad()
    def at(self, pixel: tuple[int, int]) -> AttentionMaps:
        """The maps of the pixel (x, y); no maps where nothing in the head attends.

        Raises:
            ValueError: the pixel is outside the image.
        """
        x, y = _checked(pixel, *self.size)
        (H, W), head = self.image.shape[:2], self.model.head
        spot = (min(int((x + 0.5) * W / self.size[1]), W - 1), min(int((y + 0.5) * H / self.size[0]), H - 1))
        grid = (self.features[-1].shape[-2], self.features[-1].shape[-1])
        position = position_under(spot, (H, W), grid, align_corners=self.model.align_corners)
        tensors = head.attention_maps(self.features, position) if hasattr(head, "attention_maps") else {}  # type: ignore[operator]
        maps = _named(tensors, self.model.declared("map_kinds"), grid, self.name)
        names, palette = _classes(self.model)
        return AttentionMaps(
            name=self.name,
            image=self.image,
            pixel=(x, y),
            spot=spot,
            position=position,
            grid=grid,
            maps=maps,
            main=self.model.declared("main_map") or next(iter(maps), ""),
            prediction=self.prediction,
            class_index=int(self.prediction[spot[::-1]]),
            confidence=float(self.confidence[spot[::-1]]),
            class_names=names,
            palette=palette,
            align_corners=self.model.align_corners,
        )


@torch.no_grad()
def look(model: SegmentationModel, image: Picture, *, name: str | None = None, max_side: int | None = None) -> Look:
    """Run the network once on the whole image; arguments and errors as of `attention_maps`."""
    if model.training:
        raise ValueError("the model is in training mode, where it gives several outputs; call model.eval() first")
    normalization = Normalization.of(model)
    tensor, size = _read(image, max_side, normalization, reading_for(model))
    H, W = tensor.shape[-2:]
    features = list(model.backbone(tensor[None].to(next(model.parameters()).device)))
    logits = model.head(features)["out"].float()
    probabilities = F.interpolate(logits, (H, W), mode="bilinear", align_corners=model.align_corners)[0].softmax(0)
    confidence, prediction = (values.cpu().numpy() for values in probabilities.max(0))
    return Look(
        name or _head_name(model.head),
        model,
        shown(to_image(tensor, normalization)),
        size,
        features,
        prediction,
        confidence,
    )


def attention_maps(
    model: SegmentationModel,
    image: Picture,
    pixel: tuple[int, int],
    *,
    name: str | None = None,
    max_side: int | None = None,
) -> AttentionMaps:
    """The attention maps of one pixel, true to the network's mechanism (`segattn heads NAME` explains each).

    The backbone runs once, on the whole image. Nothing of the size N x N is made for N positions. For several pixels of an
    image `look` runs the network once for all.

    Args:
        image: a file, read as the network's training images were; a PIL image; uint8 (H, W, bands), or (H, W) of one band or
            grey; or a tensor (bands, H, W) as `to_tensor` normalises it.
        pixel: (x, y), counted from 0: x to the right, y down, as image viewers show it; not (row, column).
        name: what figures call the network; its head's name unless given.
        max_side: scale a larger image down to this many pixels on its longer side first; `pixel` is of the larger one.

    Raises:
        NoMapsError: a ValueError; nothing in the head attends.
        ValueError: no such image, a pixel outside it, or a model in training mode.
    """
    result = look(model, image, name=name, max_side=max_side).at(pixel)
    if not result.maps:
        raise NoMapsError(f"head {result.name} has no attention maps: {_reason(model.head)}")
    return result


def _reason(head: nn.Module) -> str:
    """Why a head has no maps, and what to add where it could have some."""
    mechanism = getattr(head, "attention", None)
    if not hasattr(head, "attention_maps"):
        return "add to its class Head: def attention_maps(self, features, pixel): return {'name': map}, each (B, h, w)"
    if hasattr(head, "defined_in") and not isinstance(mechanism, nn.Identity):  # the controlled form
        what = "def maps(self, x, pixel): return {'name': map}, each (B, h, w)"
        return f"the controlled form asks its mechanism; add to class {type(mechanism).__name__}: {what}"
    return "nothing in it attends"


def _read(
    image: Picture, max_side: int | None, normalization: Normalization, how: Reading
) -> tuple[Tensor, tuple[int, int]]:
    """The image normalised (bands, H, W), scaled down where asked, and its size before that."""
    bands = normalization.in_channels
    if isinstance(image, Tensor):
        return _tensor(image, max_side, bands)
    if isinstance(image, str | os.PathLike):
        pixels = read_image(Path(image), how)
    elif isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
        pixels = np.array(upright.convert("RGB") if bands == 3 else upright)
    else:
        pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != bands):
        raise ValueError(
            f"image of shape {pixels.shape} and type {pixels.dtype}; expected uint8 (H, W, {bands}), or a normalised tensor"
        )
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3 if bands == 3 else 1, axis=2)
    height, width = pixels.shape[:2]
    if max_side is not None:
        if max_side < 1:
            raise ValueError(f"max_side={max_side} is no image; give at least 1 pixel")
        scale = max_side / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            pixels = resized(pixels, size)
    return to_tensor(pixels, normalization), (height, width)


def _tensor(image: Tensor, max_side: int | None, bands: int) -> tuple[Tensor, tuple[int, int]]:
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or len(image) != bands or not image.is_floating_point():
        raise ValueError(
            f"tensor of shape {tuple(image.shape)} and type {image.dtype}; expected one normalised image, float ({bands}, H, W)"
        )
    if max_side is not None:
        raise ValueError("max_side is for pictures; scale a tensor, and its pixel with it, before the call")
    return image.float(), (image.shape[1], image.shape[2])


def _checked(pixel: Sequence[int], height: int, width: int) -> tuple[int, int]:
    if len(pixel) != 2 or any(int(at) != at for at in pixel):
        raise ValueError(f"pixel {tuple(pixel)}: expected two whole numbers, (x, y)")
    x, y = int(pixel[0]), int(pixel[1])
    if not (0 <= x < width and 0 <= y < height):
        hint = f"; x comes first: did you mean ({y}, {x})?" if 0 <= y < width and 0 <= x < height else ""
        raise ValueError(
            f"pixel ({x}, {y}) is outside the image of {width} x {height} pixels: "
            f"x goes from 0 to {width - 1}, y from 0 to {height - 1}{hint}"
        )
    return x, y


def _named(
    tensors: Mapping[str, Tensor], kinds: Mapping[str, Kind], grid: tuple[int, int], owner: str
) -> dict[str, AttentionMap]:
    maps = {}
    for name, tensor in tensors.items():
        kind = kinds.get(name, "positions")
        values = (tensor[0, 0] if kind == "bases" else tensor[0]).float().cpu().numpy()
        expected = {"positions": grid, "half_grid": tuple((n + 1) // 2 for n in grid)}.get(kind, values.shape)
        if kind not in get_args(Kind) or values.shape != expected:
            raise ValueError(
                f"head {owner}: map {name!r} of kind {kind!r} has the shape {values.shape} on a grid of {grid}; "
                f"name its kind in the head's `map_kinds`: {', '.join(get_args(Kind))}"
            )
        maps[name] = AttentionMap(name, kind, values)
    return maps


def _head_name(head: nn.Module) -> str:
    """The module that defines the mechanism, as `segattn heads` lists it."""
    module = str(getattr(head, "defined_in", type(head).__module__))  # `defined_in`: the controlled form
    return module.rsplit(".", 1)[-1] if module.startswith("segattn.") else module


def _classes(model: SegmentationModel) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Names and colours that the model was saved with, or else numbers and the colours of PASCAL VOC."""
    K = model.num_classes
    names = model.class_names or tuple(f"class {index}" for index in range(K))
    return names, model.palette or tuple(voc_palette(K))
