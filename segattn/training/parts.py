"""Parts of a network by name: which are frozen, and which learning rate each has.

A backbone is `stem` and `stage1` to `stage4`, by the maps that it gives; the rest is `head` and `auxiliary`. Our ResNets are told
by their names. A timm network is told by its `feature_info`: a stage ends where the module ends that gives its map, and the stem
is what comes before the first of the modules that hold stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MethodType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from segattn.config import Optimization
from segattn.evaluation.without_attention import gates_of
from segattn.model import SegmentationModel

STAGES = ("stage1", "stage2", "stage3", "stage4")
BACKBONE = ("stem", *STAGES)
OTHERS = ("norms", "gates")
"""What can be frozen besides: norms of the backbone, and the gates that a mechanism declares."""
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def frozen_parts(text: str) -> frozenset[str]:
    """The parts that `optimization.freeze` names: of `BACKBONE`, `norms` and `gates`.

    >>> sorted(frozen_parts("stages 1-2, norms"))
    ['norms', 'stage1', 'stage2', 'stem']

    Raises:
        ValueError: a word that names no part that can be frozen.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    parts: set[str] = set()
    for word in words:
        several = _parts_of(word)
        if several is None or set(several) & {"head", "auxiliary"}:
            raise ValueError(
                f"optimization.freeze={text!r}: {word!r} should be stem, stage N, stages M-N with N up to 4, backbone, norms or "
                'gates; several with commas, such as "stages 1-2, norms"'
            )
        parts |= set(several)
    return frozenset(parts)


def _parts_of(word: str) -> tuple[str, ...] | None:
    """The parts of one word; None if it names none. Stages from the first on have the stem with them."""
    plain = re.sub(r"[\s_]+", "", word.lower())
    if plain in ("stem", "head", "auxiliary", *OTHERS):
        return (plain,)
    if plain == "backbone":
        return BACKBONE
    match = re.fullmatch(r"stages?([1-4])(?:-([1-4]))?", plain)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (*(("stem",) if match[2] and first == 1 else ()), *STAGES[first - 1 : last])


def check(optimization: Optimization) -> None:
    """Raise ValueError for values of `freeze` and `lr_factors` that no network can be trained with."""
    frozen = frozen_parts(optimization.freeze)
    if frozen - {"gates"} and optimization.train == "head":
        raise ValueError(
            "optimization.train=head freezes the whole backbone; optimization.freeze can be gates or nothing there"
        )
    for name, factor in optimization.lr_factors.items():
        parts = _parts_of(name)
        if parts is None or set(parts) & {*OTHERS}:
            raise ValueError(
                f"optimization.lr_factors has {name!r}; the parts are {', '.join(BACKBONE)}, backbone, head and auxiliary, as in "
                "stem=0.1,stage4=0.5"
            )
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
            raise ValueError(
                f"optimization.lr_factors: {name}={factor!r} should be a number above 0; to keep a part as it is, freeze it with "
                "optimization.freeze"
            )
        if both := sorted(frozen & set(parts)):
            trained = [part for part in parts if part not in frozen]
            advice = f"give factors to what is trained: {', '.join(trained)}" if trained else "choose one"
            raise ValueError(f"optimization.lr_factors has {name}, but optimization.freeze freezes {both[0]}; {advice}")
        if optimization.head_lr_factor != 1 and set(parts) & {"head", "auxiliary"}:
            raise ValueError(f"optimization.lr_factors has {name}, and head_lr_factor is set too; use one of them")


def lr_factor(name: str, parts: Mapping[str, str], optimization: Optimization) -> float:
    """The learning rate of the parameter `name` as a multiple of `optimization.lr`; `parts` are those of `parts_of`.

    Of several entries of `lr_factors` that name its part, the one with the fewest parts counts.
    """
    part = parts[name]
    entries = [(len(_parts_of(key) or ()), float(factor)) for key, factor in optimization.lr_factors.items()
               if part in (_parts_of(key) or ())]  # fmt: skip
    if entries:
        return min(entries)[1]
    return 1.0 if part in BACKBONE or part == "backbone" else optimization.head_lr_factor


