"""Everything that a head may declare, and the check that reports what is missing.

A head is a module file with a class `Head`: `mylab/tenth.py` is the head `mylab.tenth`. The constructor, `forward` and
`loss_weights` are required; everything else has a default. `segattn/heads/ccnet.py` is an example; `segattn heads check NAME`
tests a head.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NoReturn, Protocol

from torch import Tensor, nn

Reduce = Callable[[Tensor], Tensor]
"""Mean of a tensor over all processes; the tensor itself if there is one process."""


class Declared(Protocol):
    """What segattn reads from a head. A declaration is an attribute of the class or of the instance."""

    # Required -----------------------------------------------------------------------------------------------------------
    loss_weights: Mapping[str, float]
    """Every output of `forward` in training and its weight in the loss; "out" is one of them."""

    def forward(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits by name, each (B, K, h, w): in evaluation only "out", in training every name of `loss_weights`.

        `features` are the backbone's four maps (B, C_i, H_i, W_i), at strides 4, 8, 8, 8 for output stride 8. Logits stay at
        the size of the feature map; the model upsamples them. The constructor is called as
        `Head(in_channels, num_classes, **options)` with the channels of the four maps; its options are keyword-only arguments
        with defaults.
        """
        ...

    # The mechanism ------------------------------------------------------------------------------------------------------
    attention: nn.Module
    """The mechanism itself; its cost is counted separately from that of the convolutions around it. Default: the whole head."""

    Mechanism: type[nn.Module]
    """The class of the mechanism, for the controlled comparison. It is built as `Mechanism(channels)`, or as
    `Mechanism(channels, num_classes)` if its second argument has that name. It maps (B, C, H, W) to the same shape, or to a dict
    with that map under "context" and one entry for each name of its own `loss_weights`. Its keyword-only arguments are the
    mechanism's options. They are the head's options too if the head's constructor has an argument `mechanism`, which receives
    the class with the chosen options filled in. The method `maps(x, pixel)` returns the attention maps of the controlled form.
    Default: no controlled form."""

    without_attention: Literal["identity", "mean"]
    """What replaces the mechanism's output when the mechanism is cut out of a trained network: "identity", its input, if the
    mechanism adds to its input; of several maps each takes the place of one. Otherwise "mean", the mean of each channel of its
    output over the images that are scored. Of a dict, "context" is replaced. Default: "mean"."""

    gates: tuple[str, ...]
    """Names, within the mechanism, of the learnt parameters that scale its output and start at 0: scalars, or vectors such as
    batch norm's scale. A gate that is None or missing does not exist with the chosen options. Default: none."""

    counted_as: Literal["reference", "fast"]
    """The form whose operators are counted as the equation's cost; on the class of a module that has `implementation`.
    Default: "reference"."""

    # Training -----------------------------------------------------------------------------------------------------------
    own_auxiliary: bool
    """Whether the head has auxiliary outputs of its own, so that the model adds none. Default: False."""

    no_weight_decay: tuple[str, ...]
    """Parameters without weight decay, by prefix of their name within the head. Default: none."""

    frozen: tuple[str, ...]
    """Parameters that receive no gradient by design, by prefix of their name within the head. Default: none."""

    def after_step(self, reduce: Reduce) -> None:
        """Called on every module that defines it, once per optimiser step, also with gradient accumulation. Default: nothing.

        `reduce` returns the mean of a tensor over all processes. EMANet updates its bases here.
        """
        ...

    # Attention maps -----------------------------------------------------------------------------------------------------
    def attention_maps(self, features: Sequence[Tensor], pixel: tuple[int, int]) -> dict[str, Tensor]:
        """Attention maps by name, each (B, h, w), for `pixel` = (row, column) of the last feature map. Default: none."""
        ...

    map_kinds: Mapping[str, str]
    """Kind of each map that is not on the feature map's grid: `half_grid`, `channels` or `bases`; on head or mechanism.
    Default: `positions` for all maps."""

    main_map: str
    """The map that shows the mechanism best, drawn if there is room for only one; on head or mechanism. Default: the first."""

    # Reports ------------------------------------------------------------------------------------------------------------
    growth: tuple[float, float] | None
    """Exponents of N = H W with which the mechanism's multiply-adds and its largest attention map grow on square maps; on head or
    mechanism. Default: None, not declared."""

    family: str
    """The kind of mechanism, by which reports group heads: one of these, or a word of your own. Default: "other".

    "baseline": no attention, what others are compared with; "pyramid": no attention, context pooled or sampled at several scales;
    "pairwise": every position attends to every position; "criss-cross": to its row and column; "grouped": within groups;
    "basis": to a few vectors, inferred, learnt, pooled or one for each class; "low-rank": the map is factorised or rebuilt from
    factors; "channel": channels attend to channels; "gate": factors in (0, 1) for positions or channels; "kernel": factors from a
    large convolution; "window": every position attends to its neighbours; "scan": a recurrence along rows and columns.
    """


