"""Every mechanism with its oracle: what `compare_oracles` measures, and whose gradients the tests compare with numeric ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from segattn.heads.agent import AgentAttention
from segattn.heads.aspp import AtrousContext
from segattn.heads.ccnet import CrissCross
from segattn.heads.danet import ChannelAttention, PositionAttention
from segattn.heads.denoised_nl import DenoisedNonLocal
from segattn.heads.dnlnet import DisentangledNonLocal
from segattn.heads.efficient import EfficientAttention
from segattn.heads.emanet import EMAU
from segattn.heads.external import ExternalAttention
from segattn.heads.flanet import FullyAttentional
from segattn.heads.hamburger import MatrixDecomposition
from segattn.heads.isanet import InterlacedAttention
from segattn.heads.large_kernel import LargeKernelAttention
from segattn.heads.neighborhood import NeighborhoodAttention
from segattn.heads.non_local import NonLocal
from segattn.heads.ocr import ObjectAttention
from segattn.heads.polarized import PolarizedAttention
from segattn.heads.psp import PyramidContext
from segattn.heads.reconet import TensorReconstruction
from segattn.heads.ss2d import SelectiveScan2d
from segattn.heads.star import Star
from tests.heads import (
    test_agent,
    test_aspp,
    test_ccnet,
    test_danet,
    test_denoised_nl,
    test_dnlnet,
    test_efficient,
    test_emanet,
    test_external,
    test_flanet,
    test_hamburger,
    test_isanet,
    test_large_kernel,
    test_neighborhood,
    test_non_local,
    test_ocr,
    test_polarized,
    test_psp,
    test_reconet,
    test_ss2d,
    test_star,
)

MAPS = [(16, 5, 7)]  # channels, height, width of what a mechanism takes


@dataclass(frozen=True)
class Case:
    """One mechanism with one setting of its switches, and its oracle."""

    name: str
    build: Callable[..., nn.Module]
    """(channels, implementation=...) -> the mechanism; without `implementation` where it has one form only."""
    oracle: Callable[..., Tensor]
    """(mechanism, *inputs) -> what it should give."""
    maps: list[tuple[int, int, int]] = field(default_factory=lambda: MAPS)
    small: list[tuple[int, int, int]] = field(default_factory=lambda: [(4, 2, 3)])
    """The inputs for numeric gradients."""
    constant: tuple[str, ...] = ()
    """What `gradcheck` leaves out, since no gradient is meant to pass: "0", "1" an input, else a parameter."""

    @property
    def head(self) -> str:
        return self.name.split(",")[0]

    @property
    def forms(self) -> tuple[str, ...]:
        return ("reference", "fast") if "implementation" in inspect.signature(self.build).parameters else ("reference",)

    def mechanism(self, form: str, channels: int) -> nn.Module:
        """The mechanism in float64 and inference, with every parameter and statistic awake."""
        torch.manual_seed(0)
        options = {"implementation": form} if len(self.forms) == 2 else {}
        module = self.build(channels, **options).double().eval()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
                nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        return module


def inputs(shapes: list[tuple[int, int, int]]) -> list[Tensor]:
    """A batch of two for each shape."""
    torch.manual_seed(1)
    return [torch.randn(2, *shape, dtype=torch.float64) for shape in shapes]


def _non_local(pairwise: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return NonLocal(channels, pairwise=pairwise, implementation=implementation)  # type: ignore[arg-type]

    return Case(f"non_local, {pairwise}", build, test_non_local.oracle)


def _positions(channels: int, implementation: Any) -> nn.Module:
    return PositionAttention(channels, implementation=implementation)


def _channels(sign: str) -> Case:
    def build(channels: int) -> nn.Module:
        return ChannelAttention(cam_sign=sign)  # type: ignore[arg-type]

    def oracle(block: Any, x: Tensor) -> Tensor:
        return test_danet.channel_oracle(block.beta, x, sign)

    return Case(f"danet, channels, {sign}", build, oracle)


def _dnlnet(preset: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return DisentangledNonLocal(channels, preset=preset, implementation=implementation)  # type: ignore[arg-type]

    def oracle(block: Any, x: Tensor) -> Tensor:
        return test_dnlnet.oracle(block, x, {"preset": preset})

    return Case(f"dnlnet, {preset}", build, oracle)


def _denoised_nl(gr_mode: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return DenoisedNonLocal(channels, gr_mode=gr_mode, implementation=implementation)  # type: ignore[arg-type]

    maps, small = [*MAPS, (3, 9, 13)], [(4, 2, 3), (2, 3, 5)]  # the half grid, and class logits on the full one
    constant = ("1",) if gr_mode == "hard" else ()
    return Case(f"denoised_nl, {gr_mode}", build, test_denoised_nl.oracle, maps, small, constant)


def _reconet(size_handling: str) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        grid = {("fixed", 16): (5, 7), ("fixed", 4): (2, 3)}.get((size_handling, channels), (3, 4))
        options: dict[str, Any] = {"size_handling": size_handling, "implementation": implementation}
        return TensorReconstruction(channels, rank=5, grid=grid, **options)

    def oracle(block: Any, x: Tensor) -> Tensor:
        return x * test_reconet.oracle_tensor(block, x)

    return Case(f"reconet, {size_handling}", build, oracle)


def _flanet(channels: int, implementation: Any) -> nn.Module:
    return FullyAttentional(channels, implementation=implementation)


def _emanet(channels: int, implementation: Any) -> nn.Module:
    return EMAU(channels, num_bases=5, implementation=implementation)


def _isanet(mask_padding: bool) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        options: dict[str, Any] = {"mask_padding": mask_padding, "implementation": implementation}
        return InterlacedAttention(channels, partition=(2, 3), **options)

    name = "isanet, mask_padding" if mask_padding else "isanet"
    return Case(name, build, test_isanet.oracle, small=[(4, 3, 2)])


def _ccnet(recurrence: int) -> Case:
    def build(channels: int, implementation: Any) -> nn.Module:
        return CrissCross(channels, recurrence=recurrence, implementation=implementation)

    return Case(f"ccnet, R = {recurrence}", build, test_ccnet.oracle)


def _of(block: Callable[..., nn.Module], **options: Any) -> Callable[..., nn.Module]:
    """The mechanism with these options, in both forms."""

    def build(channels: int, implementation: Any) -> nn.Module:
        return block(channels, implementation=implementation, **options)

    return build


CASES = [
    *(_non_local(pairwise) for pairwise in test_non_local.PAIRWISE),
    Case(
        "danet, positions", _positions, test_danet.position_oracle, maps=[(16, 13, 11)]
    ),  # more than one block of queries
    *(_channels(sign) for sign in ("negative", "positive")),
    *(_dnlnet(preset) for preset in ("mmseg", "official")),
    *(_denoised_nl(gr_mode) for gr_mode in test_denoised_nl.MODES),
    *(_reconet(size_handling) for size_handling in ("resample", "fixed")),
    Case("flanet", _flanet, test_flanet.oracle),
    Case("emanet", _emanet, test_emanet.oracle, constant=("0", "embed.weight", "embed.bias")),
    *(_isanet(mask_padding) for mask_padding in (False, True)),
    *(_ccnet(recurrence) for recurrence in (1, 2)),
    *(Case(f"star, R = {recurrence}", _of(Star, recurrence=recurrence), test_star.oracle) for recurrence in (1, 2)),
    *(
        Case(f"psp, align_corners={flag}", _of(PyramidContext, align_corners=flag), test_psp.oracle)
        for flag in (True, False)
    ),
    *(
        Case(
            f"efficient{''.join(f', {k}={v}' for k, v in options.items())}",
            _of(EfficientAttention, **options),
            test_efficient.oracle,
        )
        for options in test_efficient.OPTIONS
    ),
    Case("agent", _of(AgentAttention, num_heads=2, agents=(2, 3)), test_agent.oracle),
    *(
        Case(f"polarized, {', '.join(options.values())}", _of(PolarizedAttention, **options), test_polarized.oracle)
        for options in test_polarized.OPTIONS
    ),
    *(
        Case(f"large_kernel, {kind}", _of(LargeKernelAttention, kind=kind), test_large_kernel.oracle)
        for kind in ("large_kernel", "multi_scale")
    ),
    Case("neighborhood", _of(NeighborhoodAttention, num_heads=2, kernel_size=3), test_neighborhood.oracle),
    Case("ss2d", _of(SelectiveScan2d), test_ss2d.oracle),
    Case("ocr", _of(ObjectAttention), test_ocr.oracle, [(16, 5, 7), (4, 5, 7)], [(4, 2, 3), (3, 2, 3)]),
    Case("hamburger", _of(MatrixDecomposition, num_atoms=5, gradient="full"), test_hamburger.oracle),
    Case("external", _of(ExternalAttention, num_slots=5), test_external.oracle),
    Case("aspp", _of(AtrousContext, dilations=test_aspp.DILATIONS), test_aspp.oracle),
]
