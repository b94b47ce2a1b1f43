"""Segmentation heads, one file each: the folder is the catalogue.

A head is any module file with a class `Head` (see `non_local.py` for the pattern); a dotted module path such as
`mylab.heads.tenth` works wherever a name does.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any, Literal, get_args

from torch import nn

from segattn.catalogue import hint

Mode = Literal["faithful", "controlled"]


def names() -> list[str]:
    """Names of all heads in this folder.

    >>> "ccnet" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def module(name: str) -> ModuleType:
    """The module that defines the head `name` (a name of `names()` or a dotted module path).

    Raises:
        ValueError: no such head; the message names the nearest ones.
    """
    if "." in name:
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"head {name!r}: {error}; give the dotted path of a module that Python can import"
            ) from error
        if not hasattr(found, "Head"):
            raise ValueError(f"module {name!r} has no class Head; see segattn/heads/non_local.py for the pattern")
        return found
    if name not in names():
        close = hint(name, names(), most=3, cutoff=0.4)
        raise ValueError(f"unknown head {name!r}; {close}Known heads: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")


def create(
    name: str, in_channels: tuple[int, ...], num_classes: int, *, mode: Mode = "faithful", **options: Any
) -> nn.Module:
    """Build the head `name` for a backbone whose four maps have `in_channels` channels.

    `faithful` is the paper's own head. `controlled` puts the mechanism into the same surrounding convolutions as every other
    one, so that accuracy and cost differ by the mechanism only. `options` are the keyword arguments of the head.

    Raises:
        ValueError: unknown head, mode or option; no controlled form.
    """
    found = module(name)
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; use one of {', '.join(get_args(Mode))}")
    if mode == "faithful":
        _check_options(name, found.Head, options)
        return found.Head(in_channels, num_classes, **options)
    from segattn.heads.parts.controlled import ControlledHead

    if not hasattr(found, "mechanism"):
        raise ValueError(
            f"head {name!r} has no controlled form; define mechanism(channels, num_classes) in {found.__file__}"
        )
    channels = options.pop("channels", 512)
    dropout = options.pop("dropout", 0.1)
    _check_options(name, found.mechanism, options)
    return ControlledHead(
        in_channels,
        num_classes,
        found.mechanism,
        channels=channels,
        dropout=dropout,
        options=options,
        no_weight_decay=getattr(found.Head, "no_weight_decay", ()),
    )


def _check_options(name: str, builder: Any, options: dict[str, Any]) -> None:
    """Turn an unknown keyword into an error that names the valid ones."""
    parameters = inspect.signature(builder).parameters.values()
    allowed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in allowed:
            close = hint(option, allowed, most=1)
            raise ValueError(
                f"head {name!r} has no option {option!r}; {close}Its options: {', '.join(allowed) or 'none'}"
            )
