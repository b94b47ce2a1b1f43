"""A segmentation network: backbone, head, auxiliary head, and the one place where logits are brought to the image's size."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn import backbones, config, heads
from segattn.backbones.pretrained import local_file
from segattn.heads.parts.layers import Classifier, ConvBnRelu


class AuxiliaryHead(nn.Module):
    """The usual auxiliary FCN on stage 3: 3x3 convolution to 256 channels, dropout, classifier (as in mmsegmentation)."""

    def __init__(self, in_channels: int, num_classes: int, *, channels: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels, channels)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        return self.classify(self.reduce(x))


class SegmentationModel(nn.Module):
    """Backbone and head as an ordinary module: images in, logits at the images' size out.

    In eval mode the result is one tensor (B, K, H, W); in training a dict of named logits, all of that size, whose weights in
    the loss are `loss_weights`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        auxiliary: nn.Module | None,
        *,
        num_classes: int,
        align_corners: bool = False,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.auxiliary = backbone, head, auxiliary
        self.num_classes, self.align_corners = num_classes, align_corners
        self.loss_weights: dict[str, float] = dict(head.loss_weights)  # type: ignore[arg-type]
        if auxiliary is not None:
            self.loss_weights["aux"] = auxiliary_weight

    def forward(self, images: Float[Tensor, "B 3 H W"], *, full_size: bool = True) -> Tensor | dict[str, Tensor]:
        features = self.backbone(images)
        outputs = dict(self.head(features))
        size = images.shape[-2:]
        if not self.training:
            return self.upsample(outputs["out"], size) if full_size else outputs["out"]
        if self.auxiliary is not None:
            outputs["aux"] = self.auxiliary(features[2])
        return {name: self.upsample(logits, size) for name, logits in outputs.items()}

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K h w"]:
        """In eval mode, the head's logits as they are, before they are brought to the images' size."""
        logits: Tensor = self(images, full_size=False)
        return logits

    def upsample(self, logits: Float[Tensor, "B K h w"], size: Sequence[int]) -> Float[Tensor, "B K H W"]:
        """Logits at `size`, bilinear."""
        return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=self.align_corners)


def create_model(
    head: str,
    *,
    num_classes: int,
    backbone: str = "resnet101",
    output_stride: int = 8,
    mode: heads.Mode = "faithful",
    align_corners: bool = False,
    auxiliary_weight: float = 0.4,
    head_options: Mapping[str, Any] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    pretrained: str | os.PathLike[str] | None = None,
) -> SegmentationModel:
    """Build a segmentation network with random weights, or with a pretrained backbone.

    `align_corners` is how logits are upsampled; the custom is True for odd crops (769, 520 on a 97 or 65 grid), False for 512.
    `auxiliary_weight=0` leaves the auxiliary head out; heads with auxiliary outputs of their own never get it.
    `pretrained` is a file, URL or published name of backbone weights in torchvision's or mmsegmentation's naming.

    Raises:
        ValueError: unknown head, backbone, mode or option (naming the nearest valid ones), or fewer than one class.

    >>> model = create_model("danet", num_classes=19, backbone="resnet18").eval()
    >>> model(torch.zeros(1, 3, 65, 97)).shape
    torch.Size([1, 19, 65, 97])
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} should be at least 1")
    heads.module(head)  # a wrong name is told before a large backbone is built
    body = backbones.create(backbone, output_stride=output_stride, **(backbone_options or {}))
    channels: tuple[int, ...] = body.channels  # type: ignore[assignment]
    top = heads.create(head, channels, num_classes, mode=mode, **(head_options or {}))
    wants_auxiliary = auxiliary_weight > 0 and not top.own_auxiliary
    auxiliary = AuxiliaryHead(channels[2], num_classes) if wants_auxiliary else None
    if pretrained is not None:
        load_backbone_weights(body, pretrained)
    return SegmentationModel(
        body,
        top,
        auxiliary,
        num_classes=num_classes,
        align_corners=align_corners,
        auxiliary_weight=auxiliary_weight,
    )


def build_model(model: config.Model, num_classes: int) -> SegmentationModel:
    """The network that an experiment's model section describes."""
    return create_model(
        model.head,
        num_classes=num_classes,
        backbone=model.backbone,
        output_stride=model.output_stride,
        mode=model.mode,
        align_corners=model.align_corners,
        auxiliary_weight=model.auxiliary_weight,
        head_options=model.head_options,
        backbone_options=model.backbone_options,
        pretrained=model.pretrained,
    )


def load_backbone_weights(backbone: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a backbone's weights in torchvision's or mmsegmentation's naming, without running any code.

    `path` is a file, a URL, or a name as in `segattn.backbones.pretrained`.

    Raises:
        ValueError: no such file, no state dict, or keys that do not fit (both lists are named).
    """
    path = local_file(path)
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"pretrained backbone {path}: cannot be read as tensors only ({error})") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)  # type: ignore[assignment]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"pretrained backbone {path}: it holds no state dict (names and tensors)")
    if any(key.startswith("backbone.") for key in state):
        state = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    own = backbone.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    if missing or unexpected or shapes:
        raise ValueError(
            f"pretrained backbone {path} does not fit: missing {some(missing)}; unexpected {some(unexpected)}; "
            f"other shape {some(shapes)}. A plain-stem file (torchvision) needs backbone option stem='plain'."
        )
    backbone.load_state_dict(state, strict=False)


def some(keys: list[str], limit: int = 5) -> str:
    """A few keys and how many more there are."""
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return (", ".join(keys[:limit]) + more) or "none"
