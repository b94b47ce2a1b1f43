"""Segmentation heads, one file each: the folder is the catalogue.

A head is any module file with a class `Head`; `ccnet.py` is an example, and `parts/contract.py` lists everything that a head may
declare. A dotted module path such as `mylab.tenth` works wherever a name does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import partial
from inspect import Parameter
from types import ModuleType
from typing import Any, Literal, get_args

from torch import nn

from segattn.catalogue import check_options, is_dotted, load_module, unknown
from segattn.heads.parts import contract
from segattn.heads.parts.contract import declared, mechanism_of
from segattn.heads.parts.controlled import ControlledHead

__all__ = ["Mode", "create", "declared", "mechanism_of", "modes", "module", "names", "options"]

Mode = Literal["faithful", "controlled"]


def names() -> list[str]:
    """Names of all heads in this folder.

    >>> "ccnet" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def module(name: str) -> ModuleType:
    """The module that defines the head `name` (a name of `names()` or a dotted module path), checked against the contract.

    Raises:
        ValueError: no such head (with the nearest names, or where it was looked for), or its file does not meet the contract.
    """
    if is_dotted(name):
        source = load_module(name, "head")
    elif name in names():
        source = importlib.import_module(f"{__name__}.{name}")
    else:
        raise unknown("head", name, names())
    contract.check_file(name, source)
    return source


def modes(name: str) -> list[Mode]:
    """The modes that the head has: `controlled` needs the class of its mechanism.

    >>> modes("ccnet")
    ['faithful', 'controlled']
    """
    return ["faithful"] if declared(module(name).Head, "Mechanism") is None else ["faithful", "controlled"]


def options(name: str, *, mode: Mode = "faithful") -> dict[str, Parameter]:
    """The options of the head in that mode, including those of its mechanism: name, default and type of each.

    >>> list(options("ccnet", mode="controlled"))
    ['channels', 'dropout', 'recurrence', 'reduction', 'implementation']
    """
    own, of_mechanism = _options(name, module(name), mode)
    return {**own, **of_mechanism}


def create(
    name: str, in_channels: tuple[int, ...], num_classes: int, /, *, mode: Mode = "faithful", **chosen: Any
) -> nn.Module:
    """Build the head `name` for a backbone whose four maps have `in_channels` channels.

    `faithful` is the paper's own head. `controlled` puts every mechanism between the same convolutions, so that accuracy and cost
    differ by the mechanism only. `chosen` are options of the head and of its mechanism.

    Raises:
        ValueError: unknown head, mode or option; no channels; no controlled form; a head that does not meet the contract.
    """
    source = module(name)
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; use one of {', '.join(get_args(Mode))}")
    own, of_mechanism = _options(name, source, mode)
    check_options(f"head {name!r}", chosen, [*own, *of_mechanism])
    _check_channels(name, chosen.get("channels", 1))
    _check_whole_numbers(name, chosen, {**own, **of_mechanism})
    for_head = {option: value for option, value in chosen.items() if option in own}
    for_mechanism = {option: value for option, value in chosen.items() if option not in own}
    if mode == "controlled":
        head: nn.Module = ControlledHead(in_channels, num_classes, source.Head, options=for_mechanism, **for_head)
    else:
        if for_mechanism:
            for_head["mechanism"] = partial(source.Head.Mechanism, **for_mechanism)
        head = source.Head(in_channels, num_classes, **for_head)
    contract.check_instance(name, source, head)
    return head


def _check_channels(name: str, channels: Any) -> None:
    """Torch builds layers without channels, and fails at the first image."""
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(f"head {name!r} with channels={channels!r} is not possible; use a whole number of 1 or more")


def _check_whole_numbers(name: str, chosen: Mapping[str, Any], options: Mapping[str, Parameter]) -> None:
    """What is a whole number by default has to be one, not below 0 unless the default is; the head itself checks the rest."""
    for option, value in chosen.items():
        if type(options[option].default) is not int:
            continue
        least = min(options[option].default, 0)
        if type(value) is not int or value < least:
            raise ValueError(
                f"head {name!r} with {option}={value!r} is not possible; use a whole number, not below {least}"
            )


_SETTINGS = {"head_options": ("mode",), "backbone_options": ("output_stride", "in_channels")}


def refuse_settings(**sections: Mapping[str, Any] | None) -> None:
    """Raise ValueError if `head_options` or `backbone_options` has a setting that belongs to the network, such as `mode`."""
    for section, options in sections.items():
        for name in _SETTINGS[section]:
            if name in (options or {}):
                raise ValueError(
                    f"{section} has {name!r}, which is a setting of the network itself: give it as model.{name}"
                )


def _options(name: str, source: ModuleType, mode: Mode) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
    """Options of the head, or of the convolutions around a controlled mechanism, and of the mechanism.

    Raises:
        ValueError: no controlled form.
    """
    Mechanism = declared(source.Head, "Mechanism")
    if mode == "faithful":
        own = contract.options_of(source.Head)
        return own, contract.options_of(Mechanism) if contract.takes_mechanism(source.Head) else {}
    if Mechanism is None:
        raise ValueError(
            f"head {name!r} has no controlled form; declare the class of its mechanism on Head in {source.__file__}: "
            "Mechanism = MyMechanism"
        )
    return contract.options_of(ControlledHead), contract.options_of(Mechanism)
