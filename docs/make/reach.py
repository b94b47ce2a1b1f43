"""Where a mechanism acts: which positions the output at one pixel takes from, and which it depends on.

The real module with random weights, in float64, on a 16 x 16 map with 16 channels. For the pixel i = (7, 7) and every position
j the Jacobian d out_i / d x_j (16 x 16 numbers) gives one number, its Frobenius norm. `gathers` holds the attention weights
constant, so that only what is summed up counts; `depends` lets them vary, also where training stops the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from segattn.heads import (
    agent,
    aspp,
    ccnet,
    danet,
    denoised_nl,
    dnlnet,
    efficient,
    emanet,
    external,
    flanet,
    hamburger,
    isanet,
    large_kernel,
    neighborhood,
    non_local,
    ocr,
    polarized,
    psp,
    reconet,
    ss2d,
    star,
)

SIZE, CHANNELS = 16, 16
PIXEL = (7, 7)
NONE = 1e-9
"""A norm below this share of the pixel's own is none: rounding."""


@dataclass(frozen=True)
class Panel:
    """One mechanism, or a part of it."""

    title: str
    make: Callable[[], nn.Module]
    weights: tuple[str, ...] = ()
    """Its methods that make the attention weights."""


@dataclass(frozen=True)
class Reach:
    """Norms (SIZE, SIZE), relative to that of the pixel itself."""

    title: str
    gathers: Tensor
    depends: Tensor


class _SameOutput(nn.Module):
    """In the place of one of ISANet's two attentions: that one passes its groups on."""

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        return x


class _WithLogits(nn.Module):
    """Denoised NL or OCR with class logits that stay as they are: here only its map varies."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.logits = nn.Buffer(torch.randn(1, 5, SIZE, SIZE))

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, self.logits.expand(len(x), -1, -1, -1))


def _isa(keep: str) -> nn.Module:
    attention = isanet.InterlacedAttention(CHANNELS, partition=(4, 4), implementation="reference")
    for name in ("long", "short"):
        if keep not in (name, "both"):
            setattr(attention, name, _SameOutput())
    return attention


def _denoised() -> nn.Module:
    return _WithLogits(denoised_nl.DenoisedNonLocal(CHANNELS, implementation="reference"))


def _object_context() -> nn.Module:
    return _WithLogits(ocr.ObjectAttention(CHANNELS, implementation="reference"))


def _criss_cross(recurrence: int) -> nn.Module:
    return ccnet.CrissCross(CHANNELS, recurrence=recurrence, implementation="reference")


def _of(block: Callable[..., nn.Module], **options: Any) -> Callable[[], nn.Module]:
    return partial(block, CHANNELS, implementation="reference", **options)


PANELS: dict[str, tuple[Panel, ...]] = {
    "fcn": (Panel("no attention", nn.Identity),),
    "non_local": (Panel("Non-Local", _of(non_local.NonLocal), ("weights",)),),
    "danet": (
        Panel("positions (PAM)", _of(danet.PositionAttention), ("weights",)),
        Panel("channels (CAM)", danet.ChannelAttention, ("weights",)),
    ),
    "dnlnet": (Panel("DNL", _of(dnlnet.DisentangledNonLocal), ("pairwise_weights", "unary_weights")),),
    "denoised_nl": (Panel("Denoised NL, half grid", _denoised, ("retain",)),),
    "reconet": (Panel("TGM and TRM", _of(reconet.TensorReconstruction, grid=(SIZE, SIZE)), ("generate",)),),
    "flanet": (Panel("FLA", _of(flanet.FullyAttentional), ("similarity",)),),
    "emanet": (Panel("EMAU", _of(emanet.EMAU, num_bases=8), ("responsibilities",)),),
    "isanet": (
        Panel("long range alone, P = 4", partial(_isa, "long"), ("weights",)),
        Panel("short range alone, P = 4", partial(_isa, "short"), ("weights",)),
        Panel("both, P = 4", partial(_isa, "both"), ("weights",)),
    ),
    "ccnet": (
        Panel("R = 1", partial(_criss_cross, 1), ("weights",)),
        Panel("R = 2", partial(_criss_cross, 2), ("weights",)),
    ),
    "star": (
        Panel("R = 1", _of(star.Star, recurrence=1), ("weights",)),
        Panel("R = 2", _of(star.Star), ("weights",)),
    ),
    "efficient": (Panel("Efficient attention", _of(efficient.EfficientAttention), ("weights",)),),
    "external": (Panel("External attention, S = 8", _of(external.ExternalAttention, num_slots=8), ("weights",)),),
    "agent": (Panel("4 x 4 agents", _of(agent.AgentAttention, agents=(4, 4), position_bias=False), ("weights",)),),
    "polarized": (
        Panel("both gates", _of(polarized.PolarizedAttention), ("channel_gate", "position_gate")),
        Panel(
            "one after the other",
            _of(polarized.PolarizedAttention, layout="sequential"),
            ("channel_gate", "position_gate"),
        ),
    ),
    "large_kernel": (Panel("k = 9, e = 3", _of(large_kernel.LargeKernelAttention, kernel_size=9), ("gate",)),),
    "neighborhood": (
        Panel("K = 5", _of(neighborhood.NeighborhoodAttention, kernel_size=5), ("weights",)),
        Panel("K = 5, dilation 3", _of(neighborhood.NeighborhoodAttention, kernel_size=5, dilation=3), ("weights",)),
    ),
    "ss2d": (Panel("final preset", _of(ss2d.SelectiveScan2d)),),
    "ocr": (Panel("5 classes", _object_context, ("regions", "weights")),),
    "hamburger": (Panel("NMF, R = 8", _of(hamburger.MatrixDecomposition, num_atoms=8), ("decompose",)),),
    "psp": (Panel("bins 1, 2, 3, 6", _of(psp.PyramidContext)),),
    "aspp": (Panel("dilations 1, 2, 4, 6", partial(aspp.AtrousContext, CHANNELS, 16, dilations=(1, 2, 4, 6))),),
}


def reach(head: str) -> tuple[Reach, ...]:
    """Every part of the head's mechanism."""
    return tuple(map(_reach, PANELS[head]))


def positions(norms: Tensor) -> int:
    """How many positions count at all."""
    return int((norms > NONE).sum())


def _reach(panel: Panel) -> Reach:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = _drawn(panel.make().double().eval())
        x = torch.randn(1, CHANNELS, SIZE, SIZE, dtype=torch.float64)
    with patch("torch.no_grad", nullcontext):  # EMANet stops gradients; its output depends on x all the same
        depends = _backwards(module, x)
    for part in module.modules():
        for name in panel.weights:
            if hasattr(part, name):
                setattr(part, name, partial(_constant, getattr(part, name)))
    return Reach(panel.title, _relative(_backwards(module, x)), _relative(depends))


def _drawn(module: nn.Module) -> nn.Module:
    """Weights of variance 1/fan-in, and 1 for what starts at 0 (gamma, BN's scale), so that the mechanism acts."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif parameter.dim() == 0:
            nn.init.ones_(parameter)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
    return module


def _constant(weights: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    attention = weights(*args, **kwargs)
    return attention.detach() if isinstance(attention, Tensor) else tuple(part.detach() for part in attention)


def _backwards(module: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    at_pixel = module(x)[0, :, PIXEL[0], PIXEL[1]]  # (C,)
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in at_pixel]
    return torch.stack(rows).square().sum(dim=(0, 1)).sqrt()  # (SIZE, SIZE)


def _relative(norms: Tensor) -> Tensor:
    return norms / norms[PIXEL]
