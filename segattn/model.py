"""A segmentation network: backbone, head, auxiliary head, and the upsampling of logits to the image's size."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from importlib import import_module
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn import backbones, config, heads
from segattn.backbones import start
from segattn.backbones.pretrained import WHOLE_HEAD as WHOLE_HEAD
from segattn.backbones.shapes import map_shapes as map_shapes
from segattn.heads.parts.layers import AuxiliaryHead
from segattn.heads.parts.layers import ConvBnRelu as ConvBnRelu


class SegmentationModel(nn.Module):
    """Backbone and head as one module, from images to logits of the images' size.

    In eval mode the result is one tensor (B, K, H, W). In training mode it is a dict of named logits, all of that size, whose
    weights in the loss are `loss_weights`. `load_model` sets these attributes, which are None in a new network:

        class_names, palette    K names, and K colours, red, green and blue from 0 to 255
        experiment              the experiment that trained it
        image_range             of its training images (`records.image_range`); None where its files do not say

    and `create_model` these:

        in_channels, mean, std, channel_order    how an image enters it, as in `config.Model`
        described, started_from                  its arguments; what one with pretrained weights started from, in words
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
        self.class_names: tuple[str, ...] | None = None
        self.palette: tuple[tuple[int, int, int], ...] | None = None
        self.experiment: config.Experiment | None = None
        self.image_range: Any = None
        self.in_channels: int = getattr(backbone, "in_channels", 3)
        self.mean, self.std, self.channel_order = config.Model.mean, config.Model.std, config.Model.channel_order
        self.described: config.Model | None = None
        self.started_from = ""
        self.loss_weights: dict[str, float] = dict(head.loss_weights)  # type: ignore[arg-type]
        if auxiliary is not None:
            self.loss_weights["aux"] = auxiliary_weight

    def forward(self, images: Float[Tensor, "B C H W"], full_size: bool = True) -> Tensor | dict[str, Tensor]:
        return self.decode(self.backbone(images), images.shape[-2:], full_size=full_size)

    def decode(
        self, features: Sequence[Tensor], size: Sequence[int], *, full_size: bool = True
    ) -> Tensor | dict[str, Tensor]:
        """What `forward` returns, from the backbone's four maps of images of `size`; without `full_size`, of the map's size."""
        outputs = dict(self.head(features))
        if not self.training:
            return self.upsample(outputs["out"], size) if full_size else outputs["out"]
        if self.auxiliary is not None:
            outputs["aux"] = self.auxiliary(features[2])
        # (B, K, H, W) in memory: the loss would copy logits in channels-last order at full size, in the backward pass too
        return {name: self.upsample(x.contiguous(), size) if full_size else x for name, x in outputs.items()}

    def logits(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        """The head's logits before upsampling; in eval mode only."""
        return self(images, full_size=False)

    def declared(self, name: str) -> Any:
        """What the head declares under `name`, or the default: see `segattn/heads/parts/contract.py`."""
        return heads.declared(self.head, name)

    @property
    def mechanism(self) -> nn.Module:
        """The module that is counted as the head's mechanism; the whole head if it declares none."""
        return heads.mechanism_of(self.head)

    def take_counted_forms(self) -> None:
        """Switch each mechanism to the form whose operators are counted as its equation's cost (`counted_as`)."""
        for module in self.modules():
            if hasattr(module, "implementation"):
                module.implementation = heads.declared(module, "counted_as")

    @torch.no_grad()
    def after_step(self, reduce: Callable[[Tensor], Tensor] = lambda mean: mean) -> None:
        """What modules do once an optimiser step: EMANet moves its bases. `segattn train` calls it; so should a loop of your own.

        `reduce` gives the mean of a tensor over all processes; one process needs none.
        """
        for module in self.modules():
            if module is not self and hasattr(module, "after_step"):
                module.after_step(reduce)  # type: ignore[operator]

    def save_pretrained(self, folder: str | os.PathLike[str], **settings: Any) -> Any:
        """Write the network into `folder`, as `segattn.checkpoint.save_pretrained`; returns the folder."""
        return import_module("segattn.checkpoint").save_pretrained(
            self, folder, **settings
        )  # it stands above this module

    def push_to_hub(self, where: str, **settings: Any) -> str:
        """Upload the network as `hf://user/name`, as `segattn.push_to_hub`; returns its address."""
        return str(import_module("segattn.checkpoint").push_to_hub(self, where, **settings))

    def _repr_html_(self) -> str:
        size, built = sum(value.numel() for value in self.parameters()) / 1e6, self.described
        name = f"{built.head} ({built.mode}) on {built.backbone}" if built else type(self.head).__module__
        return f"<pre>{escape(name)}: {self.num_classes} classes, {size:.2f} M parameters</pre>"

    def upsample(self, logits: Float[Tensor, "B K h w"], size: Sequence[int]) -> Float[Tensor, "B K H W"]:
        """Logits resized bilinearly to `size`."""
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
    in_channels: int = 3,
    mean: tuple[float, ...] = config.Model.mean,
    std: tuple[float, ...] = config.Model.std,
    channel_order: Literal["rgb", "bgr"] = config.Model.channel_order,
    head_options: Mapping[str, Any] | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    pretrained: str | os.PathLike[str] | None = None,
    first_layer: Literal["mean", "repeat", "zero"] = "mean",
    init_head: Literal["random", "trunk"] = "random",
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> SegmentationModel:
    """Build a segmentation network with random weights, or with a pretrained backbone.

    `align_corners` applies to the upsampling of logits; usual are True for crops of 769 and 520 (feature maps of 97 and 65) and
    False for 512. `auxiliary_weight=0` omits the auxiliary head; heads with auxiliary outputs of their own never get one.
    `mean`, `std` and `channel_order` are declared, not computed with: `predict`, training and the like prepare images by them.
    `pretrained` is the folder of a run, or a file, URL or published name of backbone weights in torchvision's or
    mmsegmentation's naming; of a study's folder, it is the run with this head, mode and `seed`. If its first layer takes another
    number of bands, `first_layer` says how that is filled (`backbones.first_layer`). With `init_head="trunk"` the head
    starts from the pretrained network's head, as far as names and shapes agree; classes are matched by `class_names`, if given.

    Raises:
        ValueError: unknown head, backbone, mode or option (naming the nearest valid ones), or fewer than one class.

    >>> import torch
    >>> model = create_model("danet", num_classes=19, backbone="resnet18").eval()
    >>> model(torch.zeros(1, 3, 65, 97)).shape
    torch.Size([1, 19, 65, 97])
    """
    known = config.Model.__dataclass_fields__
    described = config.Model(**{name: value for name, value in locals().items() if name in known and value is not None})
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} should be at least 1")
    heads.module(head)  # a wrong name is an error before a large backbone is built
    heads.refuse_settings(head_options=head_options, backbone_options=backbone_options)
    body = backbones.create(backbone, output_stride=output_stride, in_channels=in_channels, **(backbone_options or {}))
    channels: tuple[int, ...] = body.channels  # type: ignore[assignment]
    build: Callable[[int], nn.Module] = partial(heads.create, head, channels, mode=mode, **(head_options or {}))
    top = build(num_classes)
    wants_auxiliary = auxiliary_weight > 0 and not heads.declared(top, "own_auxiliary")
    auxiliary = AuxiliaryHead(channels[2], num_classes) if wants_auxiliary else None
    settings: Any = {"align_corners": align_corners, "auxiliary_weight": auxiliary_weight}
    model = SegmentationModel(body, top, auxiliary, num_classes=num_classes, **settings)
    model.described, model.mean, model.std, model.channel_order = described, mean, std, channel_order
    if pretrained is not None:
        model.started_from = start.load(described, body, top, build, num_classes, class_names, seed)
    return model


def build_model(
    model: config.Model, num_classes: int, *, class_names: Sequence[str] | None = None, seed: int = 0
) -> SegmentationModel:
    """The network that an experiment's `model` section describes; its fields are the arguments of `create_model`."""
    return create_model(num_classes=num_classes, class_names=class_names, seed=seed, **vars(model))