DEFAULTS: dict[str, Any] = {
    "attention": None,
    "Mechanism": None,
    "without_attention": "mean",
    "gates": (),
    "counted_as": "reference",
    "own_auxiliary": False,
    "no_weight_decay": (),
    "frozen": (),
    "map_kinds": {},
    "main_map": "",
    "family": "other",
    "growth": None,
}
"""Default of every optional declaration that is not a method."""
_OF_MECHANISM = {"map_kinds", "main_map", "gates", "growth", "without_attention"}
_METHODS = {"forward": ("features",), "attention_maps": ("features", "pixel"), "after_step": ("reduce",)}
_PATTERN = "see segattn/heads/ccnet.py"


def declared(head: Any, name: str) -> Any:
    """What a head (class or instance) or its mechanism declares under `name`, or the default.

    >>> from segattn.heads import ccnet
    >>> declared(ccnet.Head, "own_auxiliary")
    False
    """
    owners = [head]
    if name in _OF_MECHANISM:
        owners += [
            owner for owner in (getattr(head, "attention", None), getattr(head, "Mechanism", None)) if owner is not None
        ]
    for owner in owners:
        if hasattr(owner, name):
            return getattr(owner, name)
    return DEFAULTS[name]


def mechanism_of(head: nn.Module) -> nn.Module:
    """The module that is counted as the mechanism: `attention`, or the whole head if there is none."""
    attention = getattr(head, "attention", None)
    return attention if isinstance(attention, nn.Module) else head


def check_file(name: str, module: ModuleType) -> None:
    """Check a head's file before anything is built.

    Raises:
        ValueError: no class `Head`, a wrong signature, or a missing declaration; the message says which line to write.
    """
    where = _shown(module)
    Head: Any = getattr(module, "Head", None)
    if not _is_module_class(Head):
        fault = (
            "has no class Head" if Head is None else f"has a Head that is {_kind(Head)}, not a subclass of nn.Module"
        )
        raise ValueError(f"head {name}: {where} {fault}; write: class Head(nn.Module): ... ({_PATTERN})")
    if Head.forward is nn.Module.forward:
        _missing(name, where, "forward", "def forward(self, features): return {'out': logits}")
    _check_constructor(name, where, Head)
    for method, arguments in _METHODS.items():
        if hasattr(Head, method):
            _check_method(name, where, getattr(Head, method), method, arguments)
    Mechanism = getattr(Head, "Mechanism", None)
    if Mechanism is None:
        return
    if not _is_module_class(Mechanism):
        fault = f"is {_kind(Mechanism)}, not a subclass of nn.Module; write: Mechanism = MyMechanism"
        raise ValueError(f"head {name}: Mechanism of Head in {where} {fault}")
    if required := [option.name for option in options_of(Mechanism).values() if option.default is option.empty]:
        fault = f"has no default for the option {required[0]}; write: def __init__(self, channels, *, {required[0]}=1):"
        raise ValueError(f"head {name}: the constructor of {Mechanism.__name__} in {where} {fault}")


