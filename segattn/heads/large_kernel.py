"""Guo, Lu, Liu, Cheng, Hu: *Visual Attention Network*, CVMJ 2023, arXiv 2202.09741.

Every position and channel is multiplied by a linear function of its surroundings, a large convolution taken apart:

    u = GELU(W_in F)        a = P(DW_2(DW_1(u)))        Y = F + BN(W (a * u))

where F in R^{C x N} is the feature map; W_in, P, W: 1x1 convolutions; DW_1: depthwise 5x5; DW_2: depthwise 7x7 with dilation 3;
zeros outside the map; * element by element. Together they see 23x23 positions without holes. In general, for `kernel_size` k = 21
and `dilation` e = 3, DW_1 has 2e - 1 and DW_2 ceil(k/e) rows and columns. `kind` "multi_scale" is the attention of SegNeXt (Guo,
Lu, Hou, Liu, Cheng, Hu, NeurIPS 2022, arXiv 2209.08575), which sees 25x25:

    b = DW_5x5(u)        a = P(b + sum_m DW_mx1(DW_1xm(b))), m in (7, 11, 21)

Cost: MACs N C (3C + 74), with "multi_scale" N C (3C + 103); memory N C for the gate. `fast` has channels-last maps.

Differences from the paper and from the authors' code: they put the block into a backbone, after batch norm, with a shortcut
around the gate and another around the block with a layer scale of 0.01; as a segmentation head it stands between 3x3
convolutions, and its output passes BN with a scale that starts at 0, as in Non-Local.

B batch, C channels, H W feature map, N = H*W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segattn.heads.parts.attention import Implementation, check_option, full_precision
from segattn.heads.parts.layers import Sandwich

LATEX = r"""
u = \mathrm{GELU}(W_{in} F)\; a = P\bigl(\mathrm{DW}_2(\mathrm{DW}_1(u))\bigr) \quad Y = F + \mathrm{BN}\bigl(W (a \odot u)\bigr)
"""

Kind = Literal["large_kernel", "multi_scale"]


class LargeKernelAttention(nn.Module):
    """F + BN(W (a * u)), in the precision of the weights also under autocast: the product is quadratic in F. `auto` is `fast`."""

    main_map = "reach"

    def __init__(
        self,
        channels: int,
        *,
        kind: Kind = "large_kernel",
        kernel_size: int = 21,
        dilation: int = 3,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("kind", kind, Kind)
        check_option("implementation", implementation, Implementation)
        spaced = -(-kernel_size // max(dilation, 1))
        if dilation < 1 or spaced < 1 or spaced % 2 == 0:
            raise ValueError(
                f"{kernel_size=} with {dilation=}: ceil({kernel_size}/{dilation}) should be odd, as for 21 with 3"
            )
        self.kind, self.implementation = kind, implementation
        shapes = [((2 * dilation - 1,) * 2, 1), ((spaced,) * 2, dilation)]
        if kind == "multi_scale":
            shapes = [((5, 5), 1), *((shape, 1) for m in (7, 11, 21) for shape in ((1, m), (m, 1)))]
        self.embed = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, (m, n), padding=(d * (m // 2), d * (n // 2)), dilation=d, groups=channels)
            for (m, n), d in shapes
        )
        self.mix = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        for conv in (self.embed, *self.depthwise, self.mix, self.project):
            nn.init.normal_(conv.weight, std=(2 / conv.weight[0, 0].numel() / channels * conv.groups) ** 0.5)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.bn.weight)

    def surroundings(self, u: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """What P mixes: the depthwise convolutions of u."""
        first, *others = self.depthwise
        b = first(u)
        if self.kind == "large_kernel":
            return others[0](b)
        return b + sum(column(row(b)) for row, column in zip(others[::2], others[1::2], strict=True))

    def gate(self, u: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """a."""
        return self.mix(self.surroundings(u))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        with full_precision(x):
            wide = x.to(self.embed.weight.dtype)
            if self.implementation != "reference":
                wide = wide.contiguous(memory_format=torch.channels_last)  # another layout, the same numbers
            u = F.gelu(self.embed(wide))
            return x + self.bn(self.project(self.gate(u) * u)).to(x.dtype)

    def maps(self, x: Float[Tensor, "B C H W"], pixel: tuple[int, int]) -> dict[str, Float[Tensor, "B H W"]]:
        """`reach`: mean over channels of what each position adds to `pixel` before P, absolute; `gate`: mean of a."""
        u = F.gelu(self.embed(x))
        kernel = _kernel_of(self, u[:1], pixel)
        return {"reach": (kernel * u).abs().mean(dim=1), "gate": self.gate(u).mean(dim=1)}


# The same, faster


def _kernel_of(
    block: LargeKernelAttention, like: Float[Tensor, "1 C H W"], pixel: tuple[int, int]
) -> Float[Tensor, "1 C H W"]:
    """The weights of all positions in `surroundings` at one pixel: its convolutions transposed, applied to a map of one 1."""

    def back(conv: nn.Module, y: Tensor) -> Tensor:
        return F.conv_transpose2d(y, conv.weight, None, 1, conv.padding, 0, conv.groups, conv.dilation)  # type: ignore[arg-type]

    y = torch.zeros_like(like)
    y[:, :, pixel[0], pixel[1]] = 1.0
    first, *others = block.depthwise
    if block.kind == "large_kernel":
        return back(first, back(others[0], y))
    return back(
        first, y + sum(back(row, back(column, y)) for row, column in zip(others[::2], others[1::2], strict=True))
    )


# The head


class Head(nn.Module):
    """Large-kernel attention between the 3x3 convolutions of `Sandwich`."""

    loss_weights: ClassVar[dict[str, float]] = {"out": 1.0}
    Mechanism = LargeKernelAttention
    family = "kernel"
    growth = (1, 1)
    gates = ("bn.weight",)
    without_attention = "identity"

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int = 512,
        dropout: float = 0.1,
        mechanism: Callable[..., nn.Module] = LargeKernelAttention,
    ) -> None:
        super().__init__()
        self.sandwich = Sandwich(in_channels[-1], channels, num_classes, dropout=dropout)
        self.attention = mechanism(channels)

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits (B, K, H, W) at the size of the last map."""
        x = features[-1]
        return {"out": self.sandwich.after(x, self.attention(self.sandwich.before(x)))}

    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """`reach` and `gate` (B, H, W): what the surroundings of `pixel` = (row, column) add, and the mean gate."""
        return self.attention.maps(self.sandwich.before(features[-1]), pixel)  # type: ignore[operator]