def parts_of(model: nn.Module, optimization: Optimization) -> dict[str, str]:
    """The part of each parameter. A backbone whose stages are not known is one part, `backbone`.

    Raises:
        ValueError: `freeze` or `lr_factors` names a stage of such a backbone, or `freeze` one that the backbone leaves out.
    """
    backbone = getattr(model, "backbone", None)
    stages = _stages(backbone) if isinstance(backbone, nn.Module) else {}
    if stages is None:
        wanted = [*frozen_parts(optimization.freeze) - {*OTHERS}]
        entries = [
            key for key in optimization.lr_factors if "backbone" not in key and set(_parts_of(key) or ()) & {*BACKBONE}
        ]
        if entries or (wanted and set(wanted) != set(BACKBONE)):
            assert backbone is not None
            raise ValueError(
                f"the stages of {type(getattr(backbone, 'network', backbone)).__name__} are not known, so that optimization."
                f"{'freeze' if wanted else 'lr_factors'} can name only backbone, "
                f"{'norms and gates' if wanted else 'head and auxiliary'}"
            )
    if stages:
        left_out = BACKBONE[1 + max(stages.values()) :]
        frozen = frozen_parts(optimization.freeze)
        for each in left_out:
            if each in frozen and not set(BACKBONE) <= frozen:
                raise ValueError(f"optimization.freeze names {each}, but the backbone has {4 - len(left_out)} stages")
    parts = {}
    for name, _ in model.named_parameters():
        top, _, below = name.partition(".")
        part = top if top in ("head", "auxiliary") else "head"
        if top == "backbone":
            part = "backbone" if stages is None else BACKBONE[stages[below]]
        parts[name] = part
    return parts


def _stages(backbone: nn.Module) -> dict[str, int] | None:
    """0 for a parameter of the stem, 1 to 4 for one of a stage; None if that is not known."""
    names = [name for name, _ in backbone.named_parameters()]
    if any(name.startswith("layer4.") for name in names):
        return {name: int(name[5]) if re.match(r"layer[1-4]\.", name) else 0 for name in names}
    info: Any = getattr(getattr(backbone, "network", None), "feature_info", None)
    if not hasattr(info, "module_name"):
        return None
    ends, modules = [], [str(module).replace(".", "_") for module in info.module_name()][-4:]
    plain = [re.sub(r"^network\.(model\.)?", "", name).replace(".", "_") for name in names]
    for module in modules:
        inside = [index for index, name in enumerate(plain) if name.startswith(f"{module}_")]
        ends.append(max(inside, default=-1))
    if not ends or ends != sorted(set(ends)) or ends[0] < 0:
        return None
    holder = modules[0].partition("_")[0]
    first = next(index for index, name in enumerate(plain) if name.startswith(holder))
    ends[-1] = len(names)
    stage = [
        0 if index < first else 1 + next(i for i, end in enumerate(ends) if index <= end) for index in range(len(names))
    ]
    return dict(zip(names, stage, strict=True))


def freeze(model: SegmentationModel, optimization: Optimization) -> None:
    """Freeze the parts that `optimization.freeze` names: no gradients, norms and dropout in eval mode, also after `train()`.

    No operator before the first trained parameter keeps anything for the backward pass. `norms` are those of the backbone.
    `gates` are what the mechanism declares so; they stay 0, which makes the control of a network: the same one without what its
    gates scale. (What they do not scale stays: the convolutions of Denoised NL, the unary term of DNLNet's official preset.)

    Raises:
        ValueError: as `parts_of`; the head has no gates, or gates that are not 0.
    """
    chosen, parts = frozen_parts(optimization.freeze), parts_of(model, optimization)
    if set(BACKBONE) <= chosen:
        refuse_random(model.backbone, "optimization.freeze")
        chosen |= {"backbone"}
    for name, parameter in model.named_parameters():
        if parts[name] in chosen:
            parameter.requires_grad_(False)
    if "gates" in chosen:
        _freeze_gates(model)
    if "norms" in chosen:
        for module in model.backbone.modules():
            if isinstance(module, NORMS):
                still(module)
                for parameter in module.parameters():
                    parameter.requires_grad_(False)
    for module in model.backbone.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            still(module)


def _freeze_gates(model: SegmentationModel) -> None:
    """Freeze the gates of the mechanism, and the shift of a norm whose weights are the gate."""
    gates = gates_of(model)
    if not gates:
        raise ValueError("optimization.freeze names gates, but the head has none; leave it out")
    for name, gate in gates.items():
        if not gate.is_meta and gate.any():  # of a model that is only planned, nobody knows
            raise ValueError(
                f"optimization.freeze keeps gates at 0, and {name} is not 0; start from a network without this mechanism"
            )
        gate.requires_grad_(False)
        module, _, last = name.rpartition(".")
        if last == "weight":
            model.mechanism.get_submodule(module).bias.requires_grad_(False)


def refuse_random(backbone: nn.Module, setting: str) -> None:
    """Raise ValueError if a part of a backbone that `setting` freezes has no pretrained weights and would stay at random."""
    if at_random := getattr(backbone, "random_part", ""):
        raise ValueError(
            f"{setting} freezes the backbone, and {at_random} has no pretrained weights; leave it out with "
            f"--model.backbone-options pyramid=false --model.output-stride {backbone.stride}, or give model.pretrained a run"
        )


def still(module: nn.Module) -> None:
    """Keep a module in eval mode, also after `train()`."""

    def stay(self: nn.Module, mode: bool = True) -> nn.Module:
        return self

    module.eval().train = MethodType(stay, module)  # type: ignore[method-assign]
