"""What heads share besides the attention product: the convolutions around a mechanism, and resizing.

The heads of the study differ in their mechanism; most of them have the same convolutions around it (`Sandwich`). Nothing in this
file is specific to a mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation
from segattn.heads.parts.in_pieces import in_pieces as in_pieces
from segattn.heads.parts.recording import recording as recording
from segattn.heads.parts.recording import refuse_frozen_sizes as refuse_frozen_sizes
from segattn.heads.parts.recording import unflatten


class ConvBnRelu(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; `same` padding, He initialisation (fan out)."""

    implementation: Implementation = "auto"

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, *maps: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C h w"]:
        """Apply the layer to one map, or to several concatenated along channels."""
        if len(maps) > 1 and self.apart(maps):
            return self.relu(self.bn(self.sum_of_convolutions(maps)))
        return self.relu(self.bn(self.conv(maps[0] if len(maps) == 1 else torch.cat(maps, dim=1))))

    def apart(self, maps: Sequence[Tensor]) -> bool:
        """Whether to convolve each map separately: if the concatenated maps would be over four times the size of the weights."""
        if self.implementation == "reference" or recording():
            return False
        return sum(x.numel() for x in maps) > 4 * self.conv.weight.numel()

    def sum_of_convolutions(self, maps: Sequence[Tensor]) -> Float[Tensor, "B C h w"]:
        """The convolution of the concatenated maps, without concatenating them."""
        conv = self.conv
        first, *others = zip(maps, conv.weight.split([x.shape[1] for x in maps], dim=1), strict=True)
        y = F.conv2d(*first, conv.bias, conv.stride, conv.padding, conv.dilation)
        for x, weight in others:
            y = y + F.conv2d(x, weight, None, conv.stride, conv.padding, conv.dilation)
        return y


class Classifier(nn.Sequential):
    """Channel dropout and a 1x1 convolution to class logits, initialised N(0, 0.01)."""

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.conv = nn.Conv2d(in_channels, num_classes, 1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]


def fcn_classifier(in_channels: int, channels: int, num_classes: int, *, dropout: float = 0.1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU and `Classifier`: the usual auxiliary head."""
    return nn.Sequential(ConvBnRelu(in_channels, channels), Classifier(channels, num_classes, dropout=dropout))


class AuxiliaryHead(nn.Module):
    """The usual auxiliary FCN on stage 3: 3x3 convolution to 256 channels, dropout, classifier (as in mmsegmentation)."""

    def __init__(self, in_channels: int, num_classes: int, *, channels: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels, channels)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        return self.classify(self.reduce(x))


class Sandwich(nn.Module):
    """The convolutions around a mechanism: 3x3 before it, 3x3 after it, 3x3 over `[X ; context]`, classifier.

    X (B, in_channels, H, W) -> `before` -> F (B, channels, H, W) -> mechanism -> `after` -> logits (B, K, H, W).
    Used as in the public heads of Non-Local, DNLNet and CCNet, and around every mechanism in the controlled study.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(in_channels, channels)
        self.refine = ConvBnRelu(channels, channels)
        self.fuse = ConvBnRelu(in_channels + channels, channels)
        self.classify = Classifier(channels, num_classes, dropout=dropout)

    def before(self, x: Float[Tensor, "B X H W"]) -> Float[Tensor, "B C H W"]:
        """Reduce the backbone's map to the mechanism's width."""
        return self.reduce(x)

    def after(self, x: Float[Tensor, "B X H W"], context: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """Refine the mechanism's output, concatenate it with the backbone's map, classify."""
        context = self.refine(context)
        return self.classify(self.fuse(x, context))


def start_small(block: nn.Module) -> None:
    """Draw the weights of every convolution from N(0, 0.01) and set batch norm's scale to 0: the block adds nothing at first."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


def resize(x: Float[Tensor, "B C h w"], size: Sequence[int]) -> Float[Tensor, "B C H W"]:
    """Resize bilinearly with aligned corners, even to the same size: torch.export cannot decide whether the sizes are equal."""
    return F.interpolate(x, list(size), mode="bilinear", align_corners=True)


def positions(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N C"]:
    """Rearrange a map into a contiguous sequence of positions (no copy if the map is channels-last)."""
    return x.flatten(2).transpose(1, 2).contiguous()


def feature_map(x: Float[Tensor, "B N C"], size: tuple[int, int]) -> Float[Tensor, "B C H W"]:
    """Undo `positions`."""
    return unflatten(x.transpose(1, 2), 2, size)


def neighbours(x: Float[Tensor, "B C H W"], size: int = 3) -> Float[Tensor, "B N S C"]:
    """The window of odd `size` (S = size^2) around every position, zeros outside the map; channels last, for products there."""
    (h, w), r = x.shape[-2:], size // 2
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, r, r, r, r))
    places = [x[:, d // size : d // size + h, d % size : d % size + w] for d in range(size * size)]
    return torch.stack(places, dim=3).flatten(1, 2)


def spread(x: Float[Tensor, "B C H W"], weights: Float[Tensor, "B S N"], size: int = 3) -> Float[Tensor, "B C N"]:
    """Add every position's vector to its neighbours with S weights: the transpose of a weighted sum over `neighbours`."""
    s = weights.to(x.dtype).unflatten(2, x.shape[-2:])
    u = Spread.sum(x, s, size) if recording() else Spread.apply(x, s, size)
    return u.flatten(2)


class Spread(torch.autograd.Function):
    """u_m = sum_d s_{m-d,d} x_{m-d}; with g the gradient of u, dx_j = sum_d s_jd g_{j+d} and ds_jd = x_j^T g_{j+d}.

    autograd would write a map of zeros around every one of the S views, and keep all sums.
    """

    @staticmethod
    def sum(x: Float[Tensor, "B C H W"], s: Float[Tensor, "B S H W"], size: int) -> Float[Tensor, "B C H W"]:
        """The sum; in a graph without writing in place."""
        r = size // 2
        v, s = (F.pad(y, (r, r, r, r)) for y in (x, s))
        u = torch.zeros_like(x)
        for d in range(size * size):
            here = Spread.shifted(x, size * size - 1 - d, size)  # position m - d in the padded maps
            u = torch.addcmul(u, s[:, d : d + 1][here], v[here], out=None if recording() else u)
        return u

    @staticmethod
    def shifted(x: Tensor, d: int, size: int) -> tuple[Any, ...]:
        """The part of a padded map that lies `d` of the window's positions further than `x`."""
        top, left = d // size, d % size
        return ..., slice(top, top + x.shape[-2]), slice(left, left + x.shape[-1])

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, size: int) -> Tensor:
        """As `sum`."""
        ctx.save_for_backward(x, s)
        ctx.size = size
        return Spread.sum(x, s, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        (x, s), size, r = ctx.saved_tensors, ctx.size, ctx.size // 2
        padded, dx, ds = F.pad(g, (r, r, r, r)), torch.zeros_like(x), torch.empty_like(s)
        for d in range(size * size):
            near = padded[Spread.shifted(x, d, size)]
            dx.addcmul_(s[:, d : d + 1], near)
            torch.sum(x * near, 1, out=ds[:, d])
        return dx, ds, None