def check_instance(name: str, module: ModuleType, head: nn.Module) -> None:
    """Check what a head declares once it is built.

    Raises:
        ValueError: `loss_weights` is missing or has no "out", or a declaration has the wrong type.
    """
    where = _shown(module)
    weights = getattr(head, "loss_weights", None)
    if weights is None:
        _missing(name, where, "loss_weights", "loss_weights = {'out': 1.0}")
    by_name = weights if isinstance(weights, Mapping) else {}
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in by_name.values())
    if not numbers or "out" not in by_name:
        raise ValueError(
            f"head {name}: loss_weights of {where} is {weights!r}; it must give a weight for every output in training, "
            "including 'out': loss_weights = {'out': 1.0}"
        )
    for attribute, default in DEFAULTS.items():
        value = declared(head, attribute)
        if default is None or value is default:
            continue
        allowed = (
            (tuple, list) if isinstance(default, tuple) else Mapping if isinstance(default, dict) else type(default)
        )
        if not isinstance(value, allowed):
            raise ValueError(
                f"head {name}: {attribute} of {where} is {_kind(value)}, not {type(default).__name__}; "
                f"write: {attribute} = {_example(default)}, or leave it out"
            )
    if hasattr(head, "attention") and not isinstance(head.attention, nn.Module):
        fault = f"is {_kind(head.attention)}, not an nn.Module; write: self.attention = MyMechanism(channels)"
        raise ValueError(f"head {name}: attention of {where} {fault}")


def options_of(builder: Any) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a head's or a mechanism's constructor, by name, without `mechanism`."""
    parameters = inspect.signature(builder).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "mechanism"}


def takes_mechanism(Head: type[nn.Module]) -> bool:
    """Whether the head's constructor takes its mechanism as an argument, and so the mechanism's options."""
    return declared(Head, "Mechanism") is not None and "mechanism" in inspect.signature(Head).parameters


def build_mechanism(Mechanism: Callable[..., nn.Module], channels: int, num_classes: int, **options: Any) -> nn.Module:
    """`Mechanism(channels, ...)`, with the number of classes if it takes that."""
    positional = [p.name for p in inspect.signature(Mechanism).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return Mechanism(channels, *([num_classes] if "num_classes" in positional[1:2] else []), **options)


def _check_constructor(name: str, where: str, Head: type[nn.Module]) -> None:
    parameters = list(inspect.signature(Head).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    collecting = [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    fault = ""
    if Head.__init__ is nn.Module.__init__:
        fault = "is missing"
    elif collecting:
        fault = f"collects options in {collecting[0]}, where a mistyped one would be lost"
    elif len(positional) != 2:
        fault = f"takes {', '.join(positional) or 'nothing'}, not in_channels and num_classes, then * and its options"
    elif required:
        fault = f"has no default for the option {required[0]}"
    if fault:
        line = "def __init__(self, in_channels, num_classes, *, channels=512):"
        raise ValueError(f"head {name}: the constructor of Head in {where} {fault}; write: {line}")


def _check_method(name: str, where: str, function: Any, method: str, arguments: tuple[str, ...]) -> None:
    line = f"write: def {method}(self, {', '.join(arguments)}):"
    if not callable(function):
        raise ValueError(f"head {name}: {method} of Head in {where} is {_kind(function)}, not a method; {line}")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(needed) > len(arguments) or not (any_number or len(positional) >= len(arguments)):
        names = ", ".join(p.name for p in parameters) or "nothing"
        raise ValueError(f"head {name}: {method} of Head in {where} takes {names}; {line}")


def _missing(name: str, where: str, what: str, line: str) -> NoReturn:
    raise ValueError(f"head {name}: Head in {where} has no {what}; add: {line} ({_PATTERN})")


def _is_module_class(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, nn.Module)


def _shown(module: ModuleType) -> str:
    """The file, relative to the working directory if it lies in there."""
    path = Path(module.__file__ or module.__name__)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}" if not inspect.isclass(value) else f"the class {value.__name__}"


def _example(default: object) -> str:
    return {"tuple": "('attention.query',)", "dict": "{'column': 'channels'}"}.get(
        type(default).__name__, repr(default)
    )
