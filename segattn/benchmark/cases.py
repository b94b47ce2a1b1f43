"""Cases of a benchmark: the requested combinations, and the tensors and the work of each, computed on `meta`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from segattn import backbones, heads
from segattn.benchmark.tensors import inputs_of, tensors
from segattn.cost import head_facts, network_cost
from segattn.device import DTYPES
from segattn.heads.parts.layers import ConvBnRelu
from segattn.model import SegmentationModel, create_model
from segattn.profile import flops
from segattn.profile.worker import first_line
from segattn.records.bench import Case, Work

PARTS = ("mechanism", "head", "network")
PHASES = ("inference", "training")
TINY = (65, 65)
"""Image size of the warm-up: a map of 9x9 at output stride 8."""
Shape = tuple[int, ...]
Maps = tuple[tuple[int, ...], tuple[Shape, ...]]


@dataclass(frozen=True)
class Prepared:
    """What a process needs to build a case, and the work that the ledger counts for it."""

    channels: tuple[int, ...]
    """Channels of the backbone's four maps."""
    path: str
    """Path of the mechanism within the head; empty for other parts."""
    inputs: tuple[Shape, ...]
    tiny_inputs: tuple[Shape, ...]
    gradients: tuple[Shape, ...]
    """Training of a mechanism or head: shapes of its outputs."""
    work: Work | None
    note: str = ""
    """Why there is no work."""
    file: str = ""
    """The graph of a form that runs from a file."""


def combinations(
    *,
    names: Sequence[str],
    parts: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    phases: Sequence[str],
    dtypes: Sequence[str],
    implementations: Sequence[str],
    channels_last: Sequence[bool],
    compiled: Sequence[bool],
    backbone: str,
    output_stride: int,
    mode: str,
    num_classes: int,
    in_channels: int = 3,
    feature_scales: Sequence[float] = (1.0,),
    forms: Sequence[str] = ("eager",),
    **described: Any,
) -> list[Case]:
    """Every combination as a case; a baseline among other heads is left out where the part is the mechanism: it has none.

    A network computes its own features, so `feature_scale` does not apply to it. A head of one form is measured once.
    `described` are more fields of every case: `network`, `head_options`, `backbone_options`.

    Raises:
        ValueError: unknown head, backbone or output stride.
    """
    baselines = {name for name in names if head_facts(name, mode).baseline}
    single = {name for name in names if len(implementations) > 1 and not has_forms(name, mode)}
    cases = []
    both = list(itertools.product(implementations, forms))
    options = json.dumps(described.get("backbone_options", {}))
    for part, size, batch, phase, dtype, last, compile, scale, name, (implementation, form) in itertools.product(
        parts, sizes, batches, phases, dtypes, channels_last, compiled, feature_scales, names, both
    ):
        if part == "network" and scale != feature_scales[0]:
            continue
        if part == "mechanism" and name in baselines and len(names) > 1:
            continue
        if name in single and implementation != implementations[0]:
            continue
        cases.append(
            Case(
                head=name,
                mode=mode,
                part=part,
                phase=phase,
                implementation=implementation,
                backbone=backbone,
                output_stride=output_stride,
                num_classes=num_classes,
                in_channels=in_channels,
                input_size=size,
                map_size=_last(features(backbone, output_stride, size, in_channels, options)[1]),
                batch=batch,
                dtype=dtype,
                channels_last=last,
                compile=compile,
                feature_scale=1.0 if part == "network" else scale,
                form=form,
                **described,
            )
        )
    return cases


def has_forms(name: str, mode: str) -> bool:
    """Whether a head has several forms: the switch `implementation`; that of `ConvBnRelu` alone is no form of a mechanism."""
    with torch.device("meta"):
        head = heads.create(name, (256, 512, 1024, 2048), 2, mode=mode)  # type: ignore[arg-type]
    return any(hasattr(module, "implementation") and not isinstance(module, ConvBnRelu) for module in head.modules())


def image_size(map_size: tuple[int, int], output_stride: int) -> tuple[int, int]:
    """The odd image size whose last map is `map_size`: 97x97 at output stride 8 is 769x769."""
    height, width = map_size
    return (height - 1) * output_stride + 1, (width - 1) * output_stride + 1


def prepare(case: Case, device: str) -> Prepared:
    """Shapes and work of a case.

    Raises:
        ValueError: the head refuses the size, or the device does not support the arithmetic.
    """
    if case.dtype == "tf32" and not device.startswith("cuda"):
        raise ValueError("only NVIDIA GPUs support tf32; on a CPU use fp32 or bf16")
    path, inputs, outputs = _shapes(_alike(case, batch=1))
    tiny = _shapes(_alike(case, batch=1, input_size=TINY))[1]
    counted, note = None, ""
    try:
        counted = work(case)
    except Exception as error:  # a form may run although it cannot be counted
        note = f"work not counted: {first_line(error)}"
    return Prepared(
        channels=_features(case)[0],
        path=path,
        inputs=_batched(inputs, case.batch),
        tiny_inputs=_batched(tiny, 2 if case.phase == "training" else 1),
        gradients=_batched(outputs, case.batch) if case.phase == "training" else (),
        work=counted,
        note=note,
    )


