"""What a record says about a network: its cost, from the ledger of `segattn.profile`, and what its head declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_args

import torch
from torch import Tensor, nn

from segattn import heads, records
from segattn.config import Experiment, Model
from segattn.model import SegmentationModel
from segattn.profile import flops

Cost = records.Cost
REFERENCE_SIZES = ((769, 769), (520, 520))
"""The study's crops: Cityscapes and ADE20K."""
REFERENCE_CLASSES = (19, 150)


def ledger(model: SegmentationModel, input_size: tuple[int, int]) -> flops.Ledger:
    """Every operator of an inference pass of one image; `model` is on the `meta` device.

    Cost is a property of the equation, so each mechanism is counted in the form that matches its equation, whichever form
    computes it (class attribute `counted_as`, by default "reference").
    """
    return flops.count(_as_counted(model), torch.empty(1, model.in_channels, *input_size, device="meta"))


def parts(model: SegmentationModel, input_size: tuple[int, int]) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Mechanism, head and network as separate modules with their inputs on `meta`, in the form that `ledger` counts."""
    image = torch.empty(1, model.in_channels, *input_size, device="meta")
    head, inputs_of = _HeadAlone(_as_counted(model).head), {}
    attention = model.get_submodule(_mechanism(model))

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs_of[module] = inputs

    hooks = [module.register_forward_pre_hook(keep) for module in (attention, model.head)]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    features = tuple(inputs_of[model.head][0])
    return {"mechanism": (attention, inputs_of[attention]), "head": (head, features), "network": (model, (image,))}


class _HeadAlone(nn.Module):
    """A head that takes the four maps as four inputs and returns its logits."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *features: Tensor) -> Tensor:
        return self.head(list(features))["out"]


def _as_counted(model: SegmentationModel) -> SegmentationModel:
    model.eval()
    if model.auxiliary is not None:
        model.auxiliary = None  # not part of inference
    model.take_counted_forms()
    return model


def network_cost(
    head: str,
    *,
    input_size: tuple[int, int],
    num_classes: int = 19,
    backbone: str = "resnet101",
    output_stride: int = 8,
    in_channels: int = 3,
    mode: str = "faithful",
    head_options: dict[str, Any] | None = None,
    backbone_options: dict[str, Any] | None = None,
) -> records.Cost:
    """Cost of a network for one image of `input_size` (height, width), counted on `meta`: nothing is allocated.

    Raises:
        ValueError: unknown head or option, or an operator that has no formula.
    """
    from segattn.model import create_model

    with torch.device("meta"):
        model = create_model(
            head,
            num_classes=num_classes,
            backbone=backbone,
            output_stride=output_stride,
            in_channels=in_channels,
            mode=mode,  # type: ignore[arg-type]
            auxiliary_weight=0,
            head_options=head_options,
            backbone_options=backbone_options,
        )
    counted = ledger(model, input_size)
    return records.Cost(
        head=head,
        mode=mode,
        backbone=backbone,
        output_stride=output_stride,
        num_classes=num_classes,
        input_size=input_size,
        mechanism=_part(counted, _mechanism(model)),
        head_total=_part(counted, "head"),
        network=_part(counted, ""),
    )


def _mechanism(model: SegmentationModel) -> str:
    """Path of the mechanism within the model; of the whole head if that declares no mechanism."""
    return next(path for path, module in model.named_modules() if module is model.mechanism)


def experiment_cost(config: Experiment, num_classes: int) -> records.Cost:
    """Cost of the network that an experiment trains, at its crop size; raises as `network_cost`."""
    model = config.model
    return network_cost(
        model.head,
        input_size=config.augmentation.crop_size,
        num_classes=num_classes,
        backbone=model.backbone,
        output_stride=model.output_stride,
        in_channels=model.in_channels,
        mode=model.mode,
        head_options=model.head_options,
        backbone_options=model.backbone_options,
    )


def check_head(model: Model) -> None:
    """Build the head on `meta`, where nothing is allocated.

    Raises:
        ValueError: unknown head or mode, or an option that the head does not have.
    """
    with torch.device("meta"):
        heads.refuse_settings(head_options=model.head_options)
        heads.create(model.head, (8, 8, 8, 8), 2, mode=model.mode, **model.head_options)


def head_facts(name: str, mode: str = "faithful") -> records.HeadFacts:
    """What the head `name` declares, on itself or on its mechanism, for records; nothing is built.

    Both modes have the same mechanism and therefore the same facts.

    >>> head_facts("ccnet").family, head_facts("fcn").baseline
    ('criss-cross', True)

    Raises:
        ValueError: unknown head or mode.
    """
    if mode not in get_args(heads.Mode):
        raise ValueError(f"unknown mode {mode!r}; use one of {', '.join(get_args(heads.Mode))}")
    Head = heads.module(name).Head
    facts = {
        field.name: heads.declared(Head, field.name) for field in fields(records.HeadFacts) if field.name != "baseline"
    }
    facts |= {
        "gates": tuple(facts["gates"]),
        "map_kinds": dict(facts["map_kinds"]),
        "baseline": facts["family"] == "baseline",
    }
    return records.HeadFacts(**facts)


def baselines_first(names: Iterable[str]) -> list[str]:
    """Heads in the order of tables: baselines first, then the others, each group sorted by name.

    >>> baselines_first(["danet", "fcn", "ccnet"])
    ['fcn', 'ccnet', 'danet']
    """
    return sorted(names, key=lambda name: (not head_facts(name).baseline, name))


def _part(counted: flops.Ledger, prefix: str) -> records.PartCost:
    total = counted.total(prefix)
    return records.PartCost(
        parameters=total.parameters,
        macs=total.macs,
        flops=total.flops,
        study=total.study,
        other=total.other,
        activation_bytes=total.activation_bytes,
    )