def work(case: Case) -> Work:
    """FLOPs of the equation and bytes of the form that runs, for the whole batch; training is three times the forward pass.

    The backward pass of a product is two products of the same size, hence three. Bytes are those of the case's arithmetic. A form
    that works in blocks reads the same bytes from the cache repeatedly: if it counts more than the equation, the equation's
    bytes are used.
    """
    alike = _alike(case, batch=1, phase="inference", dtype="fp32")
    reference = replace(alike, implementation="reference")
    macs, other = _equation(reference)
    moved = _moved(reference)
    with suppress(flops.UncountedOperator):  # one of our own kernels
        moved = min(moved, _moved(alike))
    times = case.batch * (3 if case.phase == "training" else 1)
    return Work(
        macs=times * macs,
        flops=2 * times * macs,
        other=times * other,
        bytes=times * moved * DTYPES[case.dtype].itemsize // 4,
    )


@lru_cache(maxsize=64)
def features(
    backbone: str, output_stride: int, size: tuple[int, int], in_channels: int = 3, options: str = "{}"
) -> Maps:
    """Channels and shapes of the backbone's four maps for one image of `size`; `options` are the backbone's, as JSON."""
    settings: Mapping[str, Any] = {"output_stride": output_stride, "in_channels": in_channels, **json.loads(options)}
    with torch.device("meta"), torch.no_grad():
        body = backbones.create(backbone, **settings).eval()
        maps = body(torch.empty(1, in_channels, *size))
    return tuple(body.channels), tuple(tuple(one.shape) for one in maps)  # type: ignore[arg-type]


def _features(case: Case) -> Maps:
    options = json.dumps(case.backbone_options)
    return features(case.backbone, case.output_stride, case.input_size, case.in_channels, options)


def build_head(case: Case, channels: tuple[int, ...], device: str) -> nn.Module:
    """The head of a case, in the form it asks for, with random weights."""
    with torch.device(device):
        head = heads.create(case.head, channels, case.num_classes, mode=case.mode, **case.head_options)  # type: ignore[arg-type]
        return set_form(head, case)


def _network(case: Case) -> dict[str, Any]:
    """What describes the network of a case beside its head."""
    names = ("num_classes", "backbone", "output_stride", "in_channels", "mode", "head_options", "backbone_options")
    return {name: getattr(case, name) for name in names}


def build_network(case: Case, device: str) -> SegmentationModel:
    """The network of a case; for training with its auxiliary head."""
    with torch.device(device):
        return set_form(
            create_model(case.head, auxiliary_weight=0.4 if case.phase == "training" else 0, **_network(case)), case
        )


def set_form(module: nn.Module, case: Case) -> Any:
    """Set the case's implementation on every module that has a choice."""
    for child in module.modules():
        if hasattr(child, "implementation"):
            child.implementation = case.implementation  # type: ignore[assignment]
    return module


def mechanism_path(head: nn.Module, name: str) -> str:
    """Path of the mechanism within its head.

    Raises:
        ValueError: the head has none.
    """
    mechanism = heads.mechanism_of(head)
    if mechanism is head or isinstance(mechanism, nn.Identity):
        raise ValueError(f"{name} has no mechanism to measure; use --parts head or network")
    return next(path for path, module in head.named_modules() if module is mechanism)


@lru_cache(maxsize=256)
def _shapes(case: Case) -> tuple[str, tuple[Shape, ...], tuple[Shape, ...]]:
    """The mechanism's path, and the shapes of the part's inputs and outputs for one image."""
    if case.part == "network":
        return "", ((1, case.in_channels, *case.input_size),), ()
    channels, shapes = _features(case)
    head = build_head(case, channels, "meta").eval()
    maps = [torch.empty(shape, device="meta") for shape in shapes]
    path = mechanism_path(head, case.head) if case.part == "mechanism" else ""
    with torch.no_grad(), inputs_of(head.get_submodule(path)) as seen:
        out = head(maps)
        if case.phase == "training":
            # Norms need two values per channel in training; only the shapes matter here.
            part, doubled = head.get_submodule(path).train(), [torch.cat([one, one]) for one in seen[0]]
            out = part(doubled) if case.part == "head" else part(*doubled)
    return path, tuple(tuple(one.shape) for one in seen[0]), tuple((1, *one.shape[1:]) for one in tensors(out))


@lru_cache(maxsize=256)
def _equation(case: Case) -> tuple[int, int]:
    """Multiply-adds and element operations of one forward pass."""
    cost = network_cost(case.head, input_size=case.input_size, **_network(case))
    part = {"mechanism": cost.mechanism, "head": cost.head_total, "network": cost.network}[case.part]
    return part.macs, part.other


@lru_cache(maxsize=256)
def _moved(case: Case) -> int:
    """Bytes that the operators of one forward pass read and write, in fp32."""
    if case.part == "network":
        network = build_network(case, "meta").eval()
        return flops.count(network, torch.empty(1, case.in_channels, *case.input_size, device="meta")).total().bytes
    path, shapes, _ = _shapes(case)
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    channels, _ = _features(case)
    part = build_head(case, channels, "meta").eval().get_submodule(path)
    return (flops.count(part, inputs) if case.part == "head" else flops.count(part, *inputs)).total().bytes


def _alike(case: Case, **changes: Any) -> Case:
    """The case with `changes` and without the settings that do not matter on `meta`, so that such cases share a cache entry."""
    of_the_run = {"channels_last": False, "compile": False, "map_size": (0, 0), "feature_scale": 1.0}
    return replace(case, **{**of_the_run, "network": "", "form": "eager", **changes})


def _batched(shapes: Sequence[Shape], batch: int) -> tuple[Shape, ...]:
    return tuple((batch, *shape[1:]) for shape in shapes)


def _last(shapes: Sequence[Shape]) -> tuple[int, int]:
    return shapes[-1][-2], shapes[-1][-1]
